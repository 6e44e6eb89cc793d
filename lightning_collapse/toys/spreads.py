"""What replicas come to, as lists, lines of a table and pictures, beside theory."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightning_collapse.toys.conditions import told
from lightning_collapse.toys.figures import (
    draw_band,
    label_lines,
    new_figure,
    ramp_of,
    save_figure,
    style,
)

__all__ = ["HALF_WIDTH", "aligned", "counted", "draw_courses", "draw_ends", "end_table", "spread"]

Summary = Mapping[str, Any]

HALF_WIDTH = 1.959964
"""Of a 95 % interval, in standard errors."""
_SIGNED = ("log", "drift")
"""What names of figures begin with that may be below 0."""
_MOST_OF_MEAN = 0.25
"""Half-width of an interval, beside its mean: beyond it the normal law is not to be trusted."""


def counted(course: Any) -> dict[str, NDArray[Any]]:
    """Gives the rounds (T,), and how many rows they train on, over a course's replicas (T, R)."""
    rows = {name: getattr(course, name).mean(1) for name in ("n_real", "n_synthetic")}
    return {"round": np.arange(len(course.n_real)), **rows}


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
    """Gives lines of a table: condition, what it ends at, the mean's 95 % interval, and theory.

    An interval is of the mean over replicas, by the normal law, cut at 0 where no figure is below.
    """
    lines = [("condition", "figure", "at last", "95 % interval", "theory", "replicas")]
    few = False
    for summary, label in zip(summaries, _labels(summaries), strict=True):
        for name in names:
            mean, half, theory = _end(summary, name)
            never_negative = not name.startswith(_SIGNED)
            skewed = never_negative and half > _MOST_OF_MEAN * mean
            few |= skewed
            least = max(0.0, mean - half) if never_negative else mean - half
            between = f"{least:.4g} to {mean + half:.4g}{' *' * skewed}"
            expected = "-" if theory is None else f"{theory:.4g}"
            told = between if np.isfinite(half) else "-"
            lines.append((label, name, f"{mean:.4g}", told, expected, str(summary["replicas"])))
    table = aligned(lines)
    if few:
        table.append("* few replicas make up this mean: its interval is too short")
    return table


def aligned(lines: Sequence[Sequence[str]]) -> list[str]:
    """Gives lines of a table with columns below each other."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return ["  ".join(map(str.ljust, line, widths)).rstrip() for line in lines]


def _end(summary: Summary, name: str) -> tuple[float, float, float | None]:
    """The mean at last, half of its 95 % interval, and what theory has."""
    mean, error = (float(summary[f"{name}_{part}"][-1]) for part in ("mean", "se"))
    theory = summary.get("theory", {}).get(f"{name}_mean")
    return mean, HALF_WIDTH * error, None if theory is None else float(theory[-1])


def _labels(summaries: Sequence[Summary]) -> list[str]:
    """What tells each condition from the others: regime, λ, and how it is modelled."""
    several = len({summary["regime"] for summary in summaries}) > 1
    found = []
    for summary in summaries:
        label = told(summary["regime"], summary["lambda"])
        regime = [summary["regime"]] if several and label != summary["regime"] else []
        inputs = [f"{summary['inputs']} inputs"] if "inputs" in summary else []
        model = [summary["model"]] if "model" in summary else []
        found.append(", ".join([*model, *regime, label, *inputs]))
    return found


def draw_ends(out: Path, summaries: Sequence[Summary], name: str, label: str) -> None:
    """Writes ends.png and ends.pdf: the last round against λ, and against the real rows in it.

    Args:
        out: folder.
        summaries: of conditions; nothing is drawn of fewer than two.
        name: of what is drawn: the mean over replicas, with its 95 % interval and theory's.
        label: of the axis.
    """
    axes_of = {
        "λ": [summary["lambda"] for summary in summaries],
        "real rows in the last round": [float(summary["n_real"][-1]) for summary in summaries],
    }
    known = {
        title: np.array(values, float)
        for title, values in axes_of.items()
        if None not in values and len({v for v in values if np.isfinite(v)}) > 1
    }
    if not known:
        return
    ends = [_end(summary, name) for summary in summaries]
    kinds = [", ".join(filter(None, [s.get("model"), s["regime"]])) for s in summaries]
    lines = list(dict.fromkeys(kinds))
    figure = new_figure(5.0 * len(known), 4.6)
    row = figure.subplots(1, len(known), squeeze=False)[0]
    for axes, (title, x) in zip(row, known.items(), strict=True):
        for i, line in enumerate(lines):
            own = [j for j in np.argsort(x) if kinds[j] == line]
            looks = style(i, len(own)) | {"lw": 1, "capsize": 3}
            means, halves = ([ends[j][part] for j in own] for part in (0, 1))
            axes.errorbar(x[own], means, halves, label=line, **looks)
            theory = [(x[j], ends[j][2]) for j in own if ends[j][2] is not None]
            if theory:
                looks = {"color": "black", "ls": "", "marker": "_", "ms": 12}
                axes.plot(*zip(*theory, strict=True), label="theory" if i == 0 else "_", **looks)
        axes.set(xlabel=title, ylabel=label)
        axes.grid(alpha=0.3)
        label_lines(axes, "mean of replicas at last, and its 95 % interval")
    save_figure(figure, out, "ends")


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

    ramp = ramp_of([summary["lambda"] for summary in summaries])
    figure = new_figure(5.5 * len(panels), 5.0)
    row = figure.subplots(1, len(panels), squeeze=False)[0]
    for axes, (name, label) in zip(row, panels.items(), strict=True):
        for i, summary in enumerate(summaries):
            band = (summary[f"{name}_{part}"] for part in ("mean", "q05", "q95"))
            who = told(summary["regime"], summary["lambda"])
            draw_band(axes, summary["round"], *band, i=i, label=who, ramp=ramp)
            if (expected := summary["theory"].get(f"{name}_mean")) is not None:
                axes.plot(summary["round"], expected, "--", color="black", lw=1, zorder=3)
        if any(f"{name}_mean" in summary["theory"] for summary in summaries):
            axes.plot([], [], "--", color="black", lw=1, label="theory, mean")
        axes.set(xlabel="round", ylabel=label)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_ylim(bottom=0)
        label_lines(axes, "mean and 5–95 % of replicas", ramp)
        axes.grid(alpha=0.3)
    figure.suptitle(title)
    save_figure(figure, out, file)
