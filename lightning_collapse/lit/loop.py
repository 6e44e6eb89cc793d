"""The callback that closes the loop: after each round it samples, measures and commits.

The end of a round has two phases: the trained weights are saved; then samples are drawn, measured
and committed by the rename of a manifest, which holds the round's record. A run that died in
between finishes the second phase when it is started again.
"""

import time
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from pytorch_lightning import Callback, LightningModule, Trainer

from lightning_collapse.data.files import link_atomically, make_folder, remove
from lightning_collapse.data.store.shards import MAX_SHARD_ROWS, commit
from lightning_collapse.lit.checks import check_network
from lightning_collapse.lit.data import PoolDataModule, data_of
from lightning_collapse.lit.disk import check_space
from lightning_collapse.lit.loggers.rounds import log_round
from lightning_collapse.lit.module import CollapseModule
from lightning_collapse.lit.processes import gather
from lightning_collapse.lit.shards import halved, sample_shards, shares
from lightning_collapse.lit.telling import warn
from lightning_collapse.lit.validation import held_out_loss
from lightning_collapse.metrics.features import Features, Pixels, Points
from lightning_collapse.metrics.summary import RealStatistics, SampleStatistics
from lightning_collapse.runs.layout import Run
from lightning_collapse.runs.records import write_records
from lightning_collapse.samples.rounds import RoundSampler
from lightning_collapse.samples.shards import (
    clear_notes,
    clear_round,
    described_shards,
    noted_micro_batch,
    read_described,
)
from lightning_collapse.samples.sheet import PREVIEW_ROWS, write_contact_sheet
from lightning_collapse.sampling.choice import Sampling

__all__ = ["GenerationLoop"]


class GenerationLoop(Callback):
    """Samples, measures and commits after every round; saves checkpoints."""

    def __init__(
        self,
        sampling: Sampling = Sampling(),  # noqa: B008 - frozen
        features: Features | None = None,
        micro_batch: int = 256,
        fd_rows: int | None = None,
        checkpoint_every: int = 500,
        keep_checkpoints: int | None = None,
        on_collapse: Literal["continue", "stop"] = "continue",
    ) -> None:
        """Sets up the loop.

        Args:
            sampling: solver and schedule.
            features: space of the Fréchet distance; default: the pixels, or the points.
            micro_batch: samples made at a time by each process; a part of the recipe, since on a
                CPU samples depend on it in their last bits. Where memory runs out, all samples of
                the round are made again with half as many.
            fd_rows: samples that the distance is taken from, the first ones; default: as many as
                there are held-out real rows to give its floor, or all of fewer samples.
            checkpoint_every: training steps between saves of `last.ckpt`.
            keep_checkpoints: newest rounds whose checkpoints are kept, at least 1; default: all.
                Without its checkpoint a round's samples cannot be made again, should they be lost.
            on_collapse: whether the run goes on after a round whose samples are not finite, all
                the same or saturated, or ends with that round.
        """
        for name, value in [
            ("micro_batch", micro_batch),
            ("checkpoint_every", checkpoint_every),
            ("fd_rows", fd_rows),
            ("keep_checkpoints", keep_checkpoints),
        ]:
            if value is not None and value < 1:
                raise ValueError(f"loop.{name} = {value}: must be at least 1")
        if micro_batch > MAX_SHARD_ROWS:
            raise ValueError(
                f"loop.micro_batch = {micro_batch}: must be at most {MAX_SHARD_ROWS}, "
                "the rows of a shard"
            )
        self.sampling, self.features, self.micro_batch = sampling, features, micro_batch
        self.fd_rows, self.checkpoint_every = fd_rows, checkpoint_every
        self.keep_checkpoints, self.on_collapse = keep_checkpoints, on_collapse
        self.started = False

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Refuses what cannot work, before anything is computed."""
        data = data_of(trainer)
        data.check(trainer.max_epochs or 1, trainer.world_size)
        check_network(_module(pl_module), data)
        if self.fd_rows is not None and self.fd_rows > data.n_samples:
            raise ValueError(
                f"loop.fd_rows = {self.fd_rows}: a round makes {data.n_samples} samples; "
                "lower it or raise data.samples_per_round"
            )
        if self.features is None:
            self.features = Points() if len(data.row_shape) == 1 else Pixels()
        self._real = RealStatistics(
            data.train, data.held_out, self.features, bar=trainer.is_global_zero
        )

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Finishes the round that an interrupted run had trained but not sampled."""
        data = data_of(trainer)
        unsampled = data.round - data.pool.round
        if unsampled not in (0, 1) or (unsampled and data.step):
            raise ValueError(
                f"ckpt_path: the checkpoint is at step {data.step} of round {data.round}, but the "
                f"pool in {data.run} holds {data.pool.round} rounds; go on from "
                "checkpoints/last.ckpt, or choose another --run"
            )
        # Now, and not hours later: what the next round trains on. What later rounds draw is
        # checked as it is read.
        if data.pool.round < (trainer.max_epochs or 1):
            data.read_selection()
        self.started = True
        if data.records and trainer.is_global_zero:
            # Again: the run may have died between the last commit and this.
            write_records(data.run, data.records)
            clear_notes(data.run.round(data.pool.round - 1))
        if unsampled:
            self._finish(trainer, _module(pl_module), data.round - 1)
        elif data.pool.round < (trainer.max_epochs or 1):
            self._stop_if_collapsed(trainer)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._step_started = time.monotonic()

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        data = data_of(trainer)
        data.round, data.step = trainer.current_epoch, 0
        check_space(trainer, _module(pl_module), data)
        self._step_started = time.monotonic()

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        data, module = data_of(trainer), _module(pl_module)
        data.step = batch_idx + 1
        # From the end of the last step: reading the batch is a part of training.
        now = time.monotonic()
        module.progress.seconds += now - self._step_started
        self._step_started = now
        # Only after an optimizer's step: a checkpoint holds no gradients.
        accumulated = trainer.accumulate_grad_batches
        if data.step % accumulated:
            return
        due = data.step % self.checkpoint_every < accumulated or trainer.should_stop
        # The round's last step is saved by the round's end.
        if due and data.step < data.steps_of(data.round):
            trainer.save_checkpoint(data.run.last)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Ends a round; this hook fires for cut-short ones too."""
        data = data_of(trainer)
        r = data.round
        if data.step < data.steps_of(r):
            return
        data.round, data.step = r + 1, 0
        trainer.save_checkpoint(data.run.checkpoint(r))
        if trainer.is_global_zero:
            # Shards of this round come from other weights, if a lost checkpoint was retrained.
            clear_round(data.run.round(r))
            link_atomically(data.run.checkpoint(r), data.run.last)
        trainer.strategy.barrier("round saved")
        # Told to stop: sampling may take long, and the next start does it.
        if not trainer.should_stop:
            self._finish(trainer, _module(pl_module), r)

    def _finish(self, trainer: Trainer, module: CollapseModule, r: int) -> None:
        """Samples, measures and commits round r, or stops half-way if told to."""
        data = data_of(trainer)
        folder = data.run.round(r)
        make_folder(folder)
        sampler = self._sampler(module, data, r)
        module.ema.eval()
        started = time.monotonic()
        while self._sample(trainer, sampler, folder):
            sampler = halved(trainer, sampler, folder)
        trainer.strategy.barrier("samples written")
        sampled = time.monotonic()
        statistics = self._measure(trainer, sampler, folder)
        if trainer.should_stop:
            return
        losses = {
            "train_loss": module.mean_loss(),
            "val_loss": held_out_loss(
                trainer, module, data, chunk=self.micro_batch, at_once=sampler.micro_batch
            ),
        }
        if trainer.is_global_zero:
            record = self._provenance(module, data, r) | {
                **losses,
                **statistics.record(),
                **statistics.collapse_record(),
                "weights_moved": module.weights_moved(),
                "steps_skipped": module.progress.steps_skipped,
                "seconds_train": module.progress.seconds,
                "seconds_sample": sampled - started,
                "seconds_measure": time.monotonic() - sampled,
            }
            self._commit(sampler, folder, record)
            clear_notes(folder)
        trainer.strategy.barrier("round committed")
        data.deposit(data.run.samples(r))
        if trainer.is_global_zero:
            write_records(data.run, data.records)
            self._drop_checkpoints(data.run, r)
            log_round(trainer, data.records[-1], data.run.preview(r))
            _tell_collapse(trainer, data.records[-1])
        self._stop_if_collapsed(trainer)

    def _stop_if_collapsed(self, trainer: Trainer) -> None:
        """Ends the run, as one that is finished, where its last round has collapsed."""
        records = data_of(trainer).records
        if self.on_collapse == "continue" or not (records and records[-1].get("collapsed")):
            return
        trainer.should_stop = True
        warn(
            trainer,
            f"the run has ended with round {records[-1]['round']}, which has collapsed "
            "(loop.on_collapse); --loop.on_collapse continue goes on",
        )

    def _drop_checkpoints(self, run: Run, r: int) -> None:
        """Removes the checkpoints of rounds that are no longer among the newest ones to keep."""
        old = range(r - self.keep_checkpoints, -1, -1) if self.keep_checkpoints else ()
        paths = map(run.checkpoint, old)
        remove(path for path in paths if path.exists())

    def _sampler(self, module: CollapseModule, data: PoolDataModule, r: int) -> RoundSampler:
        return RoundSampler(
            denoiser=module.ema,
            sampling=self.sampling,
            shape=data.row_shape,
            n=data.n_samples,
            micro_batch=noted_micro_batch(data.run.round(r)) or self.micro_batch,
            label_dim=module.label_dim,
            seed=data.seed,
            round=r,
            device=module.device,
        )

    def _sample(self, trainer: Trainer, sampler: RoundSampler, folder: Path) -> bool:
        """Writes the round's shards; tells whether memory ran out for that."""
        return sample_shards(trainer, sampler, folder)

    def _measure(self, trainer: Trainer, sampler: RoundSampler, folder: Path) -> SampleStatistics:
        """Measures each process's shards, and merges; complete on rank 0."""
        n = self.fd_rows or min(sampler.n, self._real.held_out_rows)
        statistics = SampleStatistics(self._real, n)
        for mine in shares(trainer, sampler):
            for shard in mine:
                rows, n_nonfinite = read_described(folder, shard)
                if shard == 0:
                    write_contact_sheet(
                        data_of(trainer).run.preview(sampler.round), rows[:PREVIEW_ROWS]
                    )
                statistics.update(rows, sampler.rows_of(shard)[0])
                statistics.n_nonfinite += n_nonfinite
        for other in gather(trainer, statistics)[1:]:
            statistics.merge(other)
        return statistics

    def _provenance(self, module: CollapseModule, data: PoolDataModule, r: int) -> dict[str, Any]:
        # The pool is still at round r: its samples are not deposited yet.
        counts = data.pool.counts(data.regime)
        n_real, n_synthetic = counts[0], sum(counts[1:])
        return {
            "round": r,
            "regime": type(data.regime).__name__,
            "regime_options": asdict(data.regime),
            "synthetic_fraction": n_synthetic / (n_real + n_synthetic),
            "synthetic_ratio": n_synthetic / n_real if n_real else None,
            "n_real": n_real,
            "n_synthetic": n_synthetic,
            "n_samples": data.n_samples,
            "images_seen": data.steps_of(r) * data.batch_size,
            "seed": data.seed,
            "restart": module.restart,
            "real_data_in_init": module.init_from is not None,
        }

    def _commit(self, sampler: RoundSampler, folder: Path, record: dict[str, Any]) -> None:
        shards = described_shards(folder, sampler.n_shards)
        recipe = {
            "checkpoint": str(Run("").checkpoint(sampler.round)),  # within the run
            "sampling": asdict(sampler.sampling),
            "micro_batch": sampler.micro_batch,
            "seed": sampler.seed,
            "device": sampler.device.type,
            "checkpoints_kept": self.keep_checkpoints,
        }
        dtype = "uint8" if len(sampler.shape) == 3 else "float32"
        commit(folder, shards, shape=sampler.shape, dtype=dtype, recipe=recipe, record=record)


def _tell_collapse(trainer: Trainer, record: dict[str, Any]) -> None:
    what = {
        "nonfinite": f"{record['n_nonfinite']} of {record['n_samples']} samples are not finite",
        "constant": "its samples are all the same, or flat",
        "saturated": "its samples are saturated",
    }
    if record["collapsed"]:
        warn(trainer, f"round {record['round']} has collapsed: {what[record['collapsed']]}")


def _module(module: LightningModule) -> CollapseModule:
    if not isinstance(module, CollapseModule):
        raise TypeError("GenerationLoop needs a CollapseModule")
    return module
