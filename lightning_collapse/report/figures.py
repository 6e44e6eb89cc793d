"""A run at a glance: `collapse.png`, samples of every round and the course of statistics."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from lightning_collapse.data.files import write_atomically
from lightning_collapse.data.store.shards import StoredRows
from lightning_collapse.runs.layout import Run
from lightning_collapse.runs.records import distance_name
from lightning_collapse.samples.sheet import contact_sheet
from lightning_collapse.sampling.bias import principal_std, sampled_std
from lightning_collapse.sampling.choice import Sampling
from lightning_collapse.seeds import generator

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_run", "sampler_alone"]

_STRIPS = 12
_IMAGES_IN_STRIP = 16
_POINTS_IN_STRIP = 1000
# Okabe & Ito's colours, which colour-blind readers tell apart.
_SAMPLES, _REAL, _COLLAPSED = "#0072B2", "#D55E00", "#CC79A7"


def plot_run(run: Run) -> Path:
    """Draws a run's finished rounds and returns the picture's path, `collapse.png` in its folder.

    Raises:
        FileNotFoundError: the run has no finished round.
    """
    # Without pyplot, which would keep the figure and might open a window.
    from matplotlib.figure import Figure

    records = run.records
    strips = _strips(run, records)
    figure = Figure(figsize=(11, max(4.8, 0.55 * len(strips) + 1)), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=[1.25, 1], squeeze=False)[0]
    _draw_strips(left, strips)
    _draw_curves(right, records, sampler_alone(strips[0][1], strips[1][1]))
    regime = _describe(records[0])
    figure.suptitle(f"{run.path.resolve().name}: {regime}, {records[0]['restart']} restart")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130)
    write_atomically(run.picture, lambda file: file.write(buffer.getbuffer()))
    return run.picture


def _strips(run: Run, records: Sequence[dict[str, Any]]) -> list[tuple[str, StoredRows]]:
    """Gives real rows, then the samples of every round, or of some evenly spaced ones."""
    rounds = len(records)
    shown = np.unique(np.linspace(0, rounds - 1, min(rounds, _STRIPS)).round().astype(int))
    stores = [(_name(records[r]), run.samples(int(r))) for r in shown]
    return [("real", run.real_rows), *stores]


def _name(record: dict[str, Any]) -> str:
    collapsed = record.get("collapsed")
    return f"round {record['round']}" + (f"\n{collapsed}" if collapsed else "")


def _draw_strips(figure: Any, strips: Sequence[tuple[str, StoredRows]]) -> None:
    points = len(strips[0][1].shape) == 1
    grid = (-(-len(strips) // 4), 4) if points else (len(strips), 1)
    for axes, (name, rows) in zip(
        np.ravel(figure.subplots(*grid, squeeze=False)), strips, strict=False
    ):
        wanted = _POINTS_IN_STRIP if points else _IMAGES_IN_STRIP
        # Not the first: a real set may be sorted by class.
        some = rows[torch.randperm(len(rows), generator=generator(0, name))[:wanted]]
        axes.imshow(contact_sheet(some, columns=_IMAGES_IN_STRIP).numpy())
        colour = _REAL if name == "real" else "black"
        if points:
            axes.set_title(name, fontsize=9, color=colour)
        else:
            axes.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=9, color=colour)
    for axes in figure.axes:
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_visible(False)


def sampler_alone(real: StoredRows, samples: StoredRows) -> float | None:
    """Gives what a round's sampler does by itself to the real rows' total variance, as a share.

    That is with the exact denoiser of a Gaussian of their covariance; None where a guide has
    changed the denoiser, or the rows do not vary.
    """
    std = principal_std(real)
    if samples.recipe.get("guide") or not len(std):
        return None
    sampled = sampled_std(Sampling.recorded(samples.recipe["sampling"]), std)
    return float(sampled.square().sum() / std.square().sum()) - 1


def _draw_curves(figure: Any, records: Sequence[dict[str, Any]], bias: float | None) -> None:
    fd = distance_name(records[0])
    panels = [
        (fd, f"Fréchet distance\n({fd.removeprefix('fd_')}, n = {records[0]['fd_n']})"),
        ("variance", "variance\n(network units²)"),
        ("mean", "mean\n(network units)"),
    ]
    all_axes = figure.subplots(3, 1, sharex=True)
    for axes, (name, label) in zip(all_axes, panels, strict=True):
        reference = f"{fd}_floor" if name == fd else f"real_{name}"
        _draw_curve(axes, records, name, reference)
        axes.set_ylabel(label, fontsize=9)
    if bias is not None:
        text = f"the sampler alone: {bias:+.2%} of total variance a round"
        all_axes[1].set_title(text, fontsize=8, loc="left")
    all_axes[0].set_ylim(bottom=0)
    all_axes[0].legend(["samples", "real data"], fontsize=8, frameon=False)
    all_axes[-1].set_xlabel("round")
    all_axes[-1].xaxis.get_major_locator().set_params(integer=True)


def _draw_curve(
    axes: "Axes", records: Sequence[dict[str, Any]], name: str, reference: str
) -> None:
    rounds = [record["round"] for record in records]
    axes.plot(rounds, [record[name] for record in records], "o-", ms=4, color=_SAMPLES)
    axes.plot(rounds, [record[reference] for record in records], "--", color=_REAL)
    for record in records:
        if record.get("collapsed"):
            axes.axvline(record["round"], ls=":", lw=1.5, color=_COLLAPSED, zorder=0)
    axes.grid(alpha=0.3)


def _describe(record: dict[str, Any]) -> str:
    options = ", ".join(f"{name}={value}" for name, value in record["regime_options"].items())
    return f"{record['regime']}({options})"
