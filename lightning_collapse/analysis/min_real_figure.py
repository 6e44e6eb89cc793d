"""Figures of the least number of real rows: the search in the Gaussian loop, and runs."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lightning_collapse.analysis.min_real import Bracket
from lightning_collapse.analysis.real_rows import Alone, Level, RealRows
from lightning_collapse.theory.gaussian import ratio_to_population, ratio_to_subset
from lightning_collapse.toys.figures import label_lines, new_figure, save_figure, style

__all__ = ["draw_real_rows", "draw_search"]


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
    axes.axhline(rho, color="black", lw=0.8, ls=":", label=f"ρ = {rho:g}")
    axes.plot([], [], color="black", lw=1, label="theory, of the mean")
    axes.set(xscale="log", xlabel="real rows in every round", ylabel="variance that is kept")
    label_lines(axes, "marks: mean of replicas")
    save_figure(figure, out, "min_real")


def draw_real_rows(out: Path, told: RealRows) -> None:
    """Writes `min_real.png` and `.pdf`: the excess over the control against m.

    With pooled one-sided bounds, the isotonic fit, and m real rows alone.
    """
    figure = new_figure(6, 4.6)
    axes = figure.subplots()
    drawn: dict[str, Sequence[Level | Alone]] = {
        "with samples": told.levels,
        "m real rows alone": told.alone,
    }
    for i, (label, ms) in enumerate(drawn.items()):
        pairs = [(one.m, one.excess) for one in ms if one.excess is not None]
        ends = [[e.value - e.low for _, e in pairs], [e.high - e.value for _, e in pairs]]
        looks = {name: style(i)[name] for name in ("color", "marker", "markersize")}
        x, y = [m for m, _ in pairs], [excess.value for _, excess in pairs]
        if pairs:
            axes.errorbar(x, y, ends, ls="-" if i else "", lw=1, capsize=3, label=label, **looks)
    fit = [(one.m, one.fit) for one in told.levels if one.fit is not None]
    if fit and told.passes is not None:
        course = np.array([*fit, (told.n, 0.0)])
        axes.plot(*course.T, lw=1, color=style(0)["color"], label="isotonic fit")
        axes.axvspan(told.passes.low, told.passes.high, color="0.85", lw=0, zorder=0)
        axes.axvline(
            told.passes.mean, color="0.6", lw=0.8, label="where it passes the margin, 95 %"
        )
    axes.axhline(told.margin, color="black", lw=0.8, ls=":", label="margin")
    # Linear as far as the first number of rows: no rows have a place too.
    least = min([one.m for one in told.levels if one.m] or [1])
    axes.set_xscale("symlog", linthresh=least, linscale=0.5)
    ticks = [*(one.m for one in told.levels), told.n]
    axes.set_xticks(ticks, [f"{m:,}" for m in ticks])
    axes.minorticks_off()
    axes.set(xlabel="real rows in every round", ylabel=f"{told.figure}: excess over the control")
    label_lines(axes, "bars: pooled one-sided 95 % bounds")
    save_figure(figure, out, "min_real")
