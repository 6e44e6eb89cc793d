"""The figure of the diffusion toy: samples of every round by route, and the course of metrics."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lightning_collapse.toys.diffusion import Route
from lightning_collapse.toys.figures import (
    draw_replicas,
    label_lines,
    new_figure,
    ramp_of,
    save_figure,
    style,
)
from lightning_collapse.toys.gmm import Protocol
from lightning_collapse.toys.gmm_figures import COURSES, REAL, SAMPLES, draw_points

__all__ = ["draw_routes"]

_MOST_ROUNDS = 6


def draw_routes(out: Path, routes: Sequence[Route], protocol: Protocol) -> None:
    """Draws a row of scatter plots for each route, and its metrics over rounds."""
    height = 1.9 * len(routes)
    figure = new_figure(11, height + 3.6)
    parts = figure.subfigures(2, 1, height_ratios=[height, 3.4], squeeze=False)
    top, bottom = parts[:, 0]
    _scatter(top, routes, protocol)
    axes = bottom.subplots(1, len(COURSES))
    # Diffusion first: of many λ its lines are the ramp.
    told = sorted(routes, key=lambda route: route.name == "mixture")
    ramp = ramp_of([route.condition.fraction for route in told if route.name != "mixture"])
    for panel, (name, label) in zip(axes, COURSES.items(), strict=True):
        text = label.format(modes=len(protocol.modes), threshold=protocol.threshold)
        _draw_courses(panel, told, name, text, ramp)
    first, many = routes[0].condition, protocol.replicas > 1
    figure.suptitle(
        f"{first.name}, N = {first.n:,}, {protocol.replicas} replica{'s' if many else ''}: "
        "diffusion and the mixture fitted to the same points",
        fontsize=10,
    )
    save_figure(figure, out, "diffusion")


def _scatter(figure: Any, routes: Sequence[Route], protocol: Protocol) -> None:
    rounds = protocol.rounds
    shown = np.unique(np.linspace(0, rounds - 1, min(rounds, _MOST_ROUNDS)).round().astype(int))
    real = protocol.real_rows(routes[0].condition.n, protocol.seed)
    grid = figure.subplots(len(routes), len(shown), sharex=True, sharey=True, squeeze=False)
    for line, route in zip(grid, routes, strict=True):
        for axes, r in zip(line, shown, strict=True):
            draw_points(axes, real, REAL, "real")
            draw_points(axes, route.samples[r], SAMPLES, "samples")
            axes.set_aspect("equal")
            axes.tick_params(labelsize=7)
        line[0].set_ylabel(f"{_label(route)}\nx₂", fontsize=8)
    for axes, r in zip(grid[0], shown, strict=True):
        axes.set_title(f"round {r}", fontsize=9)
    for axes in grid[-1]:
        axes.set_xlabel("x₁", fontsize=8)
    above = {"loc": "lower right", "bbox_to_anchor": (1.0, 1.1), "ncols": 2, "frameon": False}
    grid[0][-1].legend(fontsize=6, markerscale=4, **above)


def _draw_courses(axes: Any, routes: Sequence[Route], name: str, label: str, ramp: int) -> None:
    shown = routes[:ramp] if ramp else routes
    draw_replicas(axes, {_label(route): route.statistics[name] for route in shown}, ramp)
    for i, route in enumerate(routes[ramp:] if ramp else []):
        mean = route.statistics[name].mean(0)
        colour = style(i, ramp=ramp)["color"]
        axes.plot(mean, ls="--", lw=1, color=colour, label="_" if i else "mixture, likewise")
    axes.set_ylabel(label, fontsize=8)
    label_lines(axes, "mean and 5–95 % of replicas", ramp)


def _label(route: Route) -> str:
    return f"{route.name}, {route.condition.label}"
