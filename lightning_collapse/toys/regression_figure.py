"""Figure of the regression loop: the error over the fits, with theory."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning_collapse.toys.figures import (
    draw_band,
    label_lines,
    new_figure,
    ramp_of,
    save_figure,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_errors"]


_MOST_BANDS = 4


def draw_errors(out: Path, summaries: Sequence[dict[str, Any]]) -> None:
    """Writes `error.png` and `error.pdf` to a folder; of many λ, a panel for each regime."""
    many = ramp_of([summary["lambda"] for summary in summaries])
    regimes = list(dict.fromkeys(summary["regime"] for summary in summaries)) if many else [None]
    figure = new_figure(7 if len(regimes) == 1 else 6 * len(regimes), 5.4)
    row = figure.subplots(1, len(regimes), squeeze=False, sharey=True)[0]
    ramps = []
    for axes, regime in zip(row, regimes, strict=True):
        own = [one for one in summaries if regime in (None, one["regime"])]
        ramps.append(ramp_of([one["lambda"] for one in own]))
        _draw(axes, own, ramps[-1])
    # When all are drawn, since the panels share their axis.
    for axes, ramp in zip(row, ramps, strict=True):
        label_lines(axes, "", ramp)
    save_figure(figure, out, "error")


def _draw(axes: "Axes", summaries: Sequence[dict[str, Any]], ramp: int) -> None:
    # Of many conditions bands are one grey.
    alpha = 0.15 if len(summaries) <= _MOST_BANDS else 0.0
    for i, summary in enumerate(summaries):
        fits = summary["round"] + 1
        band = (summary[f"error_{name}"] for name in ("mean", "q05", "q95"))
        label = (
            f"λ = {summary['lambda']:g}, {summary['inputs']} inputs" if ramp else _counts(summary)
        )
        draw_band(axes, fits, *band, i=i, label=label, alpha=alpha, ramp=ramp)
        if (expected := summary["theory"].get("error_mean")) is not None:
            axes.plot(fits, expected, "--", color="black", lw=1)
    if any(summary["theory"] for summary in summaries):
        axes.plot([], [], "--", color="black", lw=1, label="theory, mean")
    axes.set_yscale("log")
    axes.set(xlabel="fits so far, n (round + 1)", ylabel="squared error of the weights")
    first = summaries[0]
    axes.set_title(
        f"{first['regime'] + ', ' if ramp else ''}N = {first['n']:,}, d = {first['dim']}, noise "
        f"variance {first['noise']:g}, {first['replicas']:,} replicas: "
        f"mean{' and 5–95 %' if alpha else ''}",
        fontsize=9,
    )
    axes.grid(alpha=0.3)


def _counts(summary: dict[str, Any]) -> str:
    regime, fraction = summary["regime"], summary["lambda"]
    label = regime if fraction is None else f"{regime}, λ = {fraction:g}"
    made, inputs = summary["samples_per_round"], summary["inputs"]
    return f"{label}: {made:,} labels by fits a round, {inputs} inputs"
