"""Ctrl-C and SIGTERM: the run stops at the next step boundary, saved, and can go on from there."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer

__all__ = ["StopAtStep"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopAtStep(Callback):
    """Stops training after the step in which a signal came; `GenerationLoop` then saves.

    Outside a round's steps a signal interrupts at once: what counts is on disk by then, and what
    does not is made again. So does a second signal.

    Attributes:
        signal: the signal that came, if any.
    """

    signal: int | None = None
    _stepping = False

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
        again, self.signal = self.signal is not None, number
        if again or not self._stepping:
            raise KeyboardInterrupt

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # Lightning has set its own, which waits for other processes inside the handler.
        self._listen()

    def on_train_batch_start(self, *args: Any) -> None:
        self._stepping = True

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
            self._decide(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._decide(trainer)
        self._stepping = False

    def _decide(self, trainer: Trainer) -> None:
        # Any process's signal stops all, at the same step.
        if trainer.strategy.reduce_boolean_decision(self.signal is not None, all=False):
            trainer.should_stop = True
