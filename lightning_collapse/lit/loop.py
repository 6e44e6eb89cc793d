"""The callback that closes the loop: after each round it saves the weights, and ends the round."""

import time
from collections.abc import Mapping
from typing import Any, Literal

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import Timer

from lightning_collapse.data.files import link_atomically, remove
from lightning_collapse.data.store.manifest import MAX_SHARD_ROWS
from lightning_collapse.lit.checkpoint_io import AtomicCheckpointIO
from lightning_collapse.lit.checks import (
    check_first,
    check_guide,
    check_inpainting,
    check_levels,
    check_network,
    check_trainer,
)
from lightning_collapse.lit.data import PoolDataModule, data_of
from lightning_collapse.lit.disk import check_space
from lightning_collapse.lit.loggers.rounds import (
    arguments_of,
    log_hyperparameters,
    log_round,
    offer,
    tell_stop,
)
from lightning_collapse.lit.loggers.steps import Latest, log_step
from lightning_collapse.lit.module import CollapseModule
from lightning_collapse.lit.round import Classes, Ending, end_round, measuring_of
from lightning_collapse.lit.signals import StopAtStep, callbacks_of, check_stop, stopped_by
from lightning_collapse.lit.telling import warn
from lightning_collapse.metrics.families import ALWAYS, DEFAULT, joined
from lightning_collapse.metrics.features import Features, Pixels, Points
from lightning_collapse.metrics.torch_metrics import Measurable, as_measures
from lightning_collapse.runs.layout import Run
from lightning_collapse.runs.records import write_records
from lightning_collapse.samples.shards import clear_notes, clear_round
from lightning_collapse.sampling.choice import Sampling
from lightning_collapse.sampling.guide import Guide
from lightning_collapse.sampling.inpainting import Inpainting

__all__ = ["GenerationLoop"]


class GenerationLoop(Callback):
    """Samples, measures and commits after every round; saves checkpoints.

    Attributes:
        started: whether a fit has begun.
        ended_by: what has ended the last fit between two rounds before all were made, if it was
            neither a signal nor a collapsed round.
        hyperparameters: what loggers are told of the run; default: the arguments of its parts.
        keep_first: whether round 0's checkpoint stays, for other runs to go on from.
    """

    def __init__(
        self,
        sampling: Sampling = Sampling(),  # noqa: B008 - frozen
        features: Features | None = None,
        micro_batch: int = 256,
        fd_rows: int | None = None,
        checkpoint_every: int = 500,
        keep_checkpoints: int | None = None,
        on_collapse: Literal["continue", "stop"] = "continue",
        measures: list[Measurable] | None = None,
        default_measures: bool = True,
        classes: Classes = "uniform",
        guide: Guide | None = None,
        inpaint: Inpainting | None = None,
    ) -> None:
        """Sets up the loop.

        Args:
            sampling: solver and schedule.
            features: space of the Fréchet distance; default: the pixels, or the points.
            micro_batch: samples made at a time by each process; a part of the recipe, since on a
                CPU samples depend on it in their last bits. Where memory runs out, all samples of
                the round are made again with half as many.
            fd_rows: samples that the distance is taken from, the first ones; default: as many as
                there are held-out real rows to give its floor, at most 5,000.
            checkpoint_every: training steps between saves of `last.ckpt`.
            keep_checkpoints: newest rounds whose checkpoints are kept, at least 1; default: all.
                Without its checkpoint a round's samples cannot be made again, should they be lost.
                Among runs that share round 0, its checkpoint stays too, one file for all.
            on_collapse: whether the run goes on after a round whose samples are not finite, all
                the same or saturated, or ends with that round.
            measures: taken of every round, beside the default ones or, of the same class, in
                their place; metrics of torchmetrics too.
            default_measures: whether these are taken; what every record has always is.
            classes: how often samples are of each class that the real training rows have: all
                equally often, or in proportion to these rows. No other class is sampled.
            inpaint: has samples complete real rows that are neither trained on nor held out, in
                place of making whole ones; the composites are what is measured and trained on.
            guide: makes of the round's denoiser the one to sample with; default: that itself. One
                that needs the network of round 0 keeps that round's checkpoint, come what may.
        """
        self.sampling, self.features, self.micro_batch = sampling, features, micro_batch
        self.fd_rows, self.checkpoint_every = fd_rows, checkpoint_every
        self.keep_checkpoints, self.on_collapse = keep_checkpoints, on_collapse
        for name in ("micro_batch", "checkpoint_every", "fd_rows", "keep_checkpoints"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise ValueError(f"loop.{name} = {value}: must be at least 1")
        if micro_batch > MAX_SHARD_ROWS:
            raise ValueError(
                f"loop.micro_batch = {micro_batch}: must be at most {MAX_SHARD_ROWS}, "
                "the rows of a shard"
            )
        self.measures, self.default_measures = as_measures(measures), default_measures
        for measure in self.measures if sampling.latents == "same" else ():
            if measure.needs_fresh_latents:
                raise ValueError(
                    f"loop.measures = {type(measure).__name__}: needs loop.sampling.latents = "
                    "fresh; the same in every round lie near those trained on by that alone"
                )
        self.classes, self.guide, self.inpaint = classes, guide, inpaint
        self.started = False
        self.ended_by: str | None = None
        self.hyperparameters: Mapping[str, Any] | None = None
        self.keep_first = False
        self._latest = Latest()

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Refuses what cannot work, before anything is computed; readies the Trainer for rounds.

        Raises:
            ValueError: names the option, or the Trainer's argument.
            TypeError: the module or the data module is of another class.
        """
        data, module = data_of(trainer), _module(pl_module)
        if len(callbacks_of(trainer, GenerationLoop)) > 1:
            raise ValueError("trainer.callbacks: must have one GenerationLoop")
        check_trainer(trainer)
        if trainer.max_epochs == 1000:  # nobody can tell whether these were named
            warn(
                trainer,
                "trainer.max_epochs = 1000: an epoch is a round, and Lightning takes 1000 where "
                "none are named; name as many as are wanted",
            )
        data.check(trainer.max_epochs or 1, trainer.world_size)
        check_network(module, data)
        check_levels(module, self.sampling)
        check_guide(self.guide, module, data.row_shape)
        check_inpainting(self.inpaint, self.sampling, data)
        module.in_loop = True
        # Sampling with an untrained network makes denormal numbers, which slow a CPU severalfold.
        torch.set_flush_denormal(True)
        trainer.strategy.checkpoint_io = AtomicCheckpointIO()
        # What stops a run comes first, so that this callback saves the step in which it does;
        # others come after it, and find the round's figures. A new list: Lightning is going
        # through the old one.
        trainer.callbacks = sorted(  # type: ignore[attr-defined]
            callbacks_of(trainer, Callback),
            key=lambda callback: (
                not isinstance(callback, (Timer, StopAtStep)),
                not getattr(callback, "before_loop", False),
                not isinstance(callback, GenerationLoop),
            ),
        )
        if self.fd_rows is not None and self.fd_rows > data.n_samples:
            raise ValueError(
                f"loop.fd_rows = {self.fd_rows}: a round makes {data.n_samples} samples; "
                "lower it or raise data.samples_per_round"
            )
        if self.features is None:
            self.features = Points() if len(data.row_shape) == 1 else Pixels()
        measures = joined([*ALWAYS, *(DEFAULT if self.default_measures else ())], self.measures)
        self._ending = Ending(
            measuring_of(trainer, data, self.features, measures, self.fd_rows),
            sampling=self.sampling,
            micro_batch=self.micro_batch,
            keep_checkpoints=self.keep_checkpoints,
            classes=self.classes,
            guide=self.guide,
            inpaint=self.inpaint,
        )

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Finishes the round that an interrupted run had trained but not sampled."""
        data = data_of(trainer)
        last = data.run.last
        if trainer.ckpt_path is None and last.exists():
            raise ValueError(
                f"ckpt_path = None: the run in {data.run} has been started already; go on with "
                f"fit(..., ckpt_path={str(last)!r}), or choose another run"
            )
        unsampled = data.round - data.pool.round
        if unsampled not in (0, 1) or (unsampled and data.step):
            raise ValueError(
                f"ckpt_path: the checkpoint is at step {data.step} of round {data.round}, but the "
                f"pool in {data.run} holds {data.pool.round} rounds; go on from "
                f"{data.run.last}, or choose another --run"
            )
        check_first(self.guide, data)
        # Now, and not hours later: what the next round trains on. What later rounds draw is
        # checked as it is read.
        if data.pool.round < (trainer.max_epochs or 1):
            data.read_selection()
        self.started, self._rounds_before, self.ended_by = True, data.pool.round, None
        made = arguments_of(model=pl_module, data=data, loop=self)
        log_hyperparameters(trainer, self.hyperparameters or made)
        if data.records and trainer.is_global_zero:
            # Again: the run may have died between the last commit and this.
            write_records(data.run, data.records)
            clear_notes(data.run.round(data.pool.round - 1))
            for r in range(len(data.records)):
                self._log(trainer, data, r, known=True)
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
        every = trainer.log_every_n_steps  # type: ignore[attr-defined]
        if every and data.step % every == 0:
            log_step(trainer, self._latest.take(trainer, module))
        # Only after an optimizer's step: a checkpoint holds no gradients.
        accumulated = trainer.accumulate_grad_batches
        if data.step % accumulated:
            return
        due = data.step % self.checkpoint_every < accumulated or trainer.should_stop
        # The round's last step is saved by the round's end.
        if due and data.step < data.steps_of(data.round):
            trainer.save_checkpoint(data.run.last)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Ends a round; this hook fires for cut-short ones too.

        Raises:
            RunError: something other than a signal has cut the round short.
        """
        data = data_of(trainer)
        r = data.round
        if data.step < data.steps_of(r):
            check_stop(trainer, f"round {r} was cut short at step {data.step}")
            return
        data.round, data.step = r + 1, 0
        trainer.save_checkpoint(data.run.checkpoint(r))
        if trainer.is_global_zero:
            # Shards of this round come from other weights, if a lost checkpoint was retrained.
            clear_round(data.run.round(r))
            link_atomically(data.run.checkpoint(r), data.run.last)
        trainer.strategy.barrier("round saved")
        # Told to stop: sampling may take long, and the next start does it.
        if trainer.should_stop:
            check_stop(trainer, f"round {r} is trained, but was not sampled")
        else:
            self._finish(trainer, _module(pl_module), r)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Ends a fit; raises RunError where it was kept from making any of the rounds left."""
        data = data_of(trainer)
        rounds = data.pool.round
        tell_stop(trainer)
        if rounds >= (trainer.max_epochs or 1) or self._ends_collapsed(data):
            return
        if rounds == self._rounds_before:
            check_stop(trainer, "no round was made")
        else:
            self.ended_by = stopped_by(trainer)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Tells W&B of a signal that came before there was anything to save."""
        tell_stop(trainer)

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Leaves out the time that Timers have counted, or the next start would have none left."""
        for timer in callbacks_of(trainer, Timer):
            checkpoint["callbacks"].pop(timer.state_key, None)

    def _finish(self, trainer: Trainer, module: CollapseModule, r: int) -> None:
        """Ends round r, but for what a stop has left to the next start; tells what came of it."""
        if not end_round(trainer, module, self._ending, r):
            return
        data = data_of(trainer)
        if trainer.is_global_zero:
            write_records(data.run, data.records)
            self._drop_checkpoints(data.run, r)
            self._log(trainer, data, r)
            _tell_collapse(trainer, data.records[-1])
        offer(trainer, data.records[-1])
        self._stop_if_collapsed(trainer)

    def _log(self, trainer: Trainer, data: PoolDataModule, r: int, known: bool = False) -> None:
        steps = sum(map(data.steps_of, range(r + 1))) // trainer.accumulate_grad_batches
        log_round(trainer, data.records[r], data.run.preview(r), steps, known)

    def _stop_if_collapsed(self, trainer: Trainer) -> None:
        """Ends the run, as one that is finished, where its last round has collapsed."""
        records = data_of(trainer).records
        if not self._ends_collapsed(data_of(trainer)):
            return
        trainer.should_stop = True
        warn(
            trainer,
            f"the run has ended with round {records[-1]['round']}, which has collapsed "
            "(loop.on_collapse); --loop.on_collapse continue goes on",
        )

    def _ends_collapsed(self, data: PoolDataModule) -> bool:
        """Whether the run's last round has collapsed, and is to be its last for that."""
        stops = self.on_collapse == "stop" and data.records
        return bool(stops and data.records[-1].get("collapsed"))

    def _drop_checkpoints(self, run: Run, r: int) -> None:
        """Removes the checkpoints of rounds that are no longer among the newest ones to keep."""
        first = int(self.keep_first or (self.guide is not None and self.guide.needs_first))
        old = range(first, r - self.keep_checkpoints + 1) if self.keep_checkpoints else ()
        paths = map(run.checkpoint, old)
        remove(path for path in paths if path.exists())


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
