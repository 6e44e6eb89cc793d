"""The least number m of real rows, the same in every round, that saves the Gaussian loop.

In the Gaussian loop, *prevented* means both, over replicas and after eight times the memory of
real rows, N/m rounds: the one-sided lower 95 % bound of the mean of v_K / v_ref is at least ρ; and
the slope of log v over the last half, replica by replica, is equivalent to 0: its 90 % interval,
times K, lies within ± -log ρ (two one-sided tests). v_ref is the population's variance, or that
of the replica's own m rows. Theory settles both (`theory.gaussian.min_real_rows`); the search's
answer is a little larger, as its bound asks for more than the mean: at ρ = 0.9, N = 1000 and 4,000
replicas 17 for theory's 15, and 6 for 5.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from lightning_collapse.regimes import Fixed
from lightning_collapse.regimes.regime import REAL
from lightning_collapse.toys.conditions import condition
from lightning_collapse.toys.gaussian import from_statistics
from lightning_collapse.toys.gaussian_fits import Truth

__all__ = ["Bracket", "Tried", "gaussian_search"]

Array = NDArray[np.float64]

_CONFIDENCE = 0.95
# After five, what is left of the start still drifts by as much as ρ = 0.9 allows.
_MEMORIES = 8
_AT_ONCE = 500
_LEAST_ROUNDS = 10


@dataclass(frozen=True)
class Tried:
    """One m of the search.

    Attributes:
        m: real rows in every round.
        rounds: K, how many were run.
        ratio: mean of v_K / v_ref over replicas.
        ratio_low: its one-sided lower 95 % bound.
        drift: K times the slope of log v over the last half, the end of its 90 % interval that is
            farther from 0.
        prevented: whether m rows prevent collapse.
    """

    m: int
    rounds: int
    ratio: float
    ratio_low: float
    drift: float
    prevented: bool


@dataclass(frozen=True)
class Bracket:
    """Where the search has ended.

    Attributes:
        reference: `population` or `own rows`.
        failing: the largest m that failed; 0 for none.
        passing: the smallest that passed; None where none did.
        tried: every m, in order of the search.
        again: the two ends with fresh chance.
    """

    reference: str
    failing: int
    passing: int | None
    tried: list[Tried]
    again: list[Tried]


def gaussian_search(rho: float, n: int, replicas: int, seed: int) -> list[Bracket]:
    """Finds the least m of N rows by bisection, for both references, on common chance.

    Args:
        rho: share of the variance to be kept, in (0, 1).
        n: N, at least 3.
        replicas: at least 2; each draws its own real rows.
        seed: keys everything.
    """
    truth = Truth()

    @cache
    def courses(m: int, own_seed: int) -> tuple[Array, Array]:
        return _course(m, n, replicas, own_seed, truth)

    def attempt(m: int, own_seed: int, own_rows: bool) -> Tried:
        logs, rows_variance = courses(m, own_seed)
        return _tried(m, logs, rows_variance if own_rows else truth.variance, rho)

    return [
        _bisect(name, n, partial(attempt, own_rows=own), seed)
        for name, own in (("population", False), ("own rows", True))
    ]


def _bisect(reference: str, n: int, attempt: Callable[[int, int], Tried], seed: int) -> Bracket:
    low, high, tried = 1, n, []
    while high - low > 1:
        # Of the logarithm: the answer is small beside N, and small m are slow.
        m = min(high - 1, max(low + 1, round(math.sqrt(low * high))))
        tried.append(attempt(m, seed))
        low, high = (low, m) if tried[-1].prevented else (m, high)
    ends = [m for m in (low, high) if 1 < m < n]
    again = [attempt(m, seed + 1) for m in ends]
    return Bracket(reference, low, high if high < n else None, tried, again)


def _course(m: int, n: int, replicas: int, seed: int, truth: Truth) -> tuple[Array, Array]:
    """The logarithm of v over the last half of the rounds (T, R), and the own rows' v (R,)."""
    # Even, so that the last half is a half.
    rounds = max(_LEAST_ROUNDS, 2 * math.ceil(_MEMORIES * n / m / 2))
    chosen = condition("Replace", 1 - m / n, n, rounds)
    # One round more, on the m real rows alone, is the fit of these.
    blocks = [*chosen.blocks[:rounds], [Fixed(REAL, range(m))]]
    chosen, logs, own = replace(chosen, blocks=blocks), [], []
    for first in range(0, replicas, _AT_ONCE):
        some = range(first, min(first + _AT_ONCE, replicas))
        course = from_statistics(chosen, rounds + 1, some, truth, seed)
        logs.append(course.log_variance[rounds // 2 : rounds])
        own.append(course.variance[rounds])
    return np.concatenate(logs, 1), np.concatenate(own)


def _tried(m: int, logs: Array, reference: float | Array, rho: float) -> Tried:
    last, replicas = logs.shape
    rounds = 2 * last
    ratios = np.exp(logs[-1]) / reference
    time = np.arange(last) - (last - 1) / 2
    drifts = rounds * (time @ logs) / np.square(time).sum()
    quantile = student.ppf(_CONFIDENCE, replicas - 1) / replicas**0.5
    low = float(ratios.mean() - quantile * ratios.std(ddof=1))
    half = quantile * drifts.std(ddof=1)
    drift = float(drifts.mean() + math.copysign(half, drifts.mean()))
    prevented = low >= rho and abs(drift) <= -math.log(rho)
    return Tried(m, rounds, float(ratios.mean()), low, drift, prevented)
