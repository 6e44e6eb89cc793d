"""Ctrl-C, SIGTERM and SIGUSR1: the run stops, saved, at the next step or shard of samples.

SLURM announces the end of a job's time by SIGUSR1, if asked to; HTCondor evicts by SIGTERM.
"""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, TypeVar

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import EarlyStopping, Timer

from lightning_collapse.lit.processes import gather
from lightning_collapse.lit.telling import StoppedError

__all__ = [
    "StopAtStep",
    "callbacks_of",
    "check_stop",
    "exit_status",
    "requeue",
    "signal_of",
    "stopped_by",
    "told_to_stop",
]

C = TypeVar("C", bound=Callback)

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)

# torchrun passes on what the terminal has sent to every process already.
_ECHO_SECONDS = 2.0 if "TORCHELASTIC_RUN_ID" in os.environ else 0.0


class StopAtStep(Callback):
    """Stops all processes after the step, or the shard, in which a signal came to one of them.

    `GenerationLoop` then saves, or leaves the rest of the samples to the next start. Before the
    first step a signal interrupts at once: there is nothing to save. A second signal ends its
    process at once: what counts is on disk, and what does not is made again.

    Attributes:
        signal: the signal that stops the run, if any.
    """

    signal: int | None = None
    _came: float | None = None
    _fitting = False

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Takes the signals until the context ends."""
        before = {number: signal.getsignal(number) for number in _SIGNALS}
        self._listen()
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _listen(self) -> None:
        for number in _SIGNALS:
            signal.signal(number, self._handle)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self._came is not None:
            if now - self._came >= _ECHO_SECONDS:
                os._exit(exit_status(number))
            return
        # Another process's signal may have stopped the run before: this is not a second one.
        self._came, self.signal = now, self.signal or number
        if not self._fitting:
            raise KeyboardInterrupt

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._fitting = True

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # Lightning has set its own, which waits for other processes inside the handler.
        self._listen()

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        # Between optimizer steps there are gradients that a checkpoint does not hold.
        if (batch_idx + 1) % trainer.accumulate_grad_batches == 0:
            told_to_stop(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        told_to_stop(trainer)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._fitting = False


def exit_status(number: int) -> int:
    """Gives the exit status of a run that a signal has stopped."""
    return 128 + (signal.SIGINT if number == signal.SIGINT else signal.SIGTERM)


def told_to_stop(trainer: Trainer) -> bool:
    """Whether the run is to stop: the same answer in all processes, which must all ask."""
    mine = trainer.should_stop or signal_of(trainer) is not None
    trainer.should_stop = trainer.strategy.reduce_boolean_decision(mine, all=False)
    if trainer.should_stop:
        for stop in callbacks_of(trainer, StopAtStep):
            stop.signal = next(filter(None, gather(trainer, stop.signal)), None)
    return trainer.should_stop


def check_stop(trainer: Trainer, what: str) -> None:
    """Raises StoppedError unless a signal, which says so itself, has left `what` undone."""
    if by := stopped_by(trainer):
        raise StoppedError(
            f"{what}, by {by}; what was saved is whole, and the same command goes on"
        )


def stopped_by(trainer: Trainer) -> str | None:
    """Names what has stopped a trainer; None for a signal."""
    if signal_of(trainer) is not None:
        return None
    left = [timer.time_remaining() for timer in callbacks_of(trainer, Timer)]
    if any(seconds is not None and seconds <= 0 for seconds in left):
        return "trainer.max_time"
    named = [
        f"EarlyStopping on {early.monitor}"
        for early in callbacks_of(trainer, EarlyStopping)
        if early.stopped_epoch or early.wait_count >= early.patience
    ]
    return named[0] if named else "a callback that has stopped the trainer"


def signal_of(trainer: Trainer) -> int | None:
    """Gives the signal that stops a run, if one does."""
    numbers = (stop.signal for stop in callbacks_of(trainer, StopAtStep))
    return next(filter(None, numbers), None)


def callbacks_of(trainer: Trainer, kind: type[C]) -> list[C]:
    """Gives the trainer's callbacks of one kind, in their order."""
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    return [callback for callback in callbacks if isinstance(callback, kind)]


def requeue() -> None:
    """Puts this SLURM job, if it is one, back into the queue."""
    # An array's last task has the array's id, and needs its index.
    array, task = (os.environ.get(f"SLURM_ARRAY_{part}_ID") for part in ("JOB", "TASK"))
    job = f"{array}_{task}" if array and task else os.environ.get("SLURM_JOB_ID")
    if job is None:
        return
    try:
        done = subprocess.run(["scontrol", "requeue", job], check=False).returncode == 0
    except OSError:
        done = False
    print(f"requeued as SLURM job {job}" if done else f"scontrol requeue {job}: has failed")
