"""The figures of the mixture toy: courses over rounds by λ, and the last samples."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lightning_collapse.learners.mixtures import Mixtures
from lightning_collapse.toys.conditions import Condition
from lightning_collapse.toys.figures import (
    draw_replicas,
    label_lines,
    new_figure,
    ramp_of,
    save_figure,
)
from lightning_collapse.toys.gmm import Course, Protocol, replica_seed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["COURSES", "ENDS", "REAL", "SAMPLES", "draw_fit", "draw_mixtures", "draw_points"]

Array = NDArray[np.float64]

REAL, SAMPLES, FIT = "#7F7F7F", "#0072B2", "#D55E00"
_SCATTERED = 1000

ENDS = "sliced 2-Wasserstein distance to real points"
COURSES = {
    "modes_covered": "modes covered\n(of {modes}, within {threshold:g} of a fitted mean)",
    "sliced_wasserstein": "sliced 2-Wasserstein distance\nof samples to real points",
    "variance": "mean fitted variance\n(over components and axes)",
}


def draw_mixtures(out: Path, courses: Sequence[Course], protocol: Protocol) -> None:
    """Draws modes covered, distance and variance over rounds, and the last samples."""
    for name, label in COURSES.items():
        figure = new_figure(6.8, 4.8)
        text = label.format(modes=len(protocol.modes), threshold=protocol.threshold)
        _draw_courses(figure.subplots(), courses, name, text)
        figure.suptitle(_title(courses, protocol), fontsize=10)
        save_figure(figure, out, name)
    save_figure(_scatter(courses, protocol), out, "samples")


def _draw_courses(axes: "Axes", courses: Sequence[Course], name: str, label: str) -> None:
    ramp = ramp_of([course.condition.fraction for course in courses])
    draw_replicas(axes, {_counts(c.condition): c.statistics[name] for c in courses}, ramp)
    axes.set_ylabel(label)
    label_lines(axes, "mean and 5–95 % of replicas", ramp)


def _counts(condition: Condition) -> str:
    return f"{condition.label}: {condition.samples_per_round:,} samples a round"


def _scatter(courses: Sequence[Course], protocol: Protocol) -> "Figure":
    figure = new_figure(max(6.4, 3 * len(courses)), 4)
    all_axes = figure.subplots(1, len(courses), sharex=True, sharey=True, squeeze=False)[0]
    for axes, course in zip(all_axes, courses, strict=True):
        condition = course.condition
        real = protocol.real_rows(condition.n_real, replica_seed(protocol.seed, 0))
        draw_points(axes, real, REAL, "real")
        draw_points(axes, course.samples, SAMPLES, "samples")
        draw_fit(axes, course.last)
        axes.set_title(condition.label, fontsize=10)
        axes.set_xlabel("x₁")
        axes.set_aspect("equal")
    all_axes[0].set_ylabel("x₂")
    all_axes[0].legend(fontsize=7, markerscale=3, loc="upper left")
    figure.suptitle(f"{_title(courses, protocol)}; round {protocol.rounds - 1}", fontsize=10)
    return figure


def draw_points(axes: "Axes", rows: Array, colour: str, label: str) -> None:
    """Draws the first thousand rows (n, d), on their first two axes."""
    some = rows[:_SCATTERED]
    axes.plot(some[:, 0], some[:, 1], ".", ms=1.5, alpha=0.5, color=colour, label=label)


def draw_fit(axes: "Axes", fit: Mixtures) -> None:
    """Draws every component of one replica at two standard deviations, on the first two axes."""
    angle = np.linspace(0, 2 * np.pi, 100)
    circle = 2 * np.stack([np.cos(angle), np.sin(angle)])
    label = "fit, 2 std"
    for weight, mean, C in zip(fit.weights[0], fit.means[0], fit.covariances[0], strict=True):
        if weight > 0:
            values, vectors = np.linalg.eigh(C[:2, :2])
            x, y = mean[:2, None] + (vectors * np.sqrt(np.maximum(values, 0))) @ circle
            axes.plot(x, y, color=FIT, lw=1.2, label=label)
            # A fit that has shrunk to a point is no line.
            axes.plot(*mean[:2], "+", color=FIT, ms=7, mew=1.4)
            label = "_"  # one entry in the legend


def _title(courses: Sequence[Course], protocol: Protocol) -> str:
    condition = courses[0].condition
    return (
        f"{condition.name}: {protocol.components} components, N = {condition.n:,}, "
        f"{protocol.replicas} replicas, {protocol.init} start, reg_covar = {protocol.reg_covar:g}"
    )
