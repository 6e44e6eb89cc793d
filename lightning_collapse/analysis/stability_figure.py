"""The figure of recursive stability: distances to a run with one row exchanged, and by chance."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from lightning_collapse.analysis.stability import Stability
from lightning_collapse.toys.figures import draw_band, new_figure, save_figure, style

__all__ = ["draw_stability"]


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
        axes.legend(fontsize=7)
    save_figure(figure, out, "stability")
