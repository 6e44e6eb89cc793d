"""The end of a round: its samples are made, measured and committed.

The trained weights are saved before. What is committed counts by the rename of a manifest, which
holds the round's record; a run that died in between does all this when it is started again, but
for the shards that are whole.
"""

import copy
import platform
import socket
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
from pytorch_lightning import Trainer

from lightning_collapse.data.files import make_folder
from lightning_collapse.data.store.shards import commit
from lightning_collapse.lit.data import PoolDataModule, data_of
from lightning_collapse.lit.module import CollapseModule
from lightning_collapse.lit.processes import gather
from lightning_collapse.lit.shards import halved, sample_shards, shares
from lightning_collapse.lit.signals import told_to_stop
from lightning_collapse.lit.validation import held_out_loss
from lightning_collapse.metrics.features import Features
from lightning_collapse.metrics.measure import MEASURED_ROWS, Measure
from lightning_collapse.metrics.measuring import Measured, Measuring, Seen, record_of
from lightning_collapse.metrics.real import RealData
from lightning_collapse.runs.denoiser import read_average
from lightning_collapse.runs.layout import Run
from lightning_collapse.runs.sharing import rows_digest
from lightning_collapse.samples.rounds import RoundSampler, class_weights
from lightning_collapse.samples.shards import (
    clear_notes,
    described_shards,
    noted_micro_batch,
    noted_shared,
    read_described,
)
from lightning_collapse.samples.sheet import PREVIEW_ROWS, write_contact_sheet
from lightning_collapse.sampling.choice import Sampling
from lightning_collapse.sampling.guide import Guide, LabelledDenoiser

__all__ = ["Ending", "Processes", "end_round"]

T = TypeVar("T")
Classes = Literal["uniform", "proportional"]


class Processes:
    """The trainer's processes, as the team that measures."""

    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer
        self.rank, self.size = trainer.global_rank, trainer.world_size

    def gather(self, value: T) -> list[T]:
        return gather(self._trainer, value)


@dataclass
class Ending:
    """How the rounds of a run end.

    Attributes:
        sampling: solver and schedule.
        micro_batch: samples made at a time by each process.
        keep_checkpoints: newest rounds whose checkpoints are kept; None for all.
        measuring: the measures, with their floors.
        classes: how often each class of the training rows is drawn.
        guide: makes the denoiser that samples; None for the round's own.
        before: the round that was measured last, and what was seen of it.
    """

    sampling: Sampling
    micro_batch: int
    keep_checkpoints: int | None
    measuring: Measuring
    classes: Classes
    guide: Guide | None
    before: tuple[int, Seen] | None = field(default=None, init=False)

    @classmethod
    def of(
        cls,
        trainer: Trainer,
        data: PoolDataModule,
        *,
        sampling: Sampling,
        micro_batch: int,
        keep_checkpoints: int | None,
        features: Features,
        measures: Sequence[Measure],
        fd_rows: int | None,
        classes: Classes,
        guide: Guide | None,
    ) -> "Ending":
        """Reads the real rows, and measures the floors."""
        summed = fd_rows or min(data.n_samples, len(data.held_out), MEASURED_ROWS)
        most = max(summed, *(measure.rows for measure in measures))
        real = RealData(
            data.train,
            data.held_out,
            most,
            team=Processes(trainer),
            bar=trainer.is_global_zero,
        )
        measuring = Measuring(
            measures, real, features, data.n_samples, summed=summed, seed=data.seed
        )
        return cls(sampling, micro_batch, keep_checkpoints, measuring, classes, guide)

    def sampler(self, module: CollapseModule, data: PoolDataModule, r: int) -> RoundSampler:
        """How the samples of round r are made."""
        labels, weights = data.train.labels, None
        if module.label_dim and labels is not None:
            weights = class_weights(labels, module.label_dim, self.classes == "uniform")
        return RoundSampler(
            denoiser=self._denoiser(module, data, r),
            sampling=self.sampling,
            shape=data.row_shape,
            n=data.n_samples,
            micro_batch=noted_micro_batch(data.run.round(r)) or self.micro_batch,
            label_dim=module.label_dim,
            seed=data.seed,
            round=r,
            device=module.device,
            class_weights=weights,
        )

    def _denoiser(self, module: CollapseModule, data: PoolDataModule, r: int) -> LabelledDenoiser:
        """The denoiser that samples round r."""
        guide = self.guide_of(r)
        if guide is None:
            return module.ema
        first = None
        if guide.needs_first:
            first = copy.deepcopy(module.ema)
            first.load_state_dict(read_average(data.run.checkpoint(0)))
        return guide(module.ema, first)

    def guide_of(self, r: int) -> Guide | None:
        """The guide of round r, if any guides it."""
        return None if self.guide is None else self.guide.at(r)


def end_round(trainer: Trainer, module: CollapseModule, ending: Ending, r: int) -> bool:
    """Samples, measures and commits round r, or stops half-way if told to.

    Returns:
        Whether the round is committed.
    """
    data = data_of(trainer)
    folder = data.run.round(r)
    make_folder(folder)
    sampler = ending.sampler(module, data, r)
    module.ema.eval()
    started = time.monotonic()
    while sample_shards(trainer, sampler, folder):
        sampler = halved(trainer, sampler, folder)
    trainer.strategy.barrier("samples written")
    sampled = time.monotonic()
    measured = _measure(trainer, ending, sampler, folder)
    if trainer.should_stop:
        return False
    losses = {
        "train_loss": module.mean_loss(),
        **held_out_loss(
            trainer, module, data, chunk=ending.micro_batch, at_once=sampler.micro_batch
        ),
    }
    if trainer.is_global_zero:
        record = _provenance(trainer, module, data, r) | {
            **_cost(ending, r),
            **losses,
            **record_of(measured),
            "weights_moved": module.weights_moved(),
            "steps_skipped": module.progress.steps_skipped,
            "seconds_train": module.progress.seconds,
            "seconds_sample": sampled - started,
            "seconds_measure": time.monotonic() - sampled,
        }
        _commit(sampler, folder, record, ending, rows_digest(data.selection()))
        clear_notes(folder)
    trainer.strategy.barrier("round committed")
    data.deposit(data.run.samples(r))
    return True


def _measure(
    trainer: Trainer, ending: Ending, sampler: RoundSampler, folder: Path
) -> list[Measured]:
    """Measures each process's shards, and puts together what they saw."""
    data, measuring = data_of(trainer), ending.measuring
    seen = measuring.seen()
    for mine in shares(trainer, sampler):
        for shard in mine:
            rows, n_nonfinite = read_described(folder, shard)
            if shard == 0:
                write_contact_sheet(data.run.preview(sampler.round), rows[:PREVIEW_ROWS])
            seen.update(sampler.rows_of(shard)[0], rows)
            seen.sums.n_nonfinite += n_nonfinite
    if trainer.should_stop:
        return []
    first, *others = gather(trainer, seen)
    for other in others:
        first.merge(other)
    r, told = sampler.round, []
    same = r > 0 and sampler.sampling.latents == "same"
    before = _before(ending, data, r)
    for measured in measuring.figures(
        first,
        before,
        labels=sampler.labels(),
        labels_before=data.generations[-1].labels if before else None,
        trained_on=data.trained_on,
        latents_of_before=same,
        latents_of_training=same and data.curation().counts[1] > 0,
    ):
        told.append(measured)
        if told_to_stop(trainer):
            return told
    ending.before = r, first
    return told


def _before(ending: Ending, data: PoolDataModule, r: int) -> Seen | None:
    """What was seen of the round before; read again where this process has not measured it."""
    if r == 0 or not ending.measuring.wants_step or ending.sampling.latents == "same":
        return None
    if ending.before is not None and ending.before[0] == r - 1:
        return ending.before[1]
    seen, start = ending.measuring.seen(), 0
    for shard in data.generations[r - 1].shards:
        if start >= ending.measuring.first_rows:
            break
        rows = torch.arange(start, start := start + len(shard.crc32))
        seen.update(int(rows[0]), data.generations[r - 1][rows])
    return seen


def _provenance(
    trainer: Trainer, module: CollapseModule, data: PoolDataModule, r: int
) -> dict[str, Any]:
    curation = data.curation()
    return {
        "round": r,
        # The pool is still at round r: its samples are not deposited yet.
        **data.pool.composition(data.regime, curation.counts),
        **curation.record,
        "n_train": len(data.train),
        "n_held_out": len(data.held_out),
        "n_samples": data.n_samples,
        "n_trainable": data.n_trainable,
        "images_seen": data.steps_of(r) * data.batch_size,
        "seed": data.seed,
        "split_seed": data.split_seed,
        "swap": data.swap,
        "restart": module.restart,
        "real_data_in_init": module.init_from is not None,
        "processes": trainer.world_size,
        "device": _device_name(module.device),
        "host": socket.gethostname(),
        "config_sha256": data.run.config.digest,
        "versions": {
            "lightning_collapse": version("lightning-collapse"),
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
    }


def _cost(ending: Ending, r: int) -> dict[str, Any]:
    """How round r was sampled, and at how many network calls a sample."""
    guide = ending.guide_of(r)
    return {
        "guide": None if guide is None else type(guide).__name__,
        "guide_options": {} if guide is None else asdict(guide),
        "calls_per_sample": ending.sampling.calls * (1 if guide is None else guide.calls),
    }


def _device_name(device: torch.device) -> str:
    named = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return str(named)


def _commit(
    sampler: RoundSampler,
    folder: Path,
    record: dict[str, Any],
    ending: Ending,
    trained_on: str,
) -> None:
    shards = described_shards(folder, sampler.n_shards)
    other = noted_shared(folder)
    shared = {} if other is None else {"shared_from": other}
    guide = ending.guide_of(sampler.round)
    guided: dict[str, Any] = {} if guide is None else {"guide": guide.described()}
    if guide is not None and guide.needs_first:
        guided["first"] = str(Run("").checkpoint(0))
    recipe: dict[str, Any] = {
        "checkpoint": str(Run("").checkpoint(sampler.round)),  # within the run
        "sampling": sampler.sampling.recipe,
        "micro_batch": sampler.micro_batch,
        "seed": sampler.seed,
        "device": sampler.device.type,
        "checkpoints_kept": ending.keep_checkpoints,
        "classes": ending.classes,
        "trained_on": trained_on,
        **guided,
        **shared,
    }
    if sampler.class_weights is not None:
        recipe["class_weights"] = list(sampler.class_weights)
    dtype = "uint8" if len(sampler.shape) == 3 else "float32"
    commit(folder, shards, shape=sampler.shape, dtype=dtype, recipe=recipe, record=record | shared)
