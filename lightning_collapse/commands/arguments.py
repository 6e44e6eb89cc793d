"""A function's signature as a command line."""

import inspect
import os
import re
import signal
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn

from jsonargparse import ArgumentParser, Namespace

from lightning_collapse.commands.declared import STAND_IN, RealNeededError, is_defined
from lightning_collapse.commands.messages import made_line, one_line
from lightning_collapse.commands.paths import expand_home
from lightning_collapse.commands.table import refuse
from lightning_collapse.sampling.choice import Sampling

__all__ = ["run_command"]

_SEVERAL: Mapping[Any, type] = {
    list[Path]: Path,
    list[Path] | None: Path,
    list[str] | None: str,
}
"""Parameters that take several values, and what each is."""

expand_home()


class _OneLineParser(ArgumentParser):
    """A parser whose errors are one line: key, value, what is allowed."""

    classes: Sequence[str] = ()

    stand_ins: Mapping[str, bool] = {}

    def format_help(self, *args: Any, **options: Any) -> str:
        text: str = super().format_help(*args, **options)
        return re.sub(rf",\s+known\s+subclasses:\s+{STAND_IN}\.\w+", "", text)

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        key = re.match(r'Parser key "([^".]+)', message)
        if any(self.stand_ins.values()) and self.stand_ins.get(key[1] if key else "", not key):
            known = re.match(r"unrecognized arguments|.* required|argument ", message)
            told = re.findall(r"(?:path string|Got value|Given value): (.+)$", message, re.M)
            no_list = "Expected a <class 'list'>. Got value" in message
            wrong = no_list or any(not _may_be_class(each) for each in told)
            if not known and not wrong:
                raise RealNeededError
        classes = [] if isinstance(self.classes, type) else self.classes
        refuse(one_line(message, [action.dest for action in self._actions], classes))


def _may_be_class(text: str) -> bool:
    """Whether it names a class of this package, or one of a module that is not imported here."""
    if text.startswith(("{", "[{")):
        return True
    return all(part.isidentifier() for part in text.split(".")) and (
        "." in text or is_defined(text)
    )


def run_command(
    name: str,
    command: Callable[..., Any],
    arguments: list[str],
    positional: bool = True,
    without: Collection[str] = (),
    reads: Collection[str] = (),
    unless: Collection[str] = (),
    classes: Sequence[str] = (),
) -> None:
    """Calls `command` with the arguments of a command line.

    Its docstring is the help. A parameter `sampling` comes as the fields of `Sampling`, each an
    option of its own; `num_steps` is `--steps`. A ValueError or OSError that the command raises is
    what the user got wrong, or the disk did: one line on standard error, and exit status 2.

    Args:
        name: of the command, for the help: `toy gaussian`.
        command: the function, with a type on every parameter.
        arguments: what follows the command's name.
        positional: whether parameters without a default come by position, or by name.
        without: fields of `Sampling` that the command has no use for.
        reads: parameters that name files or folders, which must be there.
        unless: words that name something else for any of these.
        classes: what options may name without a module, for hints.
    """
    about = (inspect.getdoc(command) or "").partition("\n\n")[0]
    parser = _OneLineParser(
        prog=f"lightning-collapse {name}", description=about, allow_abbrev=False
    )
    parser.classes = classes
    parameters = inspect.signature(command).parameters
    configurable = "config" not in parameters  # which means another one there
    if configurable:
        parser.add_argument("--config", action="config", help="Path to a configuration file.")
    parser.stand_ins = {key: f"{STAND_IN}." in repr(p.annotation) for key, p in parameters.items()}
    several = _add_several(parser, command)
    parser.add_function_arguments(
        command,
        as_group=False,
        as_positional=positional,
        skip={"sampling", *several},
        sub_configs=True,
    )
    default = parameters.get("sampling")
    if default is not None:
        _add_sampling(parser, default.default, without)
    try:
        words = [_underscored(word) for word in arguments]
        parsed = parser.parse_args(words)
        for field in reads:
            if str(parsed[field]) not in unless:
                _check_there(field, parsed[field])
        needed = [key for key, stands_in in parser.stand_ins.items() if stands_in]
        if any(parsed[key] != parameters[key].default for key in needed):
            raise RealNeededError
        options = parser.instantiate_classes(parsed)
        if configurable:
            options.pop("config")
        if default is not None:
            options["sampling"] = _take_sampling(options)
        command(**options)
    except BrokenPipeError:
        # Whoever reads has enough; nor shall Python's own end say that it cannot write.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)
    except (ValueError, OSError) as error:
        refuse(made_line(error))


def _add_several(parser: ArgumentParser, command: Callable[..., Any]) -> set[str]:
    """Adds parameters that are lists, the first parameter by position; gives their names."""
    names: set[str] = set()
    documented = dict(
        re.findall(r"^    (\w+): ((?:.|\n {8})*)", inspect.getdoc(command) or "", re.M)
    )
    for i, (name, parameter) in enumerate(inspect.signature(command).parameters.items()):
        if (kind := _SEVERAL.get(parameter.annotation)) is None:
            continue
        needed = parameter.default is inspect.Parameter.empty
        added = parser.add_argument(
            f"--{name}" if i else name,
            nargs="+" if i or needed else "*",
            type=kind,
            metavar="PATH" if i else None,
            help=" ".join(documented.get(name, "").split()),
        )
        added.required = not i and needed
        names.add(name)
    return names


def _add_sampling(parser: ArgumentParser, default: Sampling, without: Collection[str]) -> None:
    parser.add_argument(
        "--steps", type=int, default=default.num_steps, help="number of noise levels above 0."
    )
    parser.add_class_arguments(Sampling, as_group=False, skip={"num_steps", *without})
    fields = asdict(default)
    parser.set_defaults({name: fields[name] for name in fields.keys() - {"num_steps", *without}})


def _take_sampling(options: Namespace) -> Sampling:
    """Takes the fields of `Sampling` out of the options that were given."""
    steps = options.pop("steps")
    if steps < 1:
        raise ValueError(f"steps = {steps}: must be at least 1")
    names = inspect.signature(Sampling).parameters
    fields = {name: options.pop(name) for name in names if name in options}
    return Sampling(num_steps=steps, **fields)


def _check_there(field: str, named: Path | list[Path] | None) -> None:
    for path in named if isinstance(named, list) else [named]:
        if path is not None and not path.exists():
            raise FileNotFoundError(f"{field} = {path}: no such file or folder")


def _underscored(word: str) -> str:
    """Lets options be written with dashes too: `--on-bad-image` for `--on_bad_image`."""
    if not word.startswith("--"):
        return word
    option, equals, value = word[2:].partition("=")
    return f"--{option.replace('-', '_')}{equals}{value}"
