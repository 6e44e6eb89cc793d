"""The least number m of real rows, the same in every round, that prevents collapse.

In the Gaussian loop, *prevented* means both, over replicas and after eight times the memory of
real rows, N/m rounds: the one-sided lower 95 % bound of the mean of v_K / v_ref is at least ρ; and
the slope of log v over the last half, replica by replica, is equivalent to 0: its 90 % interval,
times K, lies within ± -log ρ (two one-sided tests). v_ref is the population's variance, or that
of the replica's own m rows. Theory settles both (`theory.gaussian.min_real_rows`); the search's
answer is a little larger, as its bound asks for more than the mean: at ρ = 0.9, N = 1000 and 4,000
replicas 17 for theory's 15, and 6 for 5.

Of runs there are two answers, by the verdict at every m: *bounded*, the least m from which on the
distance is level, told only where 5 N/m rounds were run; and *free*, the least m from which on it
is stable beside the control.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from lightning_collapse.analysis.conditions import Condition
from lightning_collapse.analysis.meanings import headline, relaxation_rounds
from lightning_collapse.analysis.verdict import Verdict
from lightning_collapse.regimes import Fixed
from lightning_collapse.regimes.regime import REAL
from lightning_collapse.toys.conditions import condition
from lightning_collapse.toys.gaussian import from_statistics
from lightning_collapse.toys.gaussian_fits import Truth

__all__ = ["Bracket", "RealRows", "Tried", "gaussian_search", "of_conditions"]

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
    known: dict[tuple[int, int], tuple[Array, Array]] = {}

    def courses(m: int, own_seed: int) -> tuple[Array, Array]:
        if (m, own_seed) not in known:
            known[m, own_seed] = _course(m, n, replicas, own_seed, truth)
        return known[m, own_seed]

    def attempt(m: int, own_seed: int, own_rows: bool) -> Tried:
        logs, rows_variance = courses(m, own_seed)
        return _tried(m, logs, rows_variance if own_rows else truth.variance, rho)

    return [
        _bisect(name, n, lambda m, s, own=own: attempt(m, s, own), seed)  # type: ignore[misc]
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


@dataclass(frozen=True)
class RealRows:
    """The two answers for runs.

    Attributes:
        rows: m of each condition, real rows in every round from round 1 on, ascending.
        verdicts: at each.
        bounded: whether the distance is level at each; None where that is not told.
        least_bounded: the least m from which on it is bounded; None where there is none.
        least_free: the least m from which on the verdict is stable, likewise.
        rounds: that all conditions have.
        needed: rounds that the smallest m with any real row needs for *bounded*.
    """

    rows: list[int]
    verdicts: list[Verdict]
    bounded: list[bool | None]
    least_bounded: int | None
    least_free: int | None
    rounds: int
    needed: int | None


def of_conditions(conditions: Sequence[Condition], control: Condition | None) -> RealRows:
    """Finds the least number of real rows by the verdicts of conditions that differ in it.

    Args:
        conditions: at least one, each with as many real rows in every round from round 1 on.
        control: runs on real rows alone.

    Raises:
        ValueError: two have the same number of real rows.
    """
    by_rows: dict[int, Condition] = {}
    for one in conditions:
        m = int(one.first[-1]["n_real"])
        if m in by_rows:
            raise ValueError(
                f"runs: {one.name} and {by_rows[m].name} both have {m} real rows in a round; name "
                "conditions that differ in that alone"
            )
        by_rows[m] = one
    rows = sorted(by_rows)
    verdicts = [headline(by_rows[m], control) for m in rows]
    bounded = [_is_bounded(by_rows[m], told) for m, told in zip(rows, verdicts, strict=True)]
    needed = [relaxation_rounds(by_rows[m]) for m in rows if m]
    return RealRows(
        rows,
        verdicts,
        bounded,
        _least(rows, [one is True for one in bounded]),
        _least(rows, [told.word == "stable" for told in verdicts]),
        min(one.rounds for one in conditions),
        needed[0] if needed else None,
    )


def _is_bounded(one: Condition, told: Verdict) -> bool | None:
    needed = relaxation_rounds(one)
    if told.trend == "growing":
        return False
    return True if told.trend == "level" and needed and one.rounds >= needed else None


def _least(rows: Sequence[int], holds: Sequence[bool]) -> int | None:
    """The least m from which on it holds, as more real rows cannot do worse."""
    least = None
    for m, one in zip(reversed(rows), reversed(holds), strict=True):
        if not one:
            break
        least = m
    return least
