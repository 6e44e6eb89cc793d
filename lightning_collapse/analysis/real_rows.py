"""The least number m of real rows, the same in every round, that prevents collapse: by runs.

There are two answers, which need not agree. *bounded*: the least m from which on the distance has
come to rest: its rise over the last half of the rounds lies within ± δ by two one-sided tests.
That is told only where K >= 5 N/m rounds were run, as real rows are remembered for N/m. *free*:
the least m from which on the excess over the control, paired by seed, has an upper 95 % bound of
at most δ, in the mean over the last third of the rounds. δ is a quarter of the distance's floor
unless said otherwise. The residual variance is pooled over all m; the place where the isotonic
fit of the excess passes δ has the interval of a parametric bootstrap.

Beside them stand m real rows alone, without any sample: if they do no worse, samples are no help.
"""

from collections.abc import Callable, Mapping, Sequence, Sized
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lightning_collapse.analysis.conditions import Condition, Replica
from lightning_collapse.analysis.intervals import Interval
from lightning_collapse.analysis.meanings import (
    OF_FLOOR,
    headline,
    headline_figure,
    headline_margin,
    relaxation_rounds,
)
from lightning_collapse.analysis.pooled import Bound, Pooled, crossing, pooled
from lightning_collapse.analysis.verdict import Verdict, late, rise_of

__all__ = ["Alone", "Level", "RealRows", "of_conditions"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Level:
    """One number of real rows.

    Attributes:
        m: real rows in every round from round 1 on.
        seeds: that it has in common with the control.
        rounds: K, which all its runs have.
        needed: 5 N/m, rounds that *bounded* needs; None without real rows: no number will do.
        excess: over the control; None where it cannot be told.
        rise: of the excess over half of the rounds, likewise.
        fit: isotonic fit of the excess, likewise.
        free: whether the excess is at most δ, likewise.
        bounded: whether the distance has come to rest; None where that is not told.
        verdict: by this number of rows alone.
    """

    m: int
    seeds: int
    rounds: int
    needed: int | None
    excess: Bound | None
    rise: Bound | None
    fit: float | None
    free: bool | None
    bounded: bool | None
    verdict: Verdict


@dataclass(frozen=True)
class Alone:
    """m real rows without samples: how many, in how many seeds, and their excess."""

    m: int
    seeds: int
    excess: Bound | None


@dataclass(frozen=True)
class RealRows:
    """The two answers.

    Attributes:
        figure: the distance that is compared.
        n: N, rows that a round of the control trains on.
        margin: δ, in units of the figure.
        of_floor: the same as a share of its floor.
        levels: by rising m.
        alone: likewise.
        least_bounded: the least m from which on it is bounded; None where there is none.
        least_free: the least m from which on it is free; N where only the control is; None where
            nothing can be told.
        passes: where the isotonic fit passes δ; None likewise.
        residual: standard deviation of a run about the fit, pooled over all m; None likewise.
        freedom: its degrees of freedom.
        why: why nothing can be told; "" where it can.
    """

    figure: str
    n: int
    margin: float
    of_floor: float
    levels: list[Level]
    alone: list[Alone]
    least_bounded: int | None
    least_free: int | None
    passes: Interval | None
    residual: float | None
    freedom: int
    why: str

    @property
    def bracket(self) -> tuple[int | None, int] | None:
        """The largest m below the answer *free*, None for none, and the answer; None without."""
        if self.least_free is None:
            return None
        below = [one.m for one in self.levels if one.m < self.least_free]
        return (below[-1] if below else None), self.least_free

    @property
    def is_settled(self) -> bool:
        """Whether more seeds would not move the answer *free*: the m below it is worse by > δ."""
        if (ends := self.bracket) is None:
            return False
        return all(
            one.excess is not None and one.excess.low > self.margin
            for one in self.levels
            if one.m == ends[0]
        )

    @property
    def rounds(self) -> int:
        """Rounds that all levels have."""
        return min(level.rounds for level in self.levels)

    @property
    def bounded_words(self) -> str:
        """Says the answer *bounded*, or what it needs."""
        if self.least_bounded is not None:
            return f"from m = {self.least_bounded:,} on, in {self.rounds} rounds"
        short = [one.needed for one in self.levels if one.needed and one.needed > one.rounds]
        return f"not told, needs K = {max(short)} rounds" if short else "at no m, or not told"

    @property
    def free_words(self) -> str:
        """Says the answer *free*, or why there is none."""
        if self.bracket is None or self.passes is None:
            return f"not told: {self.why}"
        below, least = self.bracket
        fails = "" if below is None else f"; not told to be at m = {below:,}"
        place = self.passes
        return (
            f"from m = {least:,} on, in {self.rounds} rounds{fails}; the fit passes the margin "
            f"at m = {place.mean:,.0f} [{place.low:,.0f}, {place.high:,.0f}]"
        )


def of_conditions(
    conditions: Sequence[Condition], control: Condition, of_floor: float = OF_FLOOR
) -> RealRows:
    """Finds the least number of real rows from conditions that differ in it.

    Args:
        conditions: of runs with as many real rows in every round from round 1 on; and of runs on
            fewer real rows than N alone.
        control: runs on all N real rows.
        of_floor: δ as a share of the distance's floor, above 0.

    Raises:
        ValueError: two have the same number of real rows; or there is none but real rows alone.
    """
    mixed = _by_rows([one for one in conditions if not one.is_real])
    alone = _by_rows([one for one in conditions if one.is_real])
    if not mixed:
        raise ValueError("runs: none trains on samples; name conditions that do, beside m rows")
    figure, margin = headline_figure(control), headline_margin(control, of_floor)
    # Of all alike: late is a matter of how many rounds there are.
    rounds = min(one.rounds for one in (control, *mixed.values()))
    excess = _fitted(mixed, control, figure, late, rounds)
    rises = _fitted(mixed, control, figure, rise_of, rounds)
    shape: Sequence[float | None] = [None] * len(mixed)
    passes = None
    n = int(control.first[-1]["n_real"])
    if excess is not None:
        fit, passes = crossing(list(mixed), n, excess, margin)
        shape = fit.tolist()
    told = zip(_bounds(excess, mixed), _bounds(rises, mixed), shape, strict=True)
    levels = [
        _level(one, control, rounds, *own, of_floor)
        for one, own in zip(mixed.values(), told, strict=True)
    ]
    ms = [*mixed, n]
    return RealRows(
        figure,
        n,
        margin,
        of_floor,
        levels,
        _alone(alone, control, figure),
        _least(list(mixed), [one.bounded is True for one in levels]),
        None if excess is None else _least(ms, [*(bool(one.free) for one in levels), True]),
        passes,
        None if excess is None else excess.deviation,
        0 if excess is None else excess.freedom,
        "" if excess is not None else _why(mixed, control),
    )


def _by_rows(conditions: Sequence[Condition]) -> dict[int, Condition]:
    found: dict[int, Condition] = {}
    for one in conditions:
        m = int(one.first[-1]["n_real"])
        if m in found:
            raise ValueError(
                f"runs: {one.name} and {found[m].name} both have {m} real rows in a round; name "
                "conditions that differ in that alone"
            )
        found[m] = one
    return dict(sorted(found.items()))


def _fitted(
    conditions: Mapping[int, Condition],
    control: Condition,
    figure: str,
    told: Callable[[Array], Array],
    rounds: int,
) -> Pooled | None:
    def of(one: Condition) -> dict[Replica, float]:
        numbers = {
            replica: float(told(y[None, :rounds])[0]) for replica, y in one.series(figure).items()
        }
        return {replica: y for replica, y in numbers.items() if np.isfinite(y)}

    return pooled(of(control), [of(one) for one in conditions.values()])


def _bounds(fit: Pooled | None, of: Sized) -> Sequence[Bound | None]:
    return [None] * len(of) if fit is None else fit.bounds()


def _level(
    one: Condition,
    control: Condition,
    rounds: int,
    excess: Bound | None,
    rise: Bound | None,
    fit: float | None,
    of_floor: float,
) -> Level:
    margin, needed = headline_margin(control, of_floor), relaxation_rounds(one)
    bounded = None
    if rise is not None:
        if -margin <= rise.low and rise.high <= margin:
            bounded = True if needed is not None and rounds >= needed else None
        elif rise.low > 0:
            bounded = False
    return Level(
        int(one.first[-1]["n_real"]),
        len(one.runs.keys() & control.runs.keys()),
        rounds,
        needed,
        excess,
        rise,
        fit,
        None if excess is None else excess.high <= margin,
        bounded,
        headline(one, control, of_floor),
    )


def _alone(alone: Mapping[int, Condition], control: Condition, figure: str) -> list[Alone]:
    fit = _fitted(alone, control, figure, late, control.rounds)
    return [
        Alone(m, len(one.runs.keys() & control.runs.keys()), bound)
        for (m, one), bound in zip(alone.items(), _bounds(fit, alone), strict=True)
    ]


def _least(rows: Sequence[int], holds: Sequence[bool]) -> int | None:
    """The least m from which on it holds, as more real rows cannot do worse."""
    least = None
    for m, one in zip(reversed(rows), reversed(holds), strict=True):
        if not one:
            break
        least = m
    return least


def _why(conditions: Mapping[int, Condition], control: Condition) -> str:
    for m, one in conditions.items():
        if not one.runs.keys() & control.runs.keys():
            return f"m = {m}: has no seed in common with the control"
    return "one seed, or the distance is null: no interval; run 2 seeds or more of all"
