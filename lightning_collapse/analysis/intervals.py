"""Intervals over replicas: Student's t, also on a jackknife's standard error."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import t

__all__ = ["Interval", "jackknife_interval", "parts", "t_interval"]

COVERAGE = 0.95
"""Of every interval: each of its ends is passed by 2.5 % of chance."""


@dataclass(frozen=True)
class Interval:
    """An estimate with its two-sided 95 % interval.

    Attributes:
        mean: the estimate.
        low: lower end.
        high: upper end.
        n: replicas behind it.
    """

    mean: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        return f"{self.mean:.3g} [{self.low:.3g}, {self.high:.3g}]"


def parts(intervals: Iterable[Interval]) -> NDArray[np.float64]:
    """Gives means, lower and upper ends of intervals (3, n)."""
    ends = [(one.mean, one.low, one.high) for one in intervals]
    return np.asarray(np.reshape(ends, (-1, 3)).T)


def t_interval(values: ArrayLike) -> Interval:
    """Gives the mean of values (n,), n >= 2, with Student's interval.

    It covers what it should for normal values at any n, and errs little for others.
    """
    x = np.asarray(values, float)
    return _around(float(x.mean()), float(x.std(ddof=1) / len(x) ** 0.5), len(x))


def jackknife_interval(estimate: float, without_one: ArrayLike) -> Interval:
    """Gives an interval for an estimate from n >= 2 replicas that is no mean.

    Args:
        estimate: from all replicas.
        without_one: the same without each of them (n,); or without each of n equal groups.

    Returns:
        Student's interval on the jackknife's standard error (Tukey 1958; Miller 1974).
    """
    x = np.asarray(without_one, float)
    n = len(x)
    return _around(estimate, float(np.sqrt((n - 1) / n * np.square(x - x.mean()).sum())), n)


def _around(mean: float, error: float, n: int) -> Interval:
    half = float(t.ppf((1 + COVERAGE) / 2, n - 1)) * error
    return Interval(mean, mean - half, mean + half, n)
