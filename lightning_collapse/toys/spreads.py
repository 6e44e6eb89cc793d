"""What replicas come to, as lists, lines of a table and a picture, beside theory."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightning_collapse.toys.conditions import told
from lightning_collapse.toys.figures import draw_band, new_figure, save_figure

__all__ = ["draw_courses", "end_table", "spread"]

Summary = Mapping[str, Any]

_HALF_WIDTH = 1.959964
"""Of a 95 % interval, in standard errors."""


def spread(name: str, values: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Gives mean, its standard error, 5 and 95 % quantile over replicas of values (T, R)."""
    q05, q95 = np.quantile(values, [0.05, 0.95], axis=1)
    replicas = values.shape[1]
    error = values.std(1, ddof=1) / replicas**0.5 if replicas > 1 else np.full(len(values), np.nan)
    return {
        f"{name}_mean": values.mean(1),
        f"{name}_se": error,
        f"{name}_q05": q05,
        f"{name}_q95": q95,
    }


def end_table(summaries: Sequence[Summary], names: Sequence[str]) -> list[str]:
    """Gives lines of a table: condition, what it ends at, the mean's 95 % interval, and theory."""
    lines = [("condition", "figure", "at last", "95 % interval", "theory")]
    for summary in summaries:
        for name in names:
            mean, error = (float(summary[f"{name}_{part}"][-1]) for part in ("mean", "se"))
            theory = summary["theory"].get(f"{name}_mean")
            half = _HALF_WIDTH * error
            lines.append(
                (
                    told(summary["regime"], summary["lambda"]),
                    name,
                    f"{mean:.4g}",
                    f"{mean - half:.4g} to {mean + half:.4g}" if np.isfinite(half) else "-",
                    "-" if theory is None else f"{float(theory[-1]):.4g}",
                )
            )
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return ["  ".join(map(str.ljust, line, widths)).rstrip() for line in lines]


def draw_courses(
    out: Path, file: str, summaries: Sequence[Summary], panels: Mapping[str, str], title: str
) -> None:
    """Writes FILE.png and FILE.pdf: mean and 5 to 95 % of replicas over the rounds, with theory.

    Args:
        out: folder.
        file: name without suffix.
        summaries: of conditions.
        panels: labels of the axes by the name of what they show.
        title: of the picture.
    """
    from matplotlib.ticker import MaxNLocator

    figure = new_figure(5.5 * len(panels), 4.4)
    row = figure.subplots(1, len(panels), squeeze=False)[0]
    for axes, (name, label) in zip(row, panels.items(), strict=True):
        for i, summary in enumerate(summaries):
            band = (summary[f"{name}_{part}"] for part in ("mean", "q05", "q95"))
            who = told(summary["regime"], summary["lambda"])
            draw_band(axes, summary["round"], *band, i=i, label=who)
            if (expected := summary["theory"].get(f"{name}_mean")) is not None:
                axes.plot(summary["round"], expected, "--", color="black", lw=1, zorder=3)
        if any(f"{name}_mean" in summary["theory"] for summary in summaries):
            axes.plot([], [], "--", color="black", lw=1, label="theory, mean")
        axes.set(xlabel="round", ylabel=label)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_ylim(bottom=0)
        axes.legend(fontsize=7, title="mean and 5–95 % of replicas", title_fontsize=7)
        axes.grid(alpha=0.3)
    figure.suptitle(title)
    save_figure(figure, out, file)
