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
from torch import Tensor

from lightning_collapse.data.files import make_folder
from lightning_collapse.data.store.shards import commit
from lightning_collapse.lit.data import PoolDataModule, data_of
from lightning_collapse.lit.inpainted import inpainted_figures, merged
from lightning_collapse.lit.module import CollapseModule
from lightning_collapse.lit.processes import gather
from lightning_collapse.lit.shards import halved, sample_shards, shares
from lightning_collapse.lit.signals import told_to_stop
from lightning_collapse.lit.validation import held_out_loss
from lightning_collapse.metrics.features import Features
from lightning_collapse.metrics.measure import MEASURED_ROWS, Measure
from lightning_collapse.metrics.measuring import Measured, Measuring, Seen, record_of
from lightning_collapse.metrics.real import RealData
from lightning_collapse.networks.trained_for import told
from lightning_collapse.runs.checkpoints import read_checkpoint
from lightning_collapse.runs.denoiser import average_of
from lightning_collapse.runs.layout import Run
from lightning_collapse.runs.measuring import seen_of
from lightning_collapse.runs.sharing import rows_digest
from lightning_collapse.samples.given import Given
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
from lightning_collapse.sampling.inpainting import Inpainting

__all__ = ["Ending", "Processes", "end_round", "measuring_of"]

T = TypeVar("T")
Classes = Literal["uniform", "proportional"]


class Processes:
    """The trainer's processes, as the team that measures."""

    def __init__(self, trainer: Trainer) -> None:
        self._trainer = trainer
        self.rank, self.size = trainer.global_rank, trainer.world_size

    def gather(self, value: T) -> list[T]:
        return gather(self._trainer, value)


def measuring_of(
    trainer: Trainer,
    data: PoolDataModule,
    features: Features,
    measures: Sequence[Measure],
    fd_rows: int | None,
) -> Measuring:
    """Reads the real rows, and measures the floors."""
    summed = fd_rows or min(data.n_samples, len(data.held_out), MEASURED_ROWS)
    most = max(summed, *(measure.rows for measure in measures))
    bar = trainer.is_global_zero
    real = RealData(data.train, data.held_out, most, team=Processes(trainer), bar=bar)
    return Measuring(measures, real, features, data.n_samples, summed=summed, seed=data.seed)


@dataclass
class Ending:
    """How the rounds of a run end: the measures, with their floors, and options of the loop."""

    measuring: Measuring
    sampling: Sampling
    micro_batch: int
    keep_checkpoints: int | None
    classes: Classes
    guide: Guide | None
    inpaint: Inpainting | None
    # The round that was measured last, and what was seen of it.
    before: tuple[int, Seen] | None = field(default=None, init=False)

    def sampler(self, module: CollapseModule, data: PoolDataModule, r: int) -> RoundSampler:
        """How the samples of round r are made."""
        labels, weights, given = data.train.labels, None, None
        if self.inpaint is not None:
            given = Given(self.inpaint, data.set_apart, data.seed, r)
        elif module.label_dim and labels is not None:
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
            given=given,
        )

    def _denoiser(self, module: CollapseModule, data: PoolDataModule, r: int) -> LabelledDenoiser:
        if (guide := self.guide_of(r)) is None:
            return module.ema
        first = None
        if guide.needs_first:
            first = copy.deepcopy(module.ema)
            path = data.run.checkpoint(0)
            first.load_state_dict(average_of(read_checkpoint(path, sealed=False), path))
        return guide(module.ema, first)

    def guide_of(self, r: int) -> Guide | None:
        """The guide of round r, if any guides it."""
        return None if self.guide is None else self.guide.at(r)


def end_round(trainer: Trainer, module: CollapseModule, ending: Ending, r: int) -> bool:
    """Samples, measures and commits round r; gives False where it was told to stop half-way."""
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
    beside = {}
    if not trainer.should_stop:
        beside = inpainted_figures(trainer, ending.measuring, sampler, folder)
    if trainer.should_stop:
        return False
    train_loss = module.mean_loss()
    val_loss = held_out_loss(trainer, module, data, ending.micro_batch, sampler.micro_batch)
    if trainer.is_global_zero:
        record = _provenance(trainer, module, data, r) | {
            **_cost(ending, r),
            "train_loss": train_loss,
            **val_loss,
            **record_of(measured),
            **beside,
            "weights_moved": module.weights_moved(),
            "steps_skipped": module.progress.steps_skipped,
            "seconds_train": module.progress.seconds,
            "seconds_sample": sampled - started,
            "seconds_measure": time.monotonic() - sampled,
        }
        _commit(sampler, folder, record, ending, data.curation().positions)
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
    first = merged(trainer, seen)
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
    return seen_of(ending.measuring, data.generations[r - 1], ending.measuring.first_rows)


def _provenance(
    trainer: Trainer, module: CollapseModule, data: PoolDataModule, r: int
) -> dict[str, Any]:
    curation, device = data.curation(), module.device
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
        "preconditioning": told(module.loss.preconditioning),
        "noise": told(module.loss.noise),
        "real_data_in_init": module.init_from is not None,
        "processes": trainer.world_size,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
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
    guide, inpaint = ending.guide_of(r), ending.inpaint
    calls = ending.sampling.calls if inpaint is None else inpaint.calls(ending.sampling)
    return {
        "guide": None if guide is None else type(guide).__name__,
        "guide_options": {} if guide is None else asdict(guide),
        "calls_per_sample": calls * (1 if guide is None else guide.calls),
    }


def _commit(
    sampler: RoundSampler, folder: Path, record: dict[str, Any], ending: Ending, selection: Tensor
) -> None:
    other = noted_shared(folder)
    shared = {} if other is None else {"shared_from": other}
    recipe: dict[str, Any] = {
        "checkpoint": str(Run("").checkpoint(sampler.round)),  # within the run
        "sampling": sampler.sampling.recipe,
        "micro_batch": sampler.micro_batch,
        "seed": sampler.seed,
        "device": sampler.device.type,
        "checkpoints_kept": ending.keep_checkpoints,
        "classes": ending.classes,
        "trained_on": rows_digest(selection),
    }
    if (guide := ending.guide_of(sampler.round)) is not None:
        recipe["guide"] = guide.described()
        if guide.needs_first:
            recipe["first"] = str(Run("").checkpoint(0))
    recipe |= shared
    if ending.inpaint is not None:
        recipe["inpaint"] = asdict(ending.inpaint)
    if sampler.class_weights is not None:
        recipe["class_weights"] = list(sampler.class_weights)
    shards = described_shards(folder, sampler.n_shards)
    dtype = "uint8" if len(sampler.shape) == 3 else "float32"
    commit(folder, shards, shape=sampler.shape, dtype=dtype, recipe=recipe, record=record | shared)
