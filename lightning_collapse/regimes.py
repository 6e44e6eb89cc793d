"""Regimes: pure rules that say which rows of the pool a round trains on.

A row is known only by its birth stamp: 0 for real, r + 1 for a sample made by round r. A rule sees
how many rows of each stamp there are, never the data, so it serves points and images alike.
Round r is the newest stamp; round 0 trains on real rows alone.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_collapse.seeds import generator as keyed

__all__ = [
    "Regime",
    "Replace",
    "Turnover",
    "Augment",
    "Accumulate",
    "AccumulateSubsample",
    "Fresh",
]


@dataclass(frozen=True)
class Regime(ABC):
    """A rule on birth stamps. Subclasses write `select` and `samples_needed`."""

    @abstractmethod
    def select(self, sizes: Sequence[int], seed: int) -> Tensor:
        """Gives the rows of the newest round's training set.

        Args:
            sizes: `sizes[b]` rows carry birth stamp b; `sizes[0]` is N, the real rows.
            seed: what the rule's own randomness is keyed by, together with the round.

        Returns:
            Distinct positions (n,), int64, counted over all rows in order of birth.

        Raises:
            ValueError: the pool cannot satisfy the rule.
        """

    @abstractmethod
    def samples_needed(self, n_real: int) -> int:
        """Gives how many samples each round must make, for N = `n_real` real rows."""

    def __call__(self, born: Tensor, generator: torch.Generator) -> Tensor:
        """Gives indices (n,) into `born` (rows,) of the rows the newest round trains on.

        The rule's randomness is keyed by (`generator.initial_seed()`, round): pass the same seed
        in every round; how far the generator has advanced does not matter.
        """
        sizes = torch.bincount(born).tolist()
        return torch.argsort(born, stable=True)[self.select(sizes, generator.initial_seed())]

    def counts(self, sizes: Sequence[int], generator: torch.Generator) -> list[int]:
        """Gives how many rows of each birth stamp the newest round trains on.

        Args:
            sizes: rows available of each birth stamp.
            generator: as in `__call__`.
        """
        ends = torch.tensor(sizes).cumsum(0)
        positions = self.select(sizes, generator.initial_seed())
        stamps = torch.searchsorted(ends, positions, right=True)
        counts: list[int] = torch.bincount(stamps, minlength=len(sizes)).tolist()
        return counts

    def check(self, n_real: int, samples_per_round: int, rounds: int) -> None:
        """Raises ValueError if any of `rounds` rounds could not be satisfied."""
        # Demands are constant or grow with the round, so the first and the last decide.
        for r in sorted({0, min(1, rounds - 1), rounds - 1}):
            self.select([n_real] + [samples_per_round] * r, seed=0)


@dataclass(frozen=True)
class Replace(Regime):
    """The first (1 - λ)N real rows, the same every round, and λN rows of the newest generation.

    λ = `synthetic_fraction` in [0, 1]; 0 is the control that retrains on real rows every round.
    Source: Shumailov et al. 2023, at λ = 1.
    """

    synthetic_fraction: float = 1.0

    def __post_init__(self) -> None:
        _check_fraction(self.synthetic_fraction)

    def select(self, sizes: Sequence[int], seed: int) -> Tensor:
        if len(sizes) == 1:
            return _first(sizes, 0, sizes[0])
        n = self.samples_needed(sizes[0])
        return torch.cat([_first(sizes, 0, sizes[0] - n), _first(sizes, -1, n)])

    def samples_needed(self, n_real: int) -> int:
        return round(self.synthetic_fraction * n_real)


@dataclass(frozen=True)
class Turnover(Regime):
    """A random (1 - λ) share of the previous training set and λN rows of the newest generation.

    Real rows decay as (1 - λ)^r. λ = `synthetic_fraction` in [0, 1].
    """

    synthetic_fraction: float

    def __post_init__(self) -> None:
        _check_fraction(self.synthetic_fraction)

    def select(self, sizes: Sequence[int], seed: int) -> Tensor:
        # Who survived is replayed from round 1, so that the rule needs no memory.
        n = self.samples_needed(sizes[0])
        rows = _first(sizes, 0, sizes[0])
        for r in range(1, len(sizes)):
            order = torch.randperm(len(rows), generator=keyed(seed, "turnover", r))
            kept = rows[order[: sizes[0] - n].sort().values]
            rows = torch.cat([kept, _first(sizes, r, n)])
        return rows

    def samples_needed(self, n_real: int) -> int:
        return round(self.synthetic_fraction * n_real)


@dataclass(frozen=True)
class Augment(Regime):
    """All N real rows and ratio·N rows of the newest generation.

    `ratio` >= 0 is synthetic/real, λ/(1 - λ). Source: Bertrand et al. 2024 (2310.00429).
    """

    ratio: float

    def __post_init__(self) -> None:
        _check_positive("ratio", self.ratio, or_zero=True)

    def select(self, sizes: Sequence[int], seed: int) -> Tensor:
        real = _first(sizes, 0, sizes[0])
        if len(sizes) == 1:
            return real
        return torch.cat([real, _first(sizes, -1, self.samples_needed(sizes[0]))])

    def samples_needed(self, n_real: int) -> int:
        return round(self.ratio * n_real)


@dataclass(frozen=True)
class Accumulate(Regime):
    """Everything so far: all real rows and `per_round`·N rows of every generation.

    `per_round` > 0. Source: Gerstgrasser et al. 2024 (2404.01413), at per_round = 1.
    """

    per_round: float = 1.0

    def __post_init__(self) -> None:
        _check_positive("per_round", self.per_round)

    def select(self, sizes: Sequence[int], seed: int) -> Tensor:
        n = self.samples_needed(sizes[0])
        wanted = [sizes[0]] + [n] * (len(sizes) - 1)
        return torch.cat([_first(sizes, b, w) for b, w in enumerate(wanted)])

    def samples_needed(self, n_real: int) -> int:
        return round(self.per_round * n_real)


@dataclass(frozen=True)
class AccumulateSubsample(Regime):
    """`size` rows drawn anew each round from everything so far.

    Round 0 draws from the real rows, all of them where `size` is larger. What each round adds is
    the number of samples it makes. Source: Kazdan et al. 2024 (2410.16713).
    """

    size: int

    def __post_init__(self) -> None:
        _check_positive("size", self.size)

    def select(self, sizes: Sequence[int], seed: int) -> Tensor:
        total, r = sum(sizes), len(sizes) - 1
        size = min(self.size, total) if r == 0 else self.size
        if size > total:
            raise ValueError(
                f"size = {size}: round {r} has only {total} rows to draw from; "
                "lower size or make more samples per round"
            )
        order = torch.randperm(total, generator=keyed(seed, "subsample", r))
        return order[:size].sort().values

    def samples_needed(self, n_real: int) -> int:
        return self.size


@dataclass(frozen=True)
class Fresh(Regime):
    """(1 - λ)·size real rows never used before and λ·size rows of the newest generation.

    Round 0 uses the first `size` real rows. λ = `synthetic_fraction` in [0, 1].
    Source: Alemohammad et al. 2024 (2307.01850), the fresh data loop.
    """

    synthetic_fraction: float
    size: int

    def __post_init__(self) -> None:
        _check_fraction(self.synthetic_fraction)
        _check_positive("size", self.size)

    def select(self, sizes: Sequence[int], seed: int) -> Tensor:
        r = len(sizes) - 1
        n = 0 if r == 0 else self.samples_needed(sizes[0])
        m = self.size - n
        start = 0 if r == 0 else self.size + (r - 1) * m
        if start + m > sizes[0]:
            raise ValueError(
                f"size = {self.size}: round {r} runs out of fresh real rows "
                f"({start + m} of {sizes[0]}); lower size or the number of rounds, "
                "or raise synthetic_fraction"
            )
        real = torch.arange(start, start + m)
        return real if r == 0 else torch.cat([real, _first(sizes, -1, n)])

    def samples_needed(self, n_real: int) -> int:
        return round(self.synthetic_fraction * self.size)


def _first(sizes: Sequence[int], stamp: int, wanted: int) -> Tensor:
    """Positions of the first `wanted` rows with a birth stamp."""
    stamp = stamp % len(sizes)
    if wanted > sizes[stamp]:
        raise ValueError(
            f"samples_per_round = {sizes[stamp]}: the regime needs {wanted} samples a round; "
            f"make at least {wanted}"
        )
    start = sum(sizes[:stamp])
    return torch.arange(start, start + wanted)


def _check_fraction(value: float) -> None:
    if not 0.0 <= value <= 1.0:
        raise ValueError(f"synthetic_fraction = {value}: must be a number in [0, 1]")


def _check_positive(name: str, value: float, *, or_zero: bool = False) -> None:
    if not math.isfinite(value) or value < 0 or (value == 0 and not or_zero):
        bound = ">= 0" if or_zero else "> 0"
        raise ValueError(f"{name} = {value}: must be a finite number {bound}")
