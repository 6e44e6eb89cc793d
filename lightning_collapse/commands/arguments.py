"""A function's signature as a command line."""

from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from jsonargparse import ArgumentParser, auto_cli

from lightning_collapse.commands.messages import made_line, one_line
from lightning_collapse.commands.table import refuse

__all__ = ["run_command"]


class _OneLineParser(ArgumentParser):
    """A parser whose errors are one line: key, value, what is allowed."""

    classes: Sequence[str] = ()

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        refuse(one_line(message, [action.dest for action in self._actions], self.classes))


def run_command(
    name: str,
    command: Callable[..., Any],
    arguments: list[str],
    positional: bool = True,
    classes: Sequence[str] = (),
) -> None:
    """Calls `command` with the arguments of a command line.

    Its docstring is the help. A ValueError or OSError it raises is what the user got wrong, or the
    disk did: one line on standard error, and exit status 2.

    Args:
        name: of the command, for the help: `toy gaussian`.
        command: the function, with a type on every parameter.
        arguments: what follows the command's name.
        positional: whether parameters without a default come by position, or by name.
        classes: what options may name without a module, for hints.
    """
    parser_class = type("_Parser", (_OneLineParser,), {"classes": classes})
    try:
        auto_cli(
            command,
            args=[_underscored(word) for word in arguments],
            parser_class=parser_class,
            prog=f"lightning-collapse {name}",
            allow_abbrev=False,
            as_positional=positional,
        )
    except (ValueError, OSError) as error:
        refuse(made_line(error))


def _underscored(word: str) -> str:
    """Lets options be written with dashes too: `--on-bad-image` for `--on_bad_image`."""
    if not word.startswith("--"):
        return word
    option, equals, value = word[2:].partition("=")
    return f"--{option.replace('-', '_')}{equals}{value}"
