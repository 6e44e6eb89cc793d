"""Choosing a command by its name, without importing what is slow to import."""

import sys
from collections.abc import Mapping, Sequence
from typing import NoReturn

from lightning_collapse.commands.declared import entry
from lightning_collapse.commands.hints import meant
from lightning_collapse.lit.processes import is_first

__all__ = ["dispatch", "refuse", "refuse_once"]

_LONGEST = 2000


def dispatch(
    program: str, place: str, commands: Mapping[str, str], arguments: Sequence[str]
) -> None:
    """Runs the command that the first argument names, with the rest; ends on an unknown one.

    Args:
        program: what the command line starts with, for the help.
        place: of a command's function, as `module:function`, with {} for the command's name.
        commands: name -> what it does.
        arguments: the command's name and its arguments.
    """
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_usage(program, commands))
        return
    name = arguments[0]
    if name not in commands:
        known = ", ".join(commands)
        refuse(f"command = {name}: must be one of {known}{meant(name, commands)}")
    module, _, function = place.format(name.replace("-", "_")).partition(":")
    entry(module, function)(list(arguments[1:]))


def refuse(message: object) -> NoReturn:
    """Says what is wrong in one line, and ends with status 2."""
    text = " ".join(str(message).split())
    # A message may quote a file, which may be anything.
    print(f"error: {text[:_LONGEST]}{' …' * (len(text) > _LONGEST)}", file=sys.stderr)
    sys.exit(2)


def refuse_once(message: object) -> NoReturn:
    """Does the same where a run has several processes, of which the first speaks for all."""
    if not is_first():
        sys.exit(2)
    refuse(message)


def _usage(program: str, commands: Mapping[str, str]) -> str:
    width = max(map(len, commands))
    lines = "".join(f"  {name:{width}}  {what}\n" for name, what in commands.items())
    return (
        f"usage: {program} COMMAND [options]\n\n{lines}\n"
        f"{program} COMMAND --help tells a command's options."
    )
