"""The figure of a mixture beside diffusion: measures over rounds, and components of real rows."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lightning_collapse.analysis.gmm import DIFFUSION, HELD_OUT, MIXTURE, Baseline
from lightning_collapse.analysis.intervals import parts, t_interval
from lightning_collapse.toys.figures import draw_band, new_figure, save_figure, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_baselines"]


def draw_baselines(out: Path, told: Sequence[Baseline], figures: Sequence[str]) -> None:
    """Writes `gmm.png` and `.pdf`.

    Above, up to four figures over rounds: the mean over runs with its interval, floors dashed.
    Below, of the first run, shares, means and variances of the components of its real rows, in
    held-out rows and in the samples of the last round.
    """
    figure = new_figure(3.2 * len(figures), 6)
    above, below = figure.subfigures(2, 1, squeeze=False)[:, 0]
    for axes, name in zip(above.subplots(1, len(figures), squeeze=False)[0], figures, strict=True):
        _draw_rounds(axes, told, name)
    panels = [
        ("shares", "share of rows"),
        ("shift", "shift of the mean / √tr Σ"),
        ("variance", "tr Σ / that of real rows"),
    ]
    for axes, (part, label) in zip(below.subplots(1, 3), panels, strict=True):
        _draw_components(axes, told[0], part, label)
    save_figure(figure, out, "gmm")


def _draw_rounds(axes: "Axes", told: Sequence[Baseline], name: str) -> None:
    from matplotlib.ticker import MaxNLocator

    for i, model in enumerate((DIFFUSION, MIXTURE)):
        values = np.array([one.figures[model][name] for one in told])
        rounds = np.arange(values.shape[1])
        if len(told) > 1:
            draw_band(axes, rounds, *parts(map(t_interval, values.T)), i=i, label=model)
        else:
            axes.plot(rounds, values[0], lw=1.2, label=model, **style(i, len(rounds)))
    floors = [one.figures[DIFFUSION].get(f"{name}_floor", np.full(1, np.nan)) for one in told]
    axes.axhline(float(np.mean([floor[0] for floor in floors])), color="0.4", ls="--", lw=1)
    axes.set(xlabel="round", ylabel=name)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(fontsize=7)


def _draw_components(axes: "Axes", one: Baseline, part: str, label: str) -> None:
    order = np.argsort(-one.real["shares"])
    places = np.arange(len(order))
    if part != "shift":
        reference = one.real["shares"][order] if part == "shares" else np.ones(len(order))
        axes.plot(places, reference, "k_", ms=14, label="training rows")
    for i, name in enumerate((DIFFUSION, MIXTURE, HELD_OUT)):
        values = getattr(one.components[name], part)[-1]
        looks = {key: style(i)[key] for key in ("color", "marker", "markersize")}
        axes.plot(places + 0.15 * (i - 1), values[order], lw=0, label=name, **looks)
    axes.set(xlabel="component of real rows", ylabel=label, xticks=places)
    axes.autoscale_view()
    axes.set_ylim(bottom=0)
    axes.legend(fontsize=7)
