"""The Gaussian loop in numbers: each round over all replicas, beside theory."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightning_collapse.theory import gaussian as theory
from lightning_collapse.toys.blocks import Blocks, only_adds, replaces_all
from lightning_collapse.toys.conditions import Condition
from lightning_collapse.toys.gaussian_fits import Course, Truth
from lightning_collapse.toys.spreads import counted, spread

__all__ = ["enough_real", "predicted", "settling", "summarise"]

Array = NDArray[np.float64]

_MANY_ROWS = 30
"""With so many, the logarithm of a fit's variance is all but normal."""
_ENOUGH = 0.95
"""Share of the variance that is worth keeping."""


def summarise(condition: Condition, course: Course, truth: Truth) -> dict[str, Any]:
    """Gives a condition of `summary.json`: plain values, and lists over the rounds.

    `variance`, `log_variance` and `mean` come with mean, its standard error, median, 5 and
    95 % quantile over replicas; the rest are means over replicas. Where there is no number it is
    NaN or infinite.
    """
    rounds, replicas = course.mean.shape
    lists = counted(course)
    for name in ("variance", "log_variance", "mean"):
        values = getattr(course, name)
        with np.errstate(invalid="ignore"):
            lists |= spread(name, values) | {f"{name}_median": np.median(values, axis=1)}
    return {
        "regime": condition.name,
        "lambda": condition.fraction,
        "n": condition.n,
        "dim": truth.dim,
        "samples_per_round": condition.samples_per_round,
        "replicas": replicas,
        **lists,
        "mean_sq_error": course.mean_sq_error.mean(1),
        "mean_sq_increment": course.mean_sq_increment.mean(1),
        "theory": predicted(condition, rounds, truth),
    }


def predicted(condition: Condition, rounds: int, truth: Truth) -> dict[str, Array]:
    """Gives theory's lists over the rounds, under the names of the simulated ones.

    None where the regime has no theory. In d dimensions each direction obeys the theory of one, as
    fitting, sampling and projecting commute.
    """
    n, s2, blocks = condition.n_real, truth.variance, condition.blocks[:rounds]
    variance = condition.regime.gaussian_theory(n, condition.samples_per_round, rounds, s2)
    if variance is None:
        return {}
    lists = {"variance_mean": variance, "mean_sq_error": s2 - variance}
    band = theory.first_order_band(variance, s2 - variance, s2, truth.dim)
    if replaced := replaces_all(blocks):
        t, n = np.arange(1, rounds + 1), sum(map(len, blocks[0]))
        if truth.dim == 1 and n >= _MANY_ROWS:
            band = theory.replace_band(t, n, s2)
        if n > truth.dim:
            lists["log_variance_mean"] = theory.replace_log_determinant(t, n, truth.dim, s2)
    if not np.isnan(band).all():
        lists["variance_q05"], lists["variance_q95"] = band
    if replaced or only_adds(blocks):
        lists["mean_sq_increment"] = _increments(blocks, variance)
    return lists


def settling(condition: Condition, truth: Truth) -> str | None:
    """Tells where the loop settles, as far as theory knows."""
    regime, n = condition.regime, condition.n_real
    limit = regime.gaussian_limit(n, condition.samples_per_round, truth.variance)
    if limit is None:
        return None
    return (
        f"theory, {condition.label}: the variance settles at {limit:.4g}, of a true "
        f"{truth.variance:g}"
    )


def enough_real(condition: Condition) -> str | None:
    """Tells how few real rows of N keep most of the variance, as far as theory knows."""
    n = condition.n_real
    if (rows := condition.regime.min_real_rows(n, _ENOUGH)) is None:
        return None
    return (
        f"theory: {rows:,} real rows of N = {n:,}, the same in every round, keep {_ENOUGH:.0%} of "
        "the variance"
    )


def _increments(blocks: Blocks, variance: Array) -> Array:
    """Mean squared steps of the mean, where k newest rows join those of before, M in all.

    The step is k/M times the distance of the new rows' mean to the last fit's, whose mean square
    is E[v]/k.
    """
    total = np.array([sum(map(len, now)) for now in blocks])
    newest = [sum(len(b.rows) for b in now if r in b.born) for r, now in enumerate(blocks)]
    steps = np.full(len(blocks), np.nan)
    steps[1:] = newest[1:] * variance[:-1] / total[1:] ** 2.0
    return steps
