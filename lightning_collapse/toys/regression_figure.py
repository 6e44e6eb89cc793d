"""Figure of the regression loop: the error over the fits, with theory."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lightning_collapse.toys.figures import draw_band, label_lines, new_figure, save_figure

__all__ = ["draw_errors"]


_MOST_BANDS = 4


def draw_errors(out: Path, summaries: Sequence[dict[str, Any]]) -> None:
    """Writes `error.png` and `error.pdf` to a folder."""
    figure = new_figure(7, 5.4)
    axes = figure.subplots()
    # Of many conditions bands are one grey.
    alpha = 0.15 if len(summaries) <= _MOST_BANDS else 0.0
    for i, summary in enumerate(summaries):
        fits, expected = summary["round"] + 1, summary["theory"].get("error_mean")
        band = (summary[f"error_{name}"] for name in ("mean", "q05", "q95"))
        draw_band(axes, fits, *band, i=i, label=_counts(summary), alpha=alpha)
        if expected is not None:
            axes.plot(fits, expected, "--", color="black", lw=1)
    if any(summary["theory"] for summary in summaries):
        axes.plot([], [], "--", color="black", lw=1, label="theory, mean")
    axes.set_yscale("log")
    axes.set(xlabel="fits so far, n (round + 1)", ylabel="squared error of the weights")
    first = summaries[0]
    axes.set_title(
        f"N = {first['n']:,}, d = {first['dim']}, noise variance {first['noise']:g}, "
        f"{first['replicas']:,} replicas: mean{' and 5–95 %' if alpha else ''}",
        fontsize=9,
    )
    label_lines(axes, "")
    axes.grid(alpha=0.3)
    save_figure(figure, out, "error")


def _counts(summary: dict[str, Any]) -> str:
    regime, fraction = summary["regime"], summary["lambda"]
    label = regime if fraction is None else f"{regime}, λ = {fraction:g}"
    made, inputs = summary["samples_per_round"], summary["inputs"]
    return f"{label}: {made:,} labels by fits a round, {inputs} inputs"
