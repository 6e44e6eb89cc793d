"""Figure of strong collapse: errors by rows and width, ζ, and how far off the diagonal."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning_collapse.toys.figures import COLOURS, new_figure, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_sweeps"]

Summary = dict[str, Any]


def draw_sweeps(out: Path, ridge: Sequence[Summary], projections: Sequence[Summary]) -> None:
    """Writes `strong_collapse.png` and the same as PDF: simulation as dots, theory as lines."""
    figure = new_figure(10, 8)
    axes = figure.subplots(2, 2)
    _draw(axes[0, 0], ridge, "rows", "error", "test error B + V + ζ")
    _draw(axes[0, 1], ridge, "rows", "zeta", "ζ, what synthetic rows add")
    _draw_diagonal(axes[1, 0], ridge)
    _draw(axes[1, 1], projections, "width", "zeta", "ζ, what synthetic rows add")
    axes[0, 0].set_xlabel("rows")
    axes[0, 1].set_xlabel("rows")
    axes[1, 1].set_xlabel(f"width (random projections), {projections[0]['rows'][0]:,} rows")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    axes[0, 0].legend(
        handles, labels, fontsize=8, frameon=False, title="dots simulated, lines theory"
    )
    first = ridge[0]
    figure.suptitle(
        f"ridge regression, d = {first['dim']}, penalty {first['penalty']:g}, noise variance "
        f"{first['noise']:g}, quality {first['quality']:g}, {first['replicas']:,} replicas",
        fontsize=10,
    )
    save_figure(figure, out, "strong_collapse")


def _draw(axes: "Axes", summaries: Sequence[Summary], x: str, what: str, label: str) -> None:
    for colour, summary in zip(COLOURS * len(summaries), summaries, strict=False):
        mean, error = summary[f"{what}_mean"], summary.get(f"{what}_error")
        axes.errorbar(summary[x], mean, error, fmt="o", ms=3.5, color=colour, lw=1)
        name = f"{summary['lambda']:.3g} synthetic"
        axes.plot(summary[x], summary["theory"][f"{what}_mean"], color=colour, lw=1, label=name)
    if what == "error":
        real = summaries[0]
        axes.plot(real[x], real["real_error_mean"], "s", ms=3, color="black")
        axes.plot(
            real[x], real["theory"]["real_error_mean"], color="black", lw=1, label="real alone"
        )
    axes.set(xscale="log", yscale="log", ylabel=label)
    axes.grid(alpha=0.3)


def _draw_diagonal(axes: "Axes", summaries: Sequence[Summary]) -> None:
    for colour, summary in zip(COLOURS * len(summaries), summaries, strict=False):
        axes.plot(summary["real_error_mean"], summary["error_mean"], "o", ms=3.5, color=colour)
        expected = summary["theory"]
        axes.plot(expected["real_error_mean"], expected["error_mean"], color=colour, lw=1)
    span = summaries[0]["theory"]["real_error_mean"]
    axes.plot(
        [min(span), max(span)],
        [min(span), max(span)],
        "--",
        color="black",
        label="diagonal: no collapse",
    )
    axes.set(xscale="log", yscale="log", xlabel="test error of real rows alone, as many")
    axes.set_ylabel("test error of the mixture")
    axes.legend(fontsize=8, frameon=False)
    axes.grid(alpha=0.3)
