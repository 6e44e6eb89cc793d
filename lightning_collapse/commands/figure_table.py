"""Figures as a table that fits the terminal."""

import shutil
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["figure_table"]

_CELL, _LEAST_NOTE = 13, 22


def figure_table(columns: Mapping[str, Mapping[str, Any]], notes: Mapping[str, str]) -> str:
    """Gives a line a figure, and a column each set; what is too wide goes on below.

    Args:
        columns: title -> figures by name, numbers and texts; a list takes a line a number.
        notes: a few words on some of the figures.
    """
    width = max(60, shutil.get_terminal_size().columns)
    flat = {title: dict(_flat(figures)) for title, figures in columns.items()}
    names = list(dict.fromkeys(name for figures in flat.values() for name in figures))
    first = max(map(len, names), default=0) + 1
    titles, fit = list(flat), max(1, (width - first) // _CELL)
    blocks = []
    for start in range(0, len(titles), fit):
        shown = titles[start : start + fit]
        blocks.append(" " * first + "".join(title.rjust(_CELL) for title in shown))
        for name in names:
            cells = "".join(_cell(flat[title].get(name)).rjust(_CELL) for title in shown)
            blocks += _noted(f"{name:{first}}{cells}", notes.get(name, ""), width)
    return "\n".join(blocks)


def _noted(line: str, note: str, width: int) -> list[str]:
    """A line with its note: beside it, or below where there is no room."""
    beside = width - len(line) - 2
    if beside >= min(_LEAST_NOTE, len(note)):
        first, *rest = textwrap.wrap(note, beside) or [""]
        return [f"{line}  {first}".rstrip(), *(" " * (len(line) + 2) + part for part in rest)]
    return [line, *textwrap.wrap(note, width, initial_indent="    ", subsequent_indent="    ")]


def _flat(figures: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in figures.items():
        if isinstance(value, list):
            yield from ((f"{name}/{i}", part) for i, part in enumerate(value))
        else:
            yield name, value


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.5g}" if isinstance(value, float) else str(value)
