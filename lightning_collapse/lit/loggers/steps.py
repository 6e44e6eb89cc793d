"""A run's figures between the ends of its rounds: loss, rate and speed of the latest steps."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from pytorch_lightning import Trainer
from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities import rank_zero_warn

from lightning_collapse.lit.data import data_of
from lightning_collapse.lit.module import CollapseModule
from lightning_collapse.lit.steps import RoundProgress

__all__ = ["Latest", "log_step", "warned"]


class Latest:
    """What the training steps of this process were like since it was asked last."""

    _of: RoundProgress | None = None

    def take(self, trainer: Trainer, module: CollapseModule) -> dict[str, float]:
        """Gives the round, learning rate, images a second over all processes, and the mean loss.

        This is of the process's share of the batches, and missing where no step was made.
        """
        data, progress = data_of(trainer), module.progress
        if self._of is not progress:
            self._of, self._step, self._steps, self._loss, self._seconds = progress, 0, 0, 0.0, 0.0
        loss, steps = float(progress.loss_sum), progress.steps - self._steps
        seconds = progress.seconds - self._seconds
        rate = trainer.optimizers[0].param_groups[0]["lr"]
        taken = {"round": float(data.round), "train/lr": rate}
        if steps > 0:
            taken["train/loss"] = (loss - self._loss) / steps
        if seconds > 0:
            images = (data.step - self._step) * data.batch_size
            taken["train/images_per_second"] = images / seconds
        self._step, self._steps = data.step, progress.steps
        self._loss, self._seconds = loss, progress.seconds
        return taken


def log_step(trainer: Trainer, numbers: dict[str, float]) -> None:
    """Hands numbers to all loggers, against the step, and shows them to callbacks.

    An error of a logger is a warning.
    """
    trainer.callback_metrics.update({k: torch.tensor(float(v)) for k, v in numbers.items()})
    for logger in trainer.loggers if trainer.is_global_zero else ():
        with warned(logger, "a step"):
            logger.log_metrics(numbers, step=trainer.global_step)
            logger.save()


@contextmanager
def warned(logger: Logger, what: str) -> Iterator[None]:
    """Makes an error of a logger, or of whatever it talks to, a warning."""
    try:
        yield
    except Exception as error:
        rank_zero_warn(f"{type(logger).__name__} did not take {what}: {error!r:.200}")
