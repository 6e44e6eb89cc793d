"""`lightning-collapse pool`: whether a run's files are whole, and making damaged ones again."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

from tqdm import tqdm

from lightning_collapse.commands.arguments import run_command
from lightning_collapse.commands.table import dispatch
from lightning_collapse.runs.layout import Run, check_run

__all__ = ["main", "repair", "verify"]

_COMMANDS = {
    "verify": "check every file of a run against its hash",
    "repair": "make a run's damaged files again, byte for byte",
}

T = TypeVar("T")


def main(arguments: list[str]) -> None:
    """Runs the command."""
    dispatch("lightning-collapse pool", f"{__name__}:_main_{{}}", _COMMANDS, arguments)


def _main_verify(arguments: list[str]) -> None:
    run_command("pool verify", verify, arguments, reads=["run"])


def _main_repair(arguments: list[str]) -> None:
    # Given again, the option adds: jsonargparse's form of that is its own.
    words = [re.sub(r"^--trust[_-]class(?==|$)", "--trust_class+", word) for word in arguments]
    run_command("pool repair", repair, words, reads=["run"])


def verify(run: Path) -> None:
    """Checks every file of a run: a line for each damaged one, and status 1 if there are any.

    Args:
        run: folder of the run.
    """
    check_run(run)
    from lightning_collapse.runs.damage import examine

    folder = Run(run)
    files = damaged = 0
    for path, fault in _with_bar(examine(folder), "verifying"):
        files += 1
        if fault is not None:
            damaged += 1
            print(f"{path}: {fault}")
    print(f"{files} files checked, {damaged} damaged")
    sys.exit(1 if damaged else 0)


def repair(run: Path, trust_class: list[str] = []) -> None:  # noqa: B006 - never changed
    """Makes the damaged files of a run again, byte for byte; status 1 if any cannot be.

    Samples are made again from their round's checkpoint, on the same kind of machine; real rows
    are imported again from their source.

    Args:
        run: folder of the run, which must not be in use.
        trust_class: class of its network, such as mine.Net, or of its source of real rows, if it
            is not of this package: it is imported, and may run any code. May be given again.
    """
    check_run(run)
    from lightning_collapse.runs.repair import repair as files_of

    folder = Run(run)
    repaired = left = 0
    for path, done, whole in _with_bar(files_of(folder, trust_class), "repairing"):
        if done is not None:
            repaired, left = repaired + whole, left + (not whole)
            print(f"{path}: {done}")
    print(f"files repaired: {repaired}, left damaged: {left}")
    sys.exit(1 if left else 0)


def _with_bar(files: Iterator[T], what: str) -> Iterator[T]:
    yield from tqdm(files, desc=what, unit=" files", leave=False, disable=not sys.stderr.isatty())
