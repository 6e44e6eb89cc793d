"""Mirrors a round's record to the loggers: W&B, with its picture, and any other."""

from pathlib import Path
from typing import Any

from pytorch_lightning import Trainer
from pytorch_lightning.loggers import WandbLogger

__all__ = ["log_round"]


def log_round(trainer: Trainer, record: dict[str, Any], preview: Path) -> None:
    """Logs the record's numbers under `round/`, against the round."""
    r = record["round"]
    numbers = {
        f"round/{name}": value
        for name, value in record.items()
        if isinstance(value, (bool, int, float)) and name != "round"
    }
    numbers["round/collapsed"] = record["collapsed"] is not None
    for logger in trainer.loggers:
        if isinstance(logger, WandbLogger):
            _log_to_wandb(logger, r, numbers | {"round/regime": record["regime"]}, preview)
        else:
            logger.log_metrics(numbers, step=r)


def _log_to_wandb(logger: WandbLogger, r: int, values: dict[str, Any], preview: Path) -> None:
    import wandb

    run = logger.experiment
    run.define_metric("round")
    run.define_metric("round/*", step_metric="round")
    run.log({"round": r, "round/samples": wandb.Image(str(preview)), **values})
