"""`lightning-collapse plot`: a run's table of rounds and its picture, or one picture of many."""

from pathlib import Path

from lightning_collapse.analysis.conditions import find_runs
from lightning_collapse.commands.arguments import run_command
from lightning_collapse.commands.paths import check_file
from lightning_collapse.data.files import make_folder, write_atomically
from lightning_collapse.report.comparison import Comparison, compare, told_in_a_line
from lightning_collapse.report.drawn import encoded
from lightning_collapse.report.figures import plot_run
from lightning_collapse.report.picture import draw_picture
from lightning_collapse.report.strips import read_strips
from lightning_collapse.report.words import closing, in_words
from lightning_collapse.runs.layout import Run
from lightning_collapse.runs.records import (
    check_runs,
    distance_name,
    runs_in,
    table_header,
    table_line,
)

__all__ = ["main", "plot"]

_SUFFIXES = (".png", ".pdf", ".svg")


def main(arguments: list[str]) -> None:
    """Runs the command."""
    words = ["--out" if word == "-o" else word for word in arguments]
    run_command("plot", plot, words, reads=["runs"])


def plot(runs: list[Path], out: Path | None = None) -> None:
    """Draws a run's collapse.png anew and prints its table, or one picture of several runs.

    The picture of several groups them by condition, over seeds, beside their control.

    Args:
        runs: folder of the run, or folders of runs, or of sweeps.
        out: the picture of several runs, .png, .pdf or .svg; also `-o`; by default plot.png.
    """
    check_runs(runs)
    if out is not None and out.suffix not in _SUFFIXES:
        raise ValueError(f"out = {out}: must end in {' or '.join(_SUFFIXES)}")
    check_file("out", out)
    only = runs[0] if len(runs) == 1 else None
    if only and out is None and [run.path for run in runs_in(only)] == [only]:
        _plot_one(only)
    else:
        _plot_several(runs, out or Path("plot.png"))


def _plot_one(run: Path) -> None:
    with told_in_a_line(run):
        records = Run(run).records
        print(table_header(distance_name(records[0])))
        for record in records:
            print(table_line(record))
        print(f"picture: {plot_run(Run(run))}")


def _plot_several(runs: list[Path], out: Path) -> None:
    with told_in_a_line(runs[0]):
        one = _one(compare(find_runs(runs)))
        drawn = draw_picture(one, read_strips(one, 2, 96))
    data = encoded(drawn.figure, out.suffix[1:])
    make_folder(out.parent)
    write_atomically(out, lambda file: file.write(data))
    print(*in_words(one), sep="\n")
    print(f"picture: {out}")
    print(closing(one))


def _one(comparisons: list[Comparison]) -> Comparison:
    if len(comparisons) > 1:
        a, b = comparisons[:2]
        raise ValueError(
            f"runs = {b.runs[0]}: cannot stand in one picture with {a.runs[0]}: {b.title} is not "
            f"{a.title}; name runs of one, or make a report of all"
        )
    return comparisons[0]
