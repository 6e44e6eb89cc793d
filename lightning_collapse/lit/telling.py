"""Warnings, and the one line that a run ends with: said once for all processes."""

import sys
from typing import TextIO

from pytorch_lightning import Trainer
from tqdm import tqdm

__all__ = ["RunError", "StoppedError", "say", "warn"]


class RunError(Exception):
    """Ends a run that cannot go on, in all processes; its one line says why, and what to do."""


class StoppedError(RunError):
    """Ends a run that something other than a signal has stopped; the same command goes on."""


def warn(trainer: Trainer, line: str) -> None:
    """Says something on standard error, once for all processes."""
    if trainer.is_global_zero:
        say(f"warning: {line}", sys.stderr)


def say(line: str, to: TextIO | None = None) -> None:
    """Writes a line at once, on standard output or elsewhere."""
    # Not print: it would break bars, and the line that is kept up to date.
    tqdm.write(line, file=to)
    (to or sys.stdout).flush()
