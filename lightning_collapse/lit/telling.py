"""Warnings, bars, and the one line that a run ends with: said once for all processes."""

import sys
from typing import Any

from pytorch_lightning import Trainer
from tqdm import tqdm

__all__ = ["RunError", "StoppedError", "progress_bar", "warn"]


class RunError(Exception):
    """Ends a run that cannot go on, in all processes; its one line says why, and what to do."""


class StoppedError(RunError):
    """Ends a run that something other than a signal has stopped; the same command goes on."""


def warn(trainer: Trainer, line: str) -> None:
    """Says something on standard error, once for all processes."""
    if trainer.is_global_zero:
        # Not print: it would break the bars.
        tqdm.write(f"warning: {line}", file=sys.stderr)
        sys.stderr.flush()


def progress_bar(trainer: Trainer, what: str, total: int) -> "tqdm[Any]":
    """Gives a bar that shows on rank 0, where standard error is a terminal."""
    hidden = not (trainer.is_global_zero and sys.stderr.isatty())
    return tqdm(total=total, desc=what, leave=False, disable=hidden, dynamic_ncols=True)
