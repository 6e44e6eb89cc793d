"""The figures of the mixture toy: courses over rounds by λ, and the last samples."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from lightning_collapse.data.files import write_atomically
from lightning_collapse.mixtures import Mixtures
from lightning_collapse.toys.gmm import Course, Protocol, replica_seed

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_ellipses", "plot_mixtures", "save"]

Array = NDArray[np.float64]

# Okabe & Ito's colours, which colour-blind readers tell apart.
REAL, SAMPLES, FIT = "#999999", "#0072B2", "#D55E00"
_STYLES = ("-", "--", "-.", ":")
_SCATTERED = 1000

_COURSES = {
    "modes_covered": "modes covered\n(of {modes}, within {threshold:g} of a fitted mean)",
    "sliced_wasserstein": "sliced 2-Wasserstein distance\nof samples to real points",
    "variance": "mean fitted variance\n(over components and axes)",
}


def plot_mixtures(out: Path, courses: Sequence[Course], protocol: Protocol) -> list[Path]:
    """Draws modes covered, distance and variance over rounds, and the last samples; PNG files."""
    paths = []
    for name, label in _COURSES.items():
        figure = Figure(figsize=(6.4, 4.2), layout="constrained")
        text = label.format(modes=len(protocol.modes), threshold=protocol.threshold)
        _draw_courses(figure.subplots(), courses, name, text)
        figure.suptitle(_title(courses, protocol), fontsize=10)
        paths.append(save(figure, out / f"{name}.png"))
    return [*paths, save(_scatter(courses, protocol), out / "samples.png")]


def save(figure: Figure, path: Path) -> Path:
    """Writes a figure as PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150)
    write_atomically(path, lambda file: file.write(buffer.getbuffer()))
    return path


def _draw_courses(axes: "Axes", courses: Sequence[Course], name: str, label: str) -> None:
    colours = matplotlib.colormaps["viridis"](np.linspace(0, 0.8, len(courses)))
    for i, (course, colour) in enumerate(zip(courses, colours, strict=True)):
        values = course.statistics[name]
        rounds = np.arange(values.shape[1])
        low, high = np.quantile(values, [0.05, 0.95], 0)
        axes.fill_between(rounds, low, high, color=colour, alpha=0.2, lw=0)
        style, legend = _STYLES[i % len(_STYLES)], f"λ = {course.condition.fraction:g}"
        axes.plot(rounds, values.mean(0), style, color=colour, label=legend)
    axes.set_xlabel("round")
    axes.set_ylabel(label)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, title="mean, 5-95 % band", title_fontsize=8)
    axes.set_ylim(bottom=0)


def _scatter(courses: Sequence[Course], protocol: Protocol) -> Figure:
    figure = Figure(figsize=(3 * len(courses), 3.6), layout="constrained")
    all_axes = figure.subplots(1, len(courses), sharex=True, sharey=True, squeeze=False)[0]
    for axes, course in zip(all_axes, courses, strict=True):
        condition = course.condition
        real = protocol.real_rows(condition.n_real, replica_seed(protocol.seed, 0))
        draw_points(axes, real, REAL, "real")
        draw_points(axes, course.samples, SAMPLES, "samples")
        draw_ellipses(axes, course.last)
        axes.set_title(f"λ = {condition.fraction:g}", fontsize=10)
        axes.set_xlabel("x₁")
        axes.set_aspect("equal")
    all_axes[0].set_ylabel("x₂")
    all_axes[0].legend(fontsize=7, markerscale=3, loc="upper left")
    figure.suptitle(f"{_title(courses, protocol)}; round {protocol.rounds - 1}", fontsize=10)
    return figure


def draw_points(axes: "Axes", rows: Array, colour: str, label: str) -> None:
    """Draws the first thousand rows (n, 2)."""
    some = rows[:_SCATTERED]
    axes.plot(some[:, 0], some[:, 1], ".", ms=1.5, alpha=0.5, color=colour, label=label)


def draw_ellipses(axes: "Axes", fit: Mixtures, label: str = "fit, 2 std") -> None:
    """Draws each component of one replica at two standard deviations, in the first two axes."""
    angle = np.linspace(0, 2 * np.pi, 100)
    circle = 2 * np.stack([np.cos(angle), np.sin(angle)])
    shown: Any = label
    for weight, mean, covariance in zip(
        fit.weights[0], fit.means[0], fit.covariances[0], strict=True
    ):
        if weight == 0:
            continue
        values, vectors = np.linalg.eigh(covariance[:2, :2])
        x, y = mean[:2, None] + (vectors * np.sqrt(np.maximum(values, 0))) @ circle
        axes.plot(x, y, color=FIT, lw=1.2, label=shown)
        shown = None


def _title(courses: Sequence[Course], protocol: Protocol) -> str:
    condition = courses[0].condition
    return (
        f"{condition.name}: {protocol.components} components, N = {condition.n}, "
        f"{protocol.replicas} replicas, {protocol.init} start, reg_covar = {protocol.reg_covar:g}"
    )
