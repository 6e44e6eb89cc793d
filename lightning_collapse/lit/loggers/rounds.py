"""Mirrors a round's record to the loggers: W&B, with its picture, and any other."""

import inspect
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Trainer
from pytorch_lightning.loggers import Logger, WandbLogger

from lightning_collapse.lit.loggers.steps import warned
from lightning_collapse.lit.loggers.wandb_mirror import WandbMirror
from lightning_collapse.lit.signals import exit_status, signal_of

__all__ = [
    "arguments_of",
    "log_hyperparameters",
    "log_round",
    "numbers_of",
    "offer",
    "tell_stop",
]


def log_round(
    trainer: Trainer, record: dict[str, Any], preview: Path, step: int, known: bool = False
) -> None:
    """Logs the record's numbers under `round/`, against the round; an error is a warning.

    The round has ended with the optimizer's `step`. What is `known` an earlier start has logged:
    W&B is told again where that was offline, as what is synced last may replace the rest.
    """
    for logger in trainer.loggers:
        with warned(logger, f"round {record['round']}"):
            _log(logger, record, preview, step, known)


def log_hyperparameters(trainer: Trainer, told: Mapping[str, Any]) -> None:
    """Tells all loggers what the run is made of; an error is a warning."""
    for logger in trainer.loggers if trainer.is_global_zero else ():
        with warned(logger, "the hyper-parameters"):
            logger.log_hyperparams(dict(told))
            logger.save()


def arguments_of(**parts: Any) -> dict[str, dict[str, Any]]:
    """Tells what the parts of a run were made with, as far as they keep it."""
    return {name: _kept(part) for name, part in parts.items()}


def _kept(part: Any) -> dict[str, Any]:
    names = inspect.signature(type(part)).parameters
    values = {name: getattr(part, name) for name in names if getattr(part, name, None) is not None}
    plain = (int, float, str, bool)
    return {k: value if isinstance(value, plain) else repr(value) for k, value in values.items()}


def tell_stop(trainer: Trainer) -> None:
    """Tells W&B of a signal that stops the run; but for Ctrl-C, that it is to be started again."""
    if (number := signal_of(trainer)) is None:
        return
    preempted = number != signal.SIGINT
    for logger in trainer.loggers:
        if isinstance(logger, WandbMirror):
            logger.tell_status(exit_status(number), preempted)
        elif isinstance(logger, WandbLogger) and preempted and trainer.is_global_zero:
            logger.experiment.mark_preempting()


def numbers_of(record: dict[str, Any]) -> dict[str, float]:
    """The record's numbers as `round/<name>`; those of a list are `round/<name>/0` and so on."""
    numbers: dict[str, float] = {}
    for name, value in record.items():
        if name == "round":
            continue
        if isinstance(value, (bool, int, float)):
            numbers[f"round/{name}"] = value
        elif isinstance(value, list):
            numbers |= {
                f"round/{name}/{i}": part for i, part in enumerate(value) if part is not None
            }
    numbers["round/collapsed"] = record["collapsed"] is not None
    return numbers


def offer(trainer: Trainer, record: dict[str, Any]) -> None:
    """Shows a round's numbers to other callbacks, in `trainer.callback_metrics`."""
    shown = trainer.callback_metrics
    # What cannot be told of this round must not be the last round's.
    for name in [name for name in shown if name.startswith("round/")]:
        del shown[name]
    shown |= {name: torch.tensor(float(value)) for name, value in numbers_of(record).items()}


def _log(logger: Logger, record: dict[str, Any], preview: Path, step: int, known: bool) -> None:
    numbers = numbers_of(record)
    described = {"round": record["round"], "round/regime": record["regime"], **numbers}
    if isinstance(logger, WandbMirror):
        logger.send(described, {"round/samples": str(preview)}, step=step, known=known)
    elif isinstance(logger, WandbLogger):
        if not (known and logger.experiment.resumed):
            _log_to_wandb(logger, described, preview, step)
    elif not known:
        logger.log_metrics(numbers, step=record["round"])


def _log_to_wandb(logger: WandbLogger, values: dict[str, Any], preview: Path, step: int) -> None:
    import wandb

    run = logger.experiment
    run.define_metric("round")
    run.define_metric("round/*", step_metric="round")
    picture = {"round/samples": wandb.Image(str(preview))} if preview.exists() else {}
    run.log({**picture, **values}, step=max(step, run.step), commit=True)
