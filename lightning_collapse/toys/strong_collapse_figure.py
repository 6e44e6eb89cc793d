"""Figure of strong collapse: errors by rows and width, ζ, and how far off the diagonal."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning_collapse.toys.figures import label_lines, new_figure, ramp_of, save_figure, style
from lightning_collapse.toys.spreads import draw_ends

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_sweeps"]

Summary = dict[str, Any]


def draw_sweeps(out: Path, ridge: Sequence[Summary], projections: Sequence[Summary]) -> None:
    """Writes `strong_collapse.png` and the same as PDF: theory as lines with a dash a point."""
    figure = new_figure(10, 8)
    axes = figure.subplots(2, 2)
    _draw(axes[0, 0], ridge, "n", "error", "test error B + V + ζ")
    _draw(axes[0, 1], ridge, "n", "zeta", "ζ, what synthetic rows add")
    _draw_diagonal(axes[1, 0], ridge)
    _draw(axes[1, 1], projections, "width", "zeta", "ζ, what synthetic rows add")
    axes[0, 0].set_xlabel("rows")
    axes[0, 1].set_xlabel("rows")
    axes[1, 1].set_xlabel(f"width (random projections), {projections[0]['n'][0]:,} rows")
    ramp = ramp_of([one["lambda"] for one in ridge])
    label_lines(axes[0, 0], "marks simulated, lines theory", ramp)
    first = ridge[0]
    figure.suptitle(
        f"ridge regression, d = {first['dim']}, penalty {first['penalty']:g}, noise variance "
        f"{first['noise']:g}, quality {first['quality']:g}, {first['replicas']:,} replicas",
        fontsize=10,
    )
    save_figure(figure, out, "strong_collapse")
    for_ends = [
        {
            "model": one["model"],
            "regime": "",
            "lambda": one["lambda"],
            "n_real": [(1 - one["lambda"]) * one["n"][-1]],
            "zeta_mean": one["zeta_mean"],
            "zeta_se": one["zeta_error"],
            "theory": one["theory"],
        }
        for one in (*ridge, *projections)
    ]
    draw_ends(out, for_ends, "zeta", "ζ at the last of rows or widths")


def _draw(axes: "Axes", summaries: Sequence[Summary], x: str, what: str, label: str) -> None:
    ramp = ramp_of([summary["lambda"] for summary in summaries])
    for i, summary in enumerate(summaries):
        mean, error = summary[f"{what}_mean"], summary.get(f"{what}_error")
        looks = _dots(i, summaries)
        label = f"λ = {summary['lambda']:.3g}"
        axes.errorbar(summary[x], mean, error, ls="", lw=1, label="_" if ramp else label, **looks)
        expected = summary["theory"][f"{what}_mean"]
        axes.plot(
            summary[x], expected, "_-", color=looks["color"], lw=1, label=label if ramp else "_"
        )
    if what == "error":
        real = summaries[0]
        axes.plot(real[x], real["real_error_mean"], "x", ms=4, color="black", label="real alone")
        axes.plot(real[x], real["theory"]["real_error_mean"], "_-", color="black", lw=1)
    axes.set(xscale="log", yscale="log", ylabel=label)
    axes.grid(alpha=0.3)


def _dots(i: int, summaries: Sequence[Summary]) -> dict[str, Any]:
    """A mark for every point, of the i-th line."""
    ramp = ramp_of([summary["lambda"] for summary in summaries])
    return style(i, ramp=ramp) | {"markevery": None}


def _draw_diagonal(axes: "Axes", summaries: Sequence[Summary]) -> None:
    for i, summary in enumerate(summaries):
        looks, expected = _dots(i, summaries), summary["theory"]
        axes.plot(summary["real_error_mean"], summary["error_mean"], ls="", **looks)
        theory = expected["real_error_mean"], expected["error_mean"]
        axes.plot(*theory, "_-", color=looks["color"], lw=1)
    real = summaries[0]["theory"]["real_error_mean"]
    # A little further than the points, which may be one.
    ends = [min(real) / 1.2, max(real) * 1.2]
    axes.plot(ends, ends, "--", color="black", label="diagonal: no collapse")
    axes.set(xscale="log", yscale="log", xlabel="test error of real rows alone, as many")
    axes.set_ylabel("test error of the mixture")
    axes.legend(fontsize=8, frameon=False)
    axes.grid(alpha=0.3)
