"""Figures of the Gaussian loop: variance over rounds, final distribution, steps of the mean."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import norm

from lightning_collapse.toys.conditions import told
from lightning_collapse.toys.figures import (
    draw_band,
    label_lines,
    new_figure,
    ramp_of,
    save_figure,
    style,
)
from lightning_collapse.toys.gaussian_fits import Course, Truth

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_figures"]

Summary = dict[str, Any]


def draw_figures(
    out: Path, summaries: Sequence[Summary], courses: Sequence[Course], truth: Truth
) -> None:
    """Writes `variance.png` and `increments.png`, and both as PDF, to a folder."""
    ramp = ramp_of([summary["lambda"] for summary in summaries])
    figure = new_figure(11, 5.4)
    left, right = figure.subplots(1, 2, width_ratios=[1.4, 1])
    for i, (summary, course) in enumerate(zip(summaries, courses, strict=True)):
        _draw_variance(left, summary, i, ramp)
        _draw_final(right, course, truth, i, ramp)
    _finish_variance(left, summaries, truth, ramp)
    _finish_final(right, courses, truth)
    figure.suptitle(_title(summaries[0]))
    save_figure(figure, out, "variance")
    if len(summaries[0]["round"]) > 1:
        _draw_increments(out, summaries)


def _draw_variance(axes: "Axes", summary: Summary, i: int, ramp: int) -> None:
    rounds, expected, looks = summary["round"], summary["theory"], style(i, ramp=ramp)
    band = (summary[f"variance_{name}"] for name in ("median", "q05", "q95"))
    draw_band(axes, rounds, *band, i=i, label=_counts(summary), ramp=ramp)
    if not expected:
        return
    colour = looks["color"]
    for name in [end for end in ("variance_q05", "variance_q95") if end in expected]:
        axes.plot(rounds, expected[name], "-.", color=colour, lw=0.8)
    if "log_variance_mean" in expected:
        axes.plot(rounds, np.exp(expected["log_variance_mean"]), "--", color=colour, lw=1.6)
        return
    # Once half of the variance is lost, the mean is that of replicas which nobody draws.
    useful = expected["mean_sq_error"] < expected["variance_mean"]
    axes.plot(rounds[useful], expected["variance_mean"][useful], ":", color=colour, lw=2)
    means = summary["variance_mean"][useful]
    axes.plot(rounds[useful], means, "x", color=colour, ms=4, markevery=(0.06, 0.12))


def _finish_variance(
    axes: "Axes", summaries: Sequence[Summary], truth: Truth, ramp: int = 0
) -> None:
    axes.axhline(truth.variance, color="black", lw=0.8, zorder=1, label="truth")
    known = [summary["theory"] for summary in summaries if summary["theory"]]
    medians = ["log_variance_mean" in expected for expected in known]
    if any(medians):
        axes.plot([], [], "--", color="black", lw=1.6, label="theory, median")
    if not all(medians):
        axes.plot([], [], ":", color="black", lw=2, label="theory, mean")
        axes.plot([], [], "x", color="black", ms=4, label="mean of replicas")
    if any("variance_q05" in summary["theory"] for summary in summaries):
        axes.plot([], [], "-.", color="black", lw=0.8, label="theory, 5 and 95 %")
    if min(summary["variance_median"].min() for summary in summaries) < truth.variance / 4:
        axes.set_yscale("log")
    axes.set(xlabel="round", ylabel="variance of the fit (squared units of x)")
    label_lines(axes, "median and 5–95 % of replicas", ramp)
    axes.grid(alpha=0.3)


def _draw_final(axes: "Axes", course: Course, truth: Truth, i: int, ramp: int) -> None:
    mean, variance = course.final[:, _middle(course)]
    # A variance that has underflowed is drawn as a spike.
    spread = max(variance, 1e-12 * truth.variance) ** 0.5
    x = np.union1d(_range(truth), mean + spread * np.linspace(-5, 5, 401))
    axes.plot(x, norm.pdf(x, mean, spread), lw=1.4, **style(i, ramp=ramp))


def _finish_final(axes: "Axes", courses: Sequence[Course], truth: Truth) -> None:
    x = _range(truth)
    real = norm.pdf(x, truth.mean, truth.variance**0.5)
    axes.plot(x, real, "--", color="black", lw=1.4, label="real")
    axes.set_yscale("log")
    axes.set_ylim(1e-3 * real.max(), 3 * max(np.max(line.get_ydata()) for line in axes.lines))
    dimension = " (first dimension)" if truth.dim > 1 else ""
    axes.set(xlabel=f"x{dimension}", ylabel="density (per unit of x)")
    axes.set_title(f"round {len(courses[0].mean) - 1}, replica of median variance", fontsize=9)
    label_lines(axes, "colours as on the left")
    axes.grid(alpha=0.3)


def _draw_increments(out: Path, summaries: Sequence[Summary]) -> None:
    ramp = ramp_of([summary["lambda"] for summary in summaries])
    figure = new_figure(6, 5.0)
    axes = figure.subplots()
    hidden = 0
    for i, summary in enumerate(summaries):
        rounds, steps = summary["round"][1:], summary["mean_sq_increment"][1:]
        if not steps.any():
            hidden += 1  # the control, which a logarithmic axis does not show
            continue
        axes.loglog(rounds + 1, steps, lw=1, label=_counts(summary), **style(i, ramp=ramp))
        if "mean_sq_increment" in summary["theory"]:
            expected = summary["theory"]["mean_sq_increment"][1:]
            axes.loglog(rounds + 1, expected, "--", color="black", lw=1, zorder=3)
    known = [summary for summary in summaries if "mean_sq_increment" in summary["theory"]]
    if known:
        of = "" if len(known) == len(summaries) else ", where there is one"
        axes.plot([], [], "--", color="black", label=f"theory{of}")
    axes.set_xlabel("fits so far, i (round + 1)")
    axes.set_ylabel("mean squared step of the mean (squared units of x)")
    axes.set_title(_title(summaries[0]), fontsize=9)
    label_lines(axes, "", max(0, ramp - hidden))
    axes.grid(alpha=0.3)
    save_figure(figure, out, "increments")


def _range(truth: Truth) -> Any:
    return truth.mean + truth.variance**0.5 * np.linspace(-4, 4, 401)


def _middle(course: Course) -> int:
    """The replica of (lower) median variance."""
    return int(np.argsort(course.final[1], kind="stable")[(course.final.shape[1] - 1) // 2])


def _counts(summary: Summary) -> str:
    real, synthetic = summary["n_real"][-1], summary["n_synthetic"][-1]
    label = told(summary["regime"], summary["lambda"])
    return f"{label}: {real:,.0f} real + {synthetic:,.0f} synthetic"


def _title(summary: Summary) -> str:
    dimension = f", d = {summary['dim']}" if summary["dim"] > 1 else ""
    return (
        f"{summary['regime']}, N = {summary['n']:,}, {summary['replicas']:,} replicas{dimension}"
    )
