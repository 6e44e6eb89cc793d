"""Figures of the least number of real rows: the search in the Gaussian loop, verdicts of runs."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lightning_collapse.analysis.min_real import Bracket, RealRows
from lightning_collapse.theory.gaussian import ratio_to_population, ratio_to_subset
from lightning_collapse.toys.figures import new_figure, save_figure, style

__all__ = ["draw_search", "draw_verdicts"]


def draw_search(out: Path, brackets: Sequence[Bracket], rho: float, n: int) -> None:
    """Writes `min_real.png` and `.pdf`: where the variance settles, theory as lines."""
    figure = new_figure(6, 4)
    axes = figure.subplots()
    m = np.unique(np.geomspace(2, n - 1, 200).round())
    for i, one in enumerate(brackets):
        exact = ratio_to_population if one.reference == "population" else ratio_to_subset
        axes.plot(m, exact(m, n), lw=1, color=style(i)["color"])
        looks = style(i, 1)
        tried = [one.m for one in one.tried]
        axes.plot(tried, [one.ratio for one in one.tried], lw=0, label=one.reference, **looks)
    axes.axhline(rho, color="black", lw=0.8, ls=":")
    axes.set(xscale="log", xlabel="real rows in every round", ylabel="variance that is kept")
    axes.legend()
    save_figure(figure, out, "min_real")


def draw_verdicts(out: Path, told: RealRows) -> None:
    """Writes `min_real.png` and `.pdf`: the excess over the control against m."""
    figure = new_figure(6, 4)
    axes = figure.subplots()
    pairs = zip(told.rows, told.verdicts, strict=True)
    known = [(m, one.excess) for m, one in pairs if one.excess is not None]
    if known:
        x, y = [m for m, _ in known], [excess.mean for _, excess in known]
        ends = [[e.mean - e.low for _, e in known], [e.high - e.mean for _, e in known]]
        axes.errorbar(x, y, ends, fmt="o-", capsize=3, lw=1)
    axes.axhline(told.verdicts[0].margin, color="black", lw=0.8, ls=":", label="margin")
    axes.set(xlabel="real rows in every round", ylabel="excess over the control")
    axes.legend()
    save_figure(figure, out, "min_real")
