"""Figures of profiles: the excess over the control, steps of the mean, distances of all rounds."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lightning_collapse.analysis.intervals import parts, t_interval
from lightning_collapse.analysis.meanings import headline_figure
from lightning_collapse.analysis.profile import Profile
from lightning_collapse.toys.figures import draw_band, new_figure, save_figure, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_profiles"]


def draw_profiles(out: Path, profiles: Sequence[Profile]) -> list[str]:
    """Writes `profile` and, for each condition whose samples were read, `distances`; png and pdf.

    Returns:
        The names of the figures, without suffix.
    """
    figure = new_figure(10, 4)
    left, right = figure.subplots(1, 2)
    _draw_excess(left, profiles)
    _draw_steps(right, profiles)
    save_figure(figure, out, "profile")
    names = ["profile"]
    for i, one in enumerate(profiles):
        if one.distances is not None:
            names.append("distances" if len(profiles) == 1 else f"distances_{i}")
            _draw_distances(out, names[-1], one)
    return names


def _draw_excess(axes: "Axes", profiles: Sequence[Profile]) -> None:
    """Mean over seeds in every round, with its interval; the margin as a gray strip."""
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    for i, one in enumerate(profiles):
        figure = headline_figure(one.condition)
        series = one.condition.series(figure)
        control = {} if one.control is None else one.control.series(figure)
        pairs = [replica for replica in series if replica in control] or list(series)
        zero = np.zeros(one.condition.rounds)
        rounds = min(len(part[r]) for r in pairs for part in (series, control) if r in part)
        values = np.stack([series[r][:rounds] - control.get(r, zero)[:rounds] for r in pairs])
        x, label = np.arange(rounds), one.condition.name
        if len(pairs) > 1:
            draw_band(axes, x, *parts(map(t_interval, values.T)), i=i, label=label)
        else:
            axes.plot(x, values[0], label=label, **style(i, rounds))
    controlled = profiles[0].control is not None
    if controlled and np.isfinite(margin := profiles[0].verdict.margin):
        axes.axhspan(-margin, margin, color="0.85", lw=0, label="margin")
    figure = headline_figure(profiles[0].condition)
    axes.set(xlabel="round", ylabel=f"{figure} minus the control's" if controlled else figure)
    axes.legend(fontsize=7)


def _draw_steps(axes: "Axes", profiles: Sequence[Profile]) -> None:
    """Squared steps of the mean, and the power of the fit's number that goes through them."""
    for i, one in enumerate(profiles):
        steps = np.array(one.exponent.steps)
        number = np.arange(2, 2 + len(steps))
        told = one.exponent.value
        label = one.condition.name + ("" if told is None else f": exponent {told:.2f}")
        axes.plot(number, np.where(steps > 0, steps, np.nan), lw=0, label=label, **style(i, 1))
        if told is not None:
            line = number**told * (steps / number**told).mean()
            axes.plot(number, line, lw=1, color=style(i)["color"])
    axes.set(xlabel="fit", ylabel="squared step of the mean")
    # Steps may all be lost in noise, and below 0.
    if any(step > 0 for one in profiles for step in one.exponent.steps):
        axes.set(xscale="log", yscale="log")
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=7)


def _draw_distances(out: Path, name: str, profile: Profile) -> None:
    """Distances between all sets, as colours and numbers."""
    distances = np.asarray(profile.distances)
    size = len(distances)
    figure = new_figure(1.5 + 0.55 * size, 1 + 0.5 * size)
    axes = figure.subplots()
    image = axes.imshow(distances, cmap="cividis", vmin=0)
    axes.set_xticks(range(size), profile.sets, rotation=90, fontsize=8)
    axes.set_yticks(range(size), profile.sets, fontsize=8)
    if size <= 14:
        for i, j in np.ndindex(size, size):
            dark = distances[i, j] < distances.max() / 2
            told = f"{distances[i, j]:.2g}"
            axes.text(j, i, told, ha="center", va="center", color="w" if dark else "k", fontsize=6)
    axes.set_title(f"{profile.condition.name}, {profile.rows} rows each", fontsize=8)
    figure.colorbar(image, label="squared Fréchet distance")
    save_figure(figure, out, name)
