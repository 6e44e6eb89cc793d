"""The six regimes that have a name in the literature, with what theory knows of each."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightning_collapse.regimes.regime import REAL, Block, Drawn, Fixed, Kept, Regime
from lightning_collapse.theory import gaussian, regression

__all__ = [
    "Accumulate",
    "AccumulateSubsample",
    "Augment",
    "Fresh",
    "Replace",
    "Turnover",
    "check_fraction",
    "check_positive",
]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Replace(Regime):
    """The first (1 - λ)N real rows, the same every round, and λN rows of the newest generation.

    λ = `synthetic_fraction` in [0, 1]; 0 is the control that retrains on real rows every round.
    Source: Shumailov et al. 2023, at λ = 1.
    """

    synthetic_fraction: float = 1.0

    def __post_init__(self) -> None:
        check_fraction(self.synthetic_fraction)

    def blocks(self, n_real: int, r: int) -> Sequence[Block]:
        n = 0 if r == 0 else self.samples_needed(n_real)
        return [Fixed(REAL, range(n_real - n)), _newest(r, n)]

    def samples_needed(self, n_real: int) -> int:
        return round(self.synthetic_fraction * n_real)

    def gaussian_theory(self, n_real: int, samples: int, rounds: int, variance: float) -> Array:
        return gaussian.fixed_mix(rounds, n_real, self.synthetic_fraction, variance)

    def gaussian_limit(self, n_real: int, samples: int, variance: float) -> float:
        m = n_real - self.samples_needed(n_real)
        return variance * float(gaussian.ratio_to_population(m, n_real)) if m else 0.0

    def min_real_rows(self, n_real: int, share: float) -> int:
        return gaussian.min_real_rows(n_real, share)

    def regression_theory(
        self, n_real: int, samples: int, rounds: int, dim: int, noise: float, same_inputs: bool
    ) -> Array | None:
        return _all_or_none(self.samples_needed(n_real), n_real, rounds, dim, noise)


@dataclass(frozen=True)
class Turnover(Regime):
    """A random (1 - λ) share of the previous training set and λN rows of the newest generation.

    Real rows decay as (1 - λ)^r. λ = `synthetic_fraction` in [0, 1].
    """

    synthetic_fraction: float

    def __post_init__(self) -> None:
        check_fraction(self.synthetic_fraction)

    def blocks(self, n_real: int, r: int) -> Sequence[Block]:
        if r == 0:
            return [Fixed(REAL, range(n_real))]
        n = self.samples_needed(n_real)
        return [Kept(n_real - n), _newest(r, n)]

    def samples_needed(self, n_real: int) -> int:
        return round(self.synthetic_fraction * n_real)

    def gaussian_theory(self, n_real: int, samples: int, rounds: int, variance: float) -> Array:
        t = np.arange(1, rounds + 1)
        return gaussian.turnover_variance(t, n_real, self.synthetic_fraction, variance)

    def regression_theory(
        self, n_real: int, samples: int, rounds: int, dim: int, noise: float, same_inputs: bool
    ) -> Array | None:
        return _all_or_none(self.samples_needed(n_real), n_real, rounds, dim, noise)


@dataclass(frozen=True)
class Augment(Regime):
    """All N real rows and ratio·N rows of the newest generation.

    `ratio` >= 0 is synthetic/real, λ/(1 - λ). Source: Bertrand et al. 2024 (2310.00429).
    """

    ratio: float

    def __post_init__(self) -> None:
        check_positive("ratio", self.ratio, or_zero=True)

    @classmethod
    def at_fraction(cls, fraction: float, n: int, **options: Any) -> tuple[Regime, int]:
        if fraction == 1.0:
            raise ValueError(
                "lambdas = 1: Augment keeps all real rows, so its λ must be below 1; use Replace"
            )
        regime = cls(ratio=fraction / (1 - fraction), **options)
        return regime, regime.samples_needed(n)

    def blocks(self, n_real: int, r: int) -> Sequence[Block]:
        n = 0 if r == 0 else self.samples_needed(n_real)
        return [Fixed(REAL, range(n_real)), _newest(r, n)]

    def samples_needed(self, n_real: int) -> int:
        return round(self.ratio * n_real)

    def gaussian_theory(self, n_real: int, samples: int, rounds: int, variance: float) -> Array:
        n = self.samples_needed(n_real)
        return gaussian.augment_mix(rounds, n_real, n, variance)

    def gaussian_limit(self, n_real: int, samples: int, variance: float) -> float:
        total = n_real + self.samples_needed(n_real)
        return variance * float(gaussian.ratio_to_population(n_real, total))


@dataclass(frozen=True)
class Accumulate(Regime):
    """Everything so far: all real rows and `per_round`·N rows of every generation.

    `per_round` > 0. Source: Gerstgrasser et al. 2024 (2404.01413), at per_round = 1.
    """

    per_round: float = 1.0

    def __post_init__(self) -> None:
        check_positive("per_round", self.per_round)

    @classmethod
    def at_fraction(cls, fraction: float, n: int, **options: Any) -> tuple[Regime, int]:
        regime = cls(per_round=fraction, **options) if fraction > 0 else Replace(0.0)
        return regime, regime.samples_needed(n)

    def blocks(self, n_real: int, r: int) -> Sequence[Block]:
        every = range(self.samples_needed(n_real))
        return [Fixed(REAL, range(n_real)), Fixed(range(1, r + 1), every)]

    def samples_needed(self, n_real: int) -> int:
        return round(self.per_round * n_real)

    def gaussian_theory(self, n_real: int, samples: int, rounds: int, variance: float) -> Array:
        t, n = np.arange(1, rounds + 1), self.samples_needed(n_real)
        return gaussian.accumulate_per_round_variance(t, n_real, n, variance)

    def gaussian_limit(self, n_real: int, samples: int, variance: float) -> float | None:
        n = self.samples_needed(n_real)
        return gaussian.accumulate_per_round_limit(n_real, n, variance) if n else None

    def regression_theory(
        self, n_real: int, samples: int, rounds: int, dim: int, noise: float, same_inputs: bool
    ) -> Array:
        fits = np.arange(1, rounds + 1)
        if same_inputs:
            return regression.accumulate_same_error(fits, dim, n_real, noise)
        n = self.samples_needed(n_real)
        return regression.accumulate_fresh_error(fits, dim, n_real, n, noise)


@dataclass(frozen=True)
class AccumulateSubsample(Regime):
    """`size` rows drawn anew each round from everything so far.

    Round 0 draws from the real rows, all of them where `size` is larger. What each round adds is
    the number of samples it makes. Source: Kazdan et al. 2024 (2410.16713).
    """

    size: int

    def __post_init__(self) -> None:
        check_positive("size", self.size)

    @classmethod
    def at_fraction(cls, fraction: float, n: int, **options: Any) -> tuple[Regime, int]:
        regime = cls(**options) if fraction > 0 else Replace(0.0)
        return regime, round(fraction * n)

    def blocks(self, n_real: int, r: int) -> Sequence[Block]:
        return [Drawn(min(self.size, n_real) if r == 0 else self.size, range(r + 1))]

    def samples_needed(self, n_real: int) -> int:
        return self.size

    def gaussian_theory(
        self, n_real: int, samples: int, rounds: int, variance: float
    ) -> Array | None:
        if self.size > n_real:
            return None
        return gaussian.subsample_variance(rounds, n_real, self.size, samples, variance)


@dataclass(frozen=True)
class Fresh(Regime):
    """(1 - λ)·size real rows never used before and λ·size rows of the newest generation.

    Round 0 uses the first `size` real rows. λ = `synthetic_fraction` in [0, 1].
    Source: Alemohammad et al. 2024 (2307.01850), the fresh data loop.
    """

    synthetic_fraction: float
    size: int

    def __post_init__(self) -> None:
        check_fraction(self.synthetic_fraction)
        check_positive("size", self.size)

    def blocks(self, n_real: int, r: int) -> Sequence[Block]:
        n = 0 if r == 0 else self.samples_needed(n_real)
        m = self.size - n
        start = 0 if r == 0 else self.size + (r - 1) * m
        return [Fixed(REAL, range(start, start + m)), _newest(r, n)]

    def samples_needed(self, n_real: int) -> int:
        return round(self.synthetic_fraction * self.size)

    def gaussian_theory(self, n_real: int, samples: int, rounds: int, variance: float) -> Array:
        return gaussian.fresh_mix(rounds, self.size, self._share, variance)

    def gaussian_limit(self, n_real: int, samples: int, variance: float) -> float:
        if self._share in (0, 1):
            return 0.0 if self._share else variance * (1 - 1 / self.size)
        return gaussian.fresh_mix_limit(self.size, self._share, variance)

    def regression_theory(
        self, n_real: int, samples: int, rounds: int, dim: int, noise: float, same_inputs: bool
    ) -> Array:
        fits = np.arange(1, rounds + 1)
        return regression.fresh_mix_error(fits, dim, self.size, self._share, noise)

    @property
    def _share(self) -> float:
        """Of samples in a training set, in whole rows."""
        return self.samples_needed(0) / self.size


def _newest(r: int, n: int) -> Fixed:
    """The first n samples that the round before made."""
    return Fixed(range(r, r + 1), range(n))


def _all_or_none(n: int, n_real: int, rounds: int, dim: int, noise: float) -> Array | None:
    """Regression's error where every label is replaced, or none; between them it is not known."""
    if n not in (0, n_real):
        return None
    fits = np.arange(1, rounds + 1) if n else np.ones(rounds)
    return regression.replace_error(fits, dim, n_real, noise)


def check_fraction(value: float, name: str = "synthetic_fraction") -> None:
    """Raises ValueError where a field of a regime is no number in [0, 1]."""
    if not 0.0 <= value <= 1.0:
        raise ValueError(f"{name} = {value}: must be a number in [0, 1]")


def check_positive(name: str, value: float, *, or_zero: bool = False) -> None:
    """Raises ValueError where a field of a regime is no finite number above 0, or from 0 on."""
    if not math.isfinite(value) or value < 0 or (value == 0 and not or_zero):
        bound = ">= 0" if or_zero else "> 0"
        raise ValueError(f"{name} = {value}: must be a finite number {bound}")
