"""Regimes in which what comes in differs from round to round, or one rule follows another."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lightning_collapse.regimes.regime import REAL, Block, Fixed, Regime
from lightning_collapse.regimes.rules import check_fraction, check_positive
from lightning_collapse.theory import gaussian_schedules

__all__ = ["FreshAccumulate", "Growing", "SlidingWindow", "Then"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class FreshAccumulate(Regime):
    """All so far, to which every round adds (1 - λ)·size new real rows and λ·size samples.

    Round 0 uses the first `size` real rows. λ = `synthetic_fraction` in [0, 1]; α = 1 - λ. The
    error of the mean falls as (r + 1)^-min(1/2, α), where real rows alone have -1/2.
    Source: Wang, Niu, Li 2026 (2602.16065).

    Raises:
        ValueError: λ is not in [0, 1], or the size not above 0.
    """

    synthetic_fraction: float
    size: int

    def __post_init__(self) -> None:
        check_fraction(self.synthetic_fraction)
        check_positive("size", self.size)

    def blocks(self, n_real: int, r: int) -> Sequence[Block]:
        n = self.samples_needed(n_real)
        real = self.size + r * (self.size - n)
        return [Fixed(REAL, range(real)), Fixed(range(1, r + 1), range(n))]

    def samples_needed(self, n_real: int) -> int:
        return round(self.synthetic_fraction * self.size)

    def gaussian_theory(self, n_real: int, samples: int, rounds: int, variance: float) -> Array:
        n = self.samples_needed(n_real)
        return gaussian_schedules.fresh_accumulate(rounds, self.size, n, variance)


@dataclass(frozen=True)
class SlidingWindow(Regime):
    """N rows of each of the last `generations` generations, of which real rows are the first.

    With 1 it is `Replace()`, and with as many as there are rounds `Accumulate()`.

    Raises:
        ValueError: there is not at least 1 generation.
    """

    generations: int

    def __post_init__(self) -> None:
        if self.generations < 1:
            raise ValueError(f"generations = {self.generations}: must be at least 1")

    def blocks(self, n_real: int, r: int) -> Sequence[Block]:
        return [Fixed(range(max(0, r + 1 - self.generations), r + 1), range(n_real))]

    def samples_needed(self, n_real: int) -> int:
        return n_real

    def gaussian_theory(self, n_real: int, samples: int, rounds: int, variance: float) -> Array:
        return gaussian_schedules.sliding_window(rounds, n_real, self.generations, variance)


@dataclass(frozen=True)
class Growing(Regime):
    """`Replace` whose λ grows by `step` a round, from 0 in round 0 until it is `until`.

    Both are in [0, 1]. Real rows that are still there are always the first.

    Raises:
        ValueError: one of them is not.
    """

    step: float
    until: float = 1.0

    def __post_init__(self) -> None:
        check_fraction(self.step, "step")
        check_fraction(self.until, "until")

    def blocks(self, n_real: int, r: int) -> Sequence[Block]:
        n = round(min(self.until, self.step * r) * n_real)
        return [Fixed(REAL, range(n_real - n)), Fixed(range(r, r + 1), range(n))]

    def samples_needed(self, n_real: int) -> int:
        return round(self.until * n_real)

    def gaussian_theory(
        self, n_real: int, samples: int, rounds: int, variance: float
    ) -> Array | None:
        return _mixing_theory(self, n_real, rounds, variance)


@dataclass(frozen=True)
class Then(Regime):
    """Regime `first` in rounds before `at`, and regime `then` from that round on.

    Rounds are counted from the start of the run, and what was made before `at` stays in the pool:
    `Then(Replace(), 4, Accumulate())` trains round 4 on real rows and the samples of rounds 0 to
    3. `Then(Replace(), 4, Replace(0.5))` asks whether real rows repair a collapse that has begun.

    Raises:
        ValueError: round `at` is not at least 1: round 0 trains on real rows whatever the rule.
    """

    first: Regime
    at: int
    then: Regime

    def __post_init__(self) -> None:
        if self.at < 1:
            raise ValueError(f"at = {self.at}: must be at least 1")

    def blocks(self, n_real: int, r: int) -> Sequence[Block]:
        return (self.first if r < self.at else self.then).blocks(n_real, r)

    def samples_needed(self, n_real: int) -> int:
        return max(self.first.samples_needed(n_real), self.then.samples_needed(n_real))

    def gaussian_theory(
        self, n_real: int, samples: int, rounds: int, variance: float
    ) -> Array | None:
        if rounds <= self.at:
            return self.first.gaussian_theory(n_real, samples, rounds, variance)
        return _mixing_theory(self, n_real, rounds, variance)


def _mixing_theory(regime: Regime, n_real: int, rounds: int, variance: float) -> Array | None:
    """E[v] where rounds train on some first real rows and some newest samples; None for others."""
    counts = []
    for r in range(rounds):
        blocks = [block for block in regime.blocks(n_real, r) if len(block)]
        real = next((len(b) for b in blocks if b == Fixed(REAL, range(len(b)))), 0)
        newest = range(r, r + 1)
        new = next((len(b) for b in blocks if r and b == Fixed(newest, range(len(b)))), 0)
        if real + new != sum(map(len, blocks)):
            return None
        counts.append((real, new))
    return gaussian_schedules.mixing(counts, variance)
