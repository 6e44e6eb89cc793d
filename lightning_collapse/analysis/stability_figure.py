"""Figures of recursive stability: distances by one exchanged row, by chance; a bound's terms."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lightning_collapse.analysis.bound_terms import Terms
from lightning_collapse.analysis.intervals import parts
from lightning_collapse.analysis.stability import Stability
from lightning_collapse.toys.figures import draw_band, new_figure, save_figure, style

__all__ = ["draw_stability", "draw_terms"]


def draw_stability(out: Path, told: Sequence[Stability]) -> None:
    """Writes `stability.png` and `.pdf`: a panel a distance, a line a number of rows.

    Theory is dashed, and what other chance does dotted, in the colour of its line.
    """
    distances = list(dict.fromkeys(one.distance for one in told))
    figure = new_figure(5 * len(distances), 4)
    panels = figure.subplots(1, len(distances), squeeze=False)[0]
    for axes, distance in zip(panels, distances, strict=True):
        shown = [one for one in told if one.distance == distance]
        for i, one in enumerate(shown):
            rounds, colour = np.arange(len(one.gamma)), style(i)["color"]
            draw_band(axes, rounds, one.gamma, one.low, one.high, i=i, label=f"N = {one.n:,}")
            axes.plot(rounds, np.where(one.null > 0, one.null, np.nan), ":", lw=1, color=colour)
            if one.theory is not None:
                axes.plot(rounds, one.theory, "--", lw=1, color=colour)
        axes.set(xlabel="round", ylabel=f"{distance}: γ; other chance dotted", yscale="log")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.legend(fontsize=7)
    save_figure(figure, out, "stability")


def draw_terms(out: Path, told: Sequence[Terms]) -> None:
    """Writes `terms.png` and `.pdf`: a panel a term, a line a number of rows."""
    figure = new_figure(14, 3.2)
    labels = ["gap of losses", "cumulative shift, at least", "β: change by one row", "M / √N"]
    panels = figure.subplots(1, len(labels))
    for i, one in enumerate(told):
        name, rounds, gap = f"N = {one.n:,}", np.arange(len(one.beta)), parts(one.gap or [])
        draw_band(panels[0], rounds[: gap.shape[1]], *gap, i=i, label=name)
        for axes, values in zip(panels[1:], (one.shift, one.beta, one.per_root), strict=True):
            if values is not None:
                axes.plot(rounds, values, lw=1.2, label=name, **style(i, len(rounds)))
    for axes, label in zip(panels, labels, strict=True):
        axes.set(xlabel="round", ylabel=label)
        axes.xaxis.get_major_locator().set_params(integer=True)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize=7)
    save_figure(figure, out, "terms")
