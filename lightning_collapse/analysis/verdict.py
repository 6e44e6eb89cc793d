"""The verdict on a condition: it collapses, it is stable, or nothing can be told yet.

The statistic is fixed beforehand. Of a figure that is worse the higher it is, such as the Fréchet
distance, it is the excess over the control, which retrains on real rows, in the mean over the last
third of the rounds, a difference for each pair of runs of one seed. Student's 95 % interval over
the seeds decides: *collapses* if it lies above the margin, *stable* if it lies below. The trend is
told by the same rule from the excess' least-squares slope over the last half of the rounds.

Rounds of a run depend on each other, and are never taken for replicas: seeds are.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.stats import nct, t

from lightning_collapse.analysis.intervals import COVERAGE, Interval, t_interval

__all__ = ["RULE", "Verdict", "late", "power", "rise_of", "verdict"]

Array = NDArray[np.float64]
Replica = TypeVar("Replica", bound=Hashable)
Word = Literal["collapses", "stable", "undecided"]
Trend = Literal["growing", "level", "not told"]

RULE = (
    "excess over the control, paired by seed, mean of the last third of the rounds: collapses if "
    "Student's 95 % interval over the seeds lies above the margin, stable if below"
)
_MOST_SEEDS = 100
_WANTED_POWER = 0.8


@dataclass(frozen=True)
class Verdict:
    """What can be told of a condition, and why not more.

    Attributes:
        word: collapses, stable or undecided.
        trend: *growing* if the rise over the last half of the rounds is above 0, *level* if it is
            within ± margin, by its interval; level where both hold.
        margin: excess that is still as good as none, in the figure's units.
        excess: over the control, in the last third of the rounds; None without an interval.
        rise: of the excess over half of the rounds, K/2 times its slope over the last half; None
            without an interval.
        spread: standard deviation of the excess over seeds; None likewise.
        seeds: pairs of run and control.
        rounds: that all of them have.
        why: one clause on why it is undecided; "" if it is not.
    """

    word: Word
    trend: Trend
    margin: float
    excess: Interval | None
    rise: Interval | None
    spread: float | None
    seeds: int
    rounds: int
    why: str

    @property
    def seeds_needed(self) -> int | None:
        """How many seeds would tell in 4 of 5 studies, if excess and spread are as seen.

        None where that is not known, or would be more than 100.
        """
        if self.excess is None or self.spread is None:
            return None
        effect = abs(self.excess.mean - self.margin)
        if self.spread == 0:
            return 2 if effect else None
        enough = (
            n for n in range(2, _MOST_SEEDS + 1) if power(effect / self.spread, n) >= _WANTED_POWER
        )
        return next(enough, None)

    @property
    def seeds_wanted(self) -> str:
        """How many seeds would tell in 4 of 5 studies, in words."""
        needed = self.seeds_needed
        return f"about {needed} seeds" if needed else f"more than {_MOST_SEEDS} seeds"

    @property
    def course(self) -> str:
        """The trend in words that stand by themselves."""
        return "trend not told" if self.trend == "not told" else self.trend

    def __str__(self) -> str:
        if self.excess is None:
            return f"{self.word}: {self.why}"
        told = f"{self.word}, {self.course}: excess {self.excess}, margin {self.margin:.3g}"
        told += f", {self.seeds} seeds"
        return f"{told}; {self.why}: {self.seeds_wanted} would tell" if self.why else told


def power(effect: float, seeds: int, coverage: float = COVERAGE) -> float:
    """Gives the probability that a verdict is told.

    Args:
        effect: distance of the true excess to the margin, >= 0, in standard deviations of the
            excess over seeds. At 2 it is 47 % with 3 seeds, 91 % with 5 and 99.8 % with 8.
        seeds: at least 2.
        coverage: of the interval that decides.
    """
    freedom = seeds - 1
    quantile = t.ppf((1 + coverage) / 2, freedom)
    return float(1 - nct.cdf(quantile, freedom, effect * seeds**0.5))


def verdict(
    series: Mapping[Replica, Sequence[float] | Array],
    control: Mapping[Replica, Sequence[float] | Array] | None,
    margin: float,
) -> Verdict:
    """Judges a figure that is worse the higher it is.

    On simulated series, 12 rounds with an autocorrelation of 0.8, whose true excess is the margin,
    the worst case, 2.3 to 2.7 % are called *collapses* and as many *stable*, with 3, 5 and 8 seeds
    alike; two standard deviations above the margin 47, 91 and 99.7 % are called *collapses*, and
    as far below 48, 91 and 99.7 % *stable* (20,000 studies each, `benchmarks/verdict_power.py`).

    Args:
        series: the figure in every round (K,), by seed; NaN where it is not known.
        control: the same of runs that retrain on real rows; None where there are none.
        margin: excess that is still as good as none, in the figure's units, >= 0.

    Returns:
        The verdict: undecided, with the reason, without a control, with fewer than two pairs or
        two rounds, or where a figure is missing.
    """
    pairs = [replica for replica in series if control is not None and replica in control]
    runs = [np.asarray(series[replica], float) for replica in pairs]
    others = [np.asarray((control or {})[replica], float) for replica in pairs]
    rounds = min((len(one) for one in runs + others), default=0)
    why = _missing(control is not None, len(pairs), rounds)
    if not why:
        excess = np.stack([a[:rounds] - b[:rounds] for a, b in zip(runs, others, strict=True)])
        if np.isfinite(late(excess)).all() and np.isfinite(margin):
            return _judged(excess, margin)
        why = "the figure, its floor or that of the control is missing in some rounds"
    return Verdict("undecided", "not told", margin, None, None, None, len(pairs), rounds, why)


def late(excess: Array) -> Array:
    """Gives the statistic (seeds,) of excesses (seeds, K): the mean of the last third."""
    rounds = excess.shape[1]
    return np.asarray(excess[:, rounds - -(-rounds // 3) :].mean(1))


def _missing(controlled: bool, pairs: int, rounds: int) -> str:
    """Says what there must be and is not."""
    if not controlled:
        return (
            "no control: retraining alone cannot be told from collapse; add runs on real rows, "
            "Replace at λ = 0, of the same seeds"
        )
    if pairs < 2:
        return (
            f"{pairs or 'no'} seed{'' if pairs else 's'} in common with the control: no interval; "
            "run at least 3 seeds of both"
        )
    return "only round 0, which trains on real rows" if rounds < 2 else ""


def _judged(excess: Array, margin: float) -> Verdict:
    """Judges excesses (seeds, K)."""
    seeds, rounds = excess.shape
    last = late(excess)
    interval, rises = t_interval(last), rise_of(excess)
    risen = t_interval(rises) if np.isfinite(rises).all() else None
    word: Word = "undecided"
    if interval.low > margin:
        word = "collapses"
    elif interval.high < margin:
        word = "stable"
    why = "the interval holds the margin" if word == "undecided" else ""
    spread = float(last.std(ddof=1))
    trend = _trend(risen, margin)
    return Verdict(word, trend, margin, interval, risen, spread, seeds, rounds, why)


def rise_of(series: Array) -> Array:
    """Gives how much figures (seeds, K) rise over half of the rounds (seeds,).

    That is K/2 times the least-squares slope over the last half; NaN where a number of that half
    is not known, or it is a single round.
    """
    rounds = series.shape[1]
    half = series[:, rounds // 2 :]
    time = np.arange(half.shape[1]) - (half.shape[1] - 1) / 2
    if len(time) < 2:
        return np.full(len(series), np.nan)
    return np.asarray(half @ time / np.square(time).sum() * rounds / 2)


def _trend(risen: Interval | None, margin: float) -> Trend:
    if risen is None:
        return "not told"
    if -margin <= risen.low and risen.high <= margin:
        return "level"
    return "growing" if risen.low > 0 else "not told"
