"""The Gaussian loop in numbers: each round over all replicas, beside theory."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightning_collapse.regimes import (
    Accumulate,
    AccumulateSubsample,
    Augment,
    Fresh,
    Replace,
    Turnover,
)
from lightning_collapse.theory import gaussian as theory
from lightning_collapse.toys.conditions import Condition
from lightning_collapse.toys.gaussian_fits import Course, Truth

__all__ = ["predicted", "summarise"]

Array = NDArray[np.float64]

_MANY_ROWS = 30
"""With so many, the logarithm of a fit's variance is all but normal."""


def summarise(condition: Condition, course: Course, truth: Truth) -> dict[str, Any]:
    """Gives a condition of `summary.json`: plain values, and lists over the rounds.

    `variance`, `log_variance` and `mean` come with mean, median, 5 and 95 % quantile over
    replicas; the rest are means over replicas. Where there is no number it is NaN or infinite.
    """
    rounds, replicas = course.mean.shape
    lists = {"round": np.arange(rounds), "n_real": _mean(course.n_real)}
    lists["n_synthetic"] = _mean(course.n_synthetic)
    for name in ("variance", "log_variance", "mean"):
        lists |= _spread(name, getattr(course, name))
    lists["mean_sq_error"] = _mean(course.mean_sq_error)
    lists["mean_sq_increment"] = _mean(course.mean_sq_increment)
    return {
        "regime": condition.name,
        "lambda": condition.fraction,
        "n": condition.n,
        "dim": truth.dim,
        "samples_per_round": condition.samples_per_round,
        "replicas": replicas,
        **lists,
        "theory": predicted(condition, rounds, truth),
    }


def predicted(condition: Condition, rounds: int, truth: Truth) -> dict[str, Array]:
    """Gives theory's lists over the rounds, under the names of the simulated ones.

    In d dimensions each direction obeys the theory of one, as fitting, sampling and projecting
    commute.
    """
    t, n, s2 = np.arange(1, rounds + 1), condition.n, truth.variance
    variance = _variance(condition, rounds, s2)
    lists = {"variance_mean": variance, "mean_sq_error": s2 - variance}
    replaced = condition.samples_per_round == n and not isinstance(
        condition.regime, Accumulate | AccumulateSubsample | Augment
    )
    band = theory.first_order_band(variance, s2 - variance, s2, truth.dim)
    if replaced and truth.dim == 1 and n >= _MANY_ROWS:
        band = theory.replace_band(t, n, s2)
    if not np.isnan(band).all():
        lists["variance_q05"], lists["variance_q95"] = band
    if replaced and n > truth.dim:
        lists["log_variance_mean"] = theory.replace_log_determinant(t, n, truth.dim, s2)
    increment = np.full(rounds, np.nan)
    if replaced:
        increment[1:] = variance[:-1] / n
        lists["mean_sq_increment"] = increment
    elif isinstance(condition.regime, Accumulate) and rounds > 1:
        added = condition.samples_per_round
        increment[1:] = theory.mean_increment(t[1:], n, s2, per_round=added)
        lists["mean_sq_increment"] = increment
    return lists


def _variance(condition: Condition, rounds: int, s2: float) -> Array:
    """E[v] in every round (T,)."""
    t, n, samples = np.arange(1, rounds + 1), condition.n, condition.samples_per_round
    match condition.regime:
        case Replace() if samples == n:
            return theory.replace_variance(t, n, s2)
        case Replace(fraction):
            return theory.fixed_mix(rounds, n, fraction, s2).variance
        case Turnover(fraction):
            return theory.turnover_variance(t, n, fraction, s2)
        case Augment():
            return theory.augment_mix(rounds, n, samples, s2).variance
        case Accumulate():
            return theory.accumulate_per_round_variance(t, n, samples, s2)
        case AccumulateSubsample(size):
            return theory.subsample_variance(rounds, n, size, s2, per_round=samples)
        case Fresh():
            return theory.fresh_mix(rounds, n, samples / n, s2).variance
    raise AssertionError(f"no theory of {condition.regime}")


def _spread(name: str, values: Array) -> dict[str, Array]:
    """Mean, median and band over replicas of values (T, R)."""
    with np.errstate(invalid="ignore"):
        q05, median, q95 = np.quantile(values, [0.05, 0.5, 0.95], axis=1)
    return {
        f"{name}_mean": _mean(values),
        f"{name}_median": median,
        f"{name}_q05": q05,
        f"{name}_q95": q95,
    }


def _mean(values: Array) -> Array:
    """Means over replicas (T,) of values (T, R)."""
    return np.asarray(values.mean(1))
