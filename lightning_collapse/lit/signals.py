"""Ctrl-C and SIGTERM: the run stops at the next step boundary, saved, and can go on from there."""

import signal
from types import FrameType
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

__all__ = ["StopAtStep"]


class StopAtStep(Callback):
    """Stops training after the step in which a signal came; `GenerationLoop` then saves.

    Outside a training step a signal interrupts at once: what counts is on disk by then, and what
    does not is made again. So does a second signal.

    Attributes:
        signal: the signal that came, if any.
    """

    signal: int | None = None
    _in_step = False

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._handle)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        again, self.signal = self.signal is not None, number
        if again or not self._in_step:
            raise KeyboardInterrupt

    def on_train_batch_start(self, *args: Any) -> None:
        self._in_step = True

    def on_train_batch_end(self, trainer: Trainer, *args: Any) -> None:
        self._in_step = False
        # Any process's signal stops all, at the same step.
        if trainer.strategy.reduce_boolean_decision(self.signal is not None, all=False):
            trainer.should_stop = True
