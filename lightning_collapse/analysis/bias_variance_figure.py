"""The figure of bias² and variance: curves over rounds, or over numbers of rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lightning_collapse.analysis.intervals import Interval, parts
from lightning_collapse.toys.figures import draw_band, new_figure, save_figure, style

__all__ = ["Curve", "draw_curves"]


@dataclass(frozen=True)
class Curve:
    """A line of the figure.

    Attributes:
        label: what it is; one that ends in `theory` is dashed, in the colour of the one before.
        places: along the axis (P,).
        values: (P,).
        bands: intervals (P,); None where there are none.
    """

    label: str
    places: Sequence[int]
    values: Sequence[float] | NDArray[np.float64]
    bands: Sequence[Interval] | None = None


def draw_curves(out: Path, curves: Sequence[Curve], along: str) -> None:
    """Writes `bias_variance.png` and `.pdf`."""
    figure = new_figure(7, 4.5)
    axes = figure.subplots()
    i = -1
    for curve in curves:
        if curve.label.endswith("theory"):
            axes.plot(curve.places, curve.values, "--", lw=1, color=style(max(i, 0))["color"])
            continue
        i += 1
        if curve.bands:
            _, low, high = parts(curve.bands)
            draw_band(axes, curve.places, curve.values, low, high, i=i, label=curve.label)
        else:
            looks = style(i, len(curve.places))
            axes.plot(curve.places, curve.values, lw=1.2, label=curve.label, **looks)
    axes.axhline(0, color="0.6", lw=0.6)
    axes.set(xlabel=along, ylabel="debiased; theory dashed")
    axes.legend(fontsize=7)
    save_figure(figure, out, "bias_variance")
