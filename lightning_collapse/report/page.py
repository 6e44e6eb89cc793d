"""The report: one page of runs, which needs nothing beside itself, and the figures for papers.

It is made of records and sample rows alone, and equal ones give equal bytes.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from html import escape
from importlib.resources import files
from pathlib import Path

from lightning_collapse.report.comparison import Comparison
from lightning_collapse.report.drawn import save_drawn
from lightning_collapse.report.picture import draw_picture
from lightning_collapse.report.rounds_table import plain_table
from lightning_collapse.report.sections import (
    conditions_table,
    cost_table,
    figures_bar,
    figures_of,
    least_real_words,
    listed,
    looks_style,
    made_by,
    plots,
    sampler_words,
    strips_of,
    table,
    verdict_box,
    what_was_run,
)
from lightning_collapse.report.strips import read_strips
from lightning_collapse.report.words import closing, warnings_of

__all__ = ["SECTIONS", "page", "save_figures"]

SECTIONS = {
    "verdict": "Verdict",
    "conditions": "Conditions",
    "curves": "Round by round",
    "dose": "Against the share of samples",
    "samples": "Samples of the same seeds",
    "structure": "Spectrum, modes, classes",
    "sampler": "The sampler alone",
    "cost": "What it took",
    "warnings": "To beware of",
    "made": "Made by",
    "table": "Table",
}
"""Ids of a comparison's sections, in their order, and their headings."""

Table = tuple[Sequence[str], Sequence[Sequence[str]]]
"""The head and the lines of a table."""

_STRIPS = 24
"""Samples of so many rounds are shown, of all conditions together, but two of each."""


def page(
    comparisons: Sequence[Comparison],
    title: str,
    commands: Mapping[Path, str] | None = None,
    left_out: Iterable[str] = (),
    further: Mapping[str, tuple[str, Sequence[Table]]] | None = None,
) -> str:
    """Gives the page as HTML.

    Args:
        comparisons: of which each has its own sections.
        title: of the page.
        commands: of runs, by their resolved folders, where they are not in the runs' files.
        left_out: what was left out of the page, and why.
        further: sections, by their headings: a text, and tables of plain text, head and lines.
    """
    body = [f"<h1>{escape(title)}</h1>"]
    if len(comparisons) > 1:
        links = (
            f'<a href="#g{i}-runs">{escape(one.title)}</a>: {escape(closing(one))}'
            for i, one in enumerate(comparisons)
        )
        body.append(
            f"<p>These runs make {len(comparisons)} comparisons: their figures are of different "
            "data, numbers of rows, feature spaces or versions, and no curve goes across.</p>"
            + listed(links)
        )
    if noted := list(left_out):
        body.append(f"<p>Left out: {escape('; '.join(noted))}.</p>")
    for i, one in enumerate(comparisons):
        body.append(_comparison(one, f"g{i}-", len(comparisons) > 1, commands or {}))
    for heading, (text, several) in (further or {}).items():
        made = [
            table(head, [list(map(escape, line)) for line in lines]) for head, lines in several
        ]
        body.append(
            f"<section><h2>{escape(heading)}</h2><p class=mute>{escape(text)}</p>{''.join(made)}"
            "</section>"
        )
    head = _HEAD.format(title=escape(title), style=_read("page.css"))
    return head + "\n".join(body) + f"\n<script>{_read('page.js')}</script></body></html>\n"


def save_figures(comparisons: Sequence[Comparison], folder: Path) -> list[str]:
    """Writes the page's figures as PNG, SVG and PDF; gives their names without suffix."""
    names = []
    for i, one in enumerate(comparisons):
        prefix = f"{i + 1}_" if len(comparisons) > 1 else ""
        groups = figures_of(one, legend=True)
        picture = draw_picture(one, read_strips(one, 2, 96))
        for drawn in [*(each for group in groups.values() for each in group), picture]:
            names.append(f"{prefix}{drawn.name}")
            save_drawn(replace(drawn, name=names[-1]), folder)
    return names


_HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; \
style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>{title}</title>
<style>{style}</style></head><body>
"""


def _read(name: str) -> str:
    return (files("lightning_collapse.report") / name).read_text("utf-8")


def _comparison(one: Comparison, prefix: str, several: bool, commands: Mapping[Path, str]) -> str:
    strips = read_strips(one, max(2, min(4, _STRIPS // len(one.all))))
    warned = warnings_of(one)
    drawn = figures_of(one, legend=False)
    parts = {
        "verdict": verdict_box(one),
        "conditions": conditions_table(one),
        "curves": figures_bar(one) + plots(one, drawn["curves"], prefix),
        "dose": plots(one, drawn["dose"], prefix) + least_real_words(one),
        "samples": strips_of(strips),
        "structure": plots(one, drawn["structure"], prefix),
        "sampler": sampler_words(one),
        "cost": cost_table(one),
        "warnings": listed(map(escape, warned)) if warned else "<p>Nothing was found.</p>",
        "made": made_by(one, commands),
        "table": plain_table(one),
    }
    head = f"<h2>{escape(one.title)}</h2>" if several else ""
    scope = f"{prefix}runs"
    text = [f'<section class=looks id="{scope}">{looks_style(one, scope)}']
    text.append(f"{head}<p class=mute>{what_was_run(one)}</p>")
    for name, heading in SECTIONS.items():
        text.append(f'<section id="{prefix}{name}"><h2>{heading}</h2>{parts[name]}</section>')
    return "\n".join([*text, "</section>"])
