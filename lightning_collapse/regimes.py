"""Regimes: pure rules that say which rows of the pool a round trains on.

A row is known only by its birth stamp: 0 for real, r + 1 for a sample made by round r. A rule sees
how many rows of each stamp there are, never the data, so it serves points and images alike.
Round r is the newest stamp; round 0 trains on real rows alone.
"""

import itertools
import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lightning_collapse.subsets import choose

__all__ = [
    "Draw",
    "Parts",
    "Regime",
    "joined",
    "Replace",
    "Turnover",
    "Augment",
    "Accumulate",
    "AccumulateSubsample",
    "Fresh",
]


@dataclass(frozen=True)
class Parts:
    """What a round trains on, in numbers of rows."""

    real: range = range(0)
    """Real rows, by position."""
    older: int = 0
    """The first rows of every generation but the newest."""
    kept: int = 0
    """Rows drawn from the training set of the round before."""
    drawn: int = 0
    """Rows drawn from everything so far."""
    newest: int = 0
    """The first rows of the newest generation."""

    @property
    def by_chance(self) -> bool:
        """Whether some rows are drawn, so that the seed matters."""
        return self.kept + self.drawn > 0


@dataclass(frozen=True)
class Draw:
    """The rows that a round trains on, under S seeds: those kept, then the others."""

    kept: NDArray[np.int64]
    """Places (S, k) in the training set of the round before."""
    others: NDArray[np.int64]
    """Positions (S, m), counted over all rows in order of birth."""

    def __len__(self) -> int:
        return int(self.kept.shape[1] + self.others.shape[1])

    def of(self, before: NDArray[np.int64]) -> NDArray[np.int64]:
        """Gives the positions (S, k + m), from those of the round before (S, *)."""
        return joined(np.take_along_axis(before, self.kept, 1), self.others)


@dataclass(frozen=True)
class Regime(ABC):
    """A rule on birth stamps. Subclasses write `parts` and `samples_needed`."""

    @abstractmethod
    def parts(self, n_real: int, r: int) -> Parts:
        """Gives what round r trains on, for N = `n_real` real rows.

        Raises:
            ValueError: there are not enough real rows.
        """

    @abstractmethod
    def samples_needed(self, n_real: int) -> int:
        """Gives how many samples each round must make, for N = `n_real` real rows."""

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
        starts = list(itertools.accumulate(sizes, initial=0))
        # Who was kept is replayed from the last round that kept nothing: the rule has no memory.
        first = len(sizes) - 1
        while self.parts(sizes[0], first).kept:
            first -= 1
        rows = np.empty((1, 0), np.int64)
        for r in range(first, len(sizes)):
            rows = _draw(self.parts(sizes[0], r), starts[: r + 2], rows.shape[1], [seed]).of(rows)
        return torch.tensor(rows[0])

    def draws(self, n_real: int, samples_per_round: int, seeds: Sequence[int]) -> Iterator[Draw]:
        """Yields what rounds 0, 1, … draw, under several seeds at once, without starting over.

        `draw.of(rows)` turns the positions of one round into those of the next; `select` gives
        the same.

        Args:
            n_real: N, the real rows.
            samples_per_round: samples that every round makes.
            seeds: as in `select`, S of them.
        """
        starts, before = [0, n_real], 0
        for r in itertools.count():
            draw = _draw(self.parts(n_real, r), starts, before, seeds)
            before = len(draw)
            yield draw
            starts.append(starts[-1] + samples_per_round)

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
            sizes = [n_real] + [samples_per_round] * r
            _refuse_shortage(self.parts(n_real, r), list(itertools.accumulate(sizes, initial=0)))


@dataclass(frozen=True)
class Replace(Regime):
    """The first (1 - λ)N real rows, the same every round, and λN rows of the newest generation.

    λ = `synthetic_fraction` in [0, 1]; 0 is the control that retrains on real rows every round.
    Source: Shumailov et al. 2023, at λ = 1.
    """

    synthetic_fraction: float = 1.0

    def __post_init__(self) -> None:
        _check_fraction(self.synthetic_fraction)

    def parts(self, n_real: int, r: int) -> Parts:
        n = 0 if r == 0 else self.samples_needed(n_real)
        return Parts(real=range(n_real - n), newest=n)

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

    def parts(self, n_real: int, r: int) -> Parts:
        if r == 0:
            return Parts(real=range(n_real))
        n = self.samples_needed(n_real)
        return Parts(kept=n_real - n, newest=n)

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

    def parts(self, n_real: int, r: int) -> Parts:
        return Parts(real=range(n_real), newest=0 if r == 0 else self.samples_needed(n_real))

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

    def parts(self, n_real: int, r: int) -> Parts:
        n = 0 if r == 0 else self.samples_needed(n_real)
        return Parts(real=range(n_real), older=n, newest=n)

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

    def parts(self, n_real: int, r: int) -> Parts:
        return Parts(drawn=min(self.size, n_real) if r == 0 else self.size)

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

    def parts(self, n_real: int, r: int) -> Parts:
        n = 0 if r == 0 else self.samples_needed(n_real)
        m = self.size - n
        start = 0 if r == 0 else self.size + (r - 1) * m
        if start + m > n_real:
            raise ValueError(
                f"size = {self.size}: round {r} runs out of fresh real rows "
                f"({start + m} of {n_real}); lower size or the number of rounds, "
                "or raise synthetic_fraction"
            )
        return Parts(real=range(start, start + m), newest=n)

    def samples_needed(self, n_real: int) -> int:
        return round(self.synthetic_fraction * self.size)


def joined(first: NDArray[Any], second: NDArray[Any]) -> NDArray[Any]:
    """Gives (…, m) and (…, n) as one (…, m + n); without a copy where one of them is empty."""
    if 0 in (first.shape[-1], second.shape[-1]):
        return first if first.shape[-1] else second
    return np.concatenate([first, second], -1)


def _draw(parts: Parts, starts: Sequence[int], before: int, seeds: Sequence[int]) -> Draw:
    """Draws a round's rows.

    Args:
        parts: what the round trains on.
        starts: where the rows of each birth stamp start, and where the last end.
        before: how many rows the round before trained on.
        seeds: S of them, which key what is drawn, together with the round.
    """
    _refuse_shortage(parts, starts)
    r, total = len(starts) - 2, starts[-1]
    older = starts[1:r] if parts.older else []
    ranges = [
        parts.real,
        *(range(start, start + parts.older) for start in older),
        range(starts[r], starts[r] + parts.newest),
    ]
    fixed = np.concatenate([np.arange(rows.start, rows.stop) for rows in ranges])
    shape = (len(seeds), len(fixed))
    drawn = choose(total, parts.drawn, seeds, "subsample", r)
    return Draw(
        kept=choose(before, parts.kept, seeds, "turnover", r),
        others=joined(drawn, np.broadcast_to(fixed, shape)),
    )


def _refuse_shortage(parts: Parts, starts: Sequence[int]) -> None:
    """Raises ValueError where the pool has fewer rows than a round wants; real rows are there."""
    r, total = len(starts) - 2, starts[-1]
    if parts.drawn > total:
        raise ValueError(
            f"size = {parts.drawn}: round {r} has only {total} rows to draw from; "
            "lower size or make more samples per round"
        )
    generations = range(1 if parts.older else r, r + 1)
    made = min(starts[b + 1] - starts[b] for b in generations)
    wanted = max(parts.older, parts.newest)
    if wanted > made:
        raise ValueError(
            f"samples_per_round = {made}: the regime needs {wanted} samples a round; "
            f"make at least {wanted}"
        )


def _check_fraction(value: float) -> None:
    if not 0.0 <= value <= 1.0:
        raise ValueError(f"synthetic_fraction = {value}: must be a number in [0, 1]")


def _check_positive(name: str, value: float, *, or_zero: bool = False) -> None:
    if not math.isfinite(value) or value < 0 or (value == 0 and not or_zero):
        bound = ">= 0" if or_zero else "> 0"
        raise ValueError(f"{name} = {value}: must be a finite number {bound}")
