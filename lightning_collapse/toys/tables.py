"""What toys and analyses write: `summary.json`, and `rounds.csv`; equal numbers, equal bytes."""

import csv
import io
import json
import math
import os
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import Any

from lightning_collapse.data.files import write_atomically

__all__ = [
    "command_line",
    "named",
    "only_checks",
    "open_folder",
    "write_summary",
    "write_tables",
]

Summary = Mapping[str, Any]


def command_line(name: str, *positional: object, **options: object) -> str:
    """Gives the command that makes a result, such as `toy gaussian --n 1000`.

    Leave out where the result goes: it says nothing of the result. Options that are None are not
    there.
    """
    words = [
        f"--{option} {_word(value)}" for option, value in options.items() if value is not None
    ]
    return " ".join([name, *map(_word, positional), *words])


def _word(value: object) -> str:
    if isinstance(value, list):
        return " ".join(map(_word, value))
    return shlex.quote(json.dumps(value) if isinstance(value, dict) else str(value))


def named(objects: Sequence[Any]) -> str | None:
    """Gives dataclasses as an option names them, by class and what is not as by default."""
    told = [
        {
            "class_path": f"{type(one).__module__}.{type(one).__qualname__}",
            "init_args": {
                field.name: value
                for field in fields(one)
                if (value := getattr(one, field.name)) != field.default
            },
        }
        for one in objects
    ]
    return json.dumps(told, default=str) if told else None


class _Checked(Exception):  # noqa: N818 - tells of no error
    """Ends a toy that was only to check its options."""


_ONLY_CHECKS: ContextVar[bool] = ContextVar("only_checks", default=False)


@contextmanager
def only_checks() -> Iterator[None]:
    """Ends toys that are run within it where they would open their folder: all is checked then."""
    before = _ONLY_CHECKS.set(True)
    try:
        yield
    except _Checked:
        pass
    finally:
        _ONLY_CHECKS.reset(before)


def open_folder(out: Path) -> Path:
    """Makes the folder that a toy writes to, when its options are checked, before all else.

    Raises:
        OSError: it cannot be made, or cannot be written to.
    """
    if _ONLY_CHECKS.get():
        raise _Checked
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = "it is a file" if out.is_file() else error.strerror
        raise OSError(f"out = {out}: cannot be made ({reason}); name another folder") from None
    if not os.access(out, os.W_OK | os.X_OK):
        raise OSError(f"out = {out}: cannot be written to; name another folder")
    return out


def write_tables(out: Path, command: str, conditions: Sequence[Summary]) -> None:
    """Writes the results of a toy to `summary.json`, and as a table to `rounds.csv`.

    Args:
        out: folder, which exists.
        command: what made them.
        conditions: each holds plain values, lists of one number a round (or whatever else the
            table has a line for), and under `theory` a mapping name -> list, with the names of
            the simulated lists. The table calls these `theory_` and the name. NumPy arrays are
            lists; what is not finite is null.
    """
    plain = [_plain(condition) for condition in conditions]
    write_summary(out, command, conditions=plain)
    lines = [line for condition in plain for line in _lines(condition)]
    table = io.StringIO()
    writer = csv.DictWriter(
        table, dict.fromkeys(name for line in lines for name in line), lineterminator="\n"
    )
    writer.writeheader()
    writer.writerows(lines)
    write_atomically(out / "rounds.csv", lambda file: file.write(table.getvalue().encode()))


def write_summary(out: Path, command: str, **content: Any) -> None:
    """Writes `summary.json`: the command that made it, and mappings, lists, arrays and numbers.

    Says so on standard error where it takes the place of what another command has made.
    """
    before = _command_of(out / "summary.json")
    if before not in (None, command):
        print(f"{out}: takes the place of the results of `{before}`", file=sys.stderr)
    text = json.dumps({"command": command, **_plain(content)}, allow_nan=False) + "\n"
    write_atomically(out / "summary.json", lambda file: file.write(text.encode()))


def _command_of(path: Path) -> str | None:
    """The command that made a summary; None where there is none that can be read."""
    try:
        command = json.loads(path.read_bytes())["command"]
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return " ".join(command.split())[:200] if isinstance(command, str) else None


def _plain(value: Any) -> Any:
    """Gives mappings, arrays and numbers as what JSON has."""
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    if isinstance(value, Mapping):
        return {name: _plain(inner) for name, inner in value.items()}
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _lines(condition: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Gives a condition's lines of the table, one for each place of its lists."""
    theory = {f"theory_{name}": values for name, values in condition.get("theory", {}).items()}
    columns = {name: value for name, value in condition.items() if name != "theory"} | theory
    series = {name: values for name, values in columns.items() if isinstance(values, list)}
    fixed = {name: value for name, value in columns.items() if name not in series}
    for place in zip(*series.values(), strict=True):
        yield fixed | dict(zip(series, place, strict=True))
