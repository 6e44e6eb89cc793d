"""The page's plain table, and all runs' numbers as CSV."""

import base64
import csv
import io
from html import escape

import numpy as np

from lightning_collapse.report.comparison import Comparison, course
from lightning_collapse.report.curves import panels
from lightning_collapse.report.sections import table

__all__ = ["csv_of", "plain_table"]

_MOST_LINES, _MOST_BYTES = 400, 300_000


def plain_table(one: Comparison) -> str:
    """Gives the mean over seeds of the figures of every round, and a link to the runs' own."""
    names = [panel.figure for panel in panels(one, "curves")]
    lines, left = [], 0
    for judged in one.all:
        rounds = judged.condition.rounds
        shown = max(2, _MOST_LINES // len(one.all))
        some = np.unique(np.linspace(0, rounds - 1, min(rounds, shown)).round().astype(int))
        left += rounds - len(some)
        means = [course(judged.condition, name).mean for name in names]
        for r in some:
            cells = [f"{mean[r]:.4g}" if np.isfinite(mean[r]) else "–" for mean in means]
            lines.append([escape(judged.label), str(r), *cells])
    note = f" {left} rounds are left out." if left else ""
    head = ["condition", "round", *names]
    return (
        f"<p class=mute>Means over seeds, of the rounds that all have.{note} {_link(one)}</p>"
        + table(head, lines, "small")
    )


def _link(one: Comparison) -> str:
    for names in ([panel.figure for panel in panels(one, "curves")], [one.headline]):
        data = csv_of(one, names)
        if len(data) <= _MOST_BYTES:
            told = base64.b64encode(data).decode()
            return (
                f'<a download="rounds.csv" href="data:text/csv;base64,{told}">Every run and round '
                "as CSV</a>, digits as recorded."
            )
    return "Every run and round is in the runs' own rounds.csv."


def csv_of(one: Comparison, names: list[str]) -> bytes:
    """Gives a line a run and round, with figures as they are recorded."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    floors = [f"{name}_floor" for name in names]
    floors = [name for name in floors if name in one.first.first[0]]
    columns = ["round", "n_real", "n_synthetic", *names, *floors, "collapsed"]
    writer.writerow(["condition", "run", "seed", *columns])
    for judged in one.all:
        for run, records in judged.pairs:
            for record in records:
                own = [record.get(name) for name in columns]
                writer.writerow([judged.label, run.path.name, records[0]["seed"], *own])
    return text.getvalue().encode()
