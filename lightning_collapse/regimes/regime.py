"""What a regime is: for each round, the blocks of rows that it trains on.

A row is known only by its birth stamp, 0 for real and r + 1 for a sample made by round r, and its
position among those of its stamp. A rule sees how many rows there are, never the data, so it
serves points and images alike. Round r's newest stamp is r; round 0 trains on real rows alone.
"""

import functools
import itertools
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lightning_collapse.subsets import choose

__all__ = ["REAL", "Block", "Draw", "Drawn", "Fixed", "Kept", "Regime", "joined"]

REAL = range(1)
"""The birth stamp of real rows, as blocks name it."""


@dataclass(frozen=True, slots=True)
class Fixed:
    """Rows by position: the same positions among the rows of each of some birth stamps."""

    born: range
    """Birth stamps: `REAL`, or `range(1, r + 1)` for all generations of round r."""
    rows: range
    """Positions among the rows of one stamp."""

    def __len__(self) -> int:
        return len(self.born) * len(self.rows)


@dataclass(frozen=True, slots=True)
class Drawn:
    """Rows drawn anew, without replacement, from all rows of some birth stamps."""

    size: int
    born: range
    """Birth stamps: `range(r + 1)` for everything so far of round r."""

    def __len__(self) -> int:
        return self.size


@dataclass(frozen=True, slots=True)
class Kept:
    """Rows drawn, without replacement, from the training set of the round before."""

    size: int

    def __len__(self) -> int:
        return self.size


Block: TypeAlias = Fixed | Drawn | Kept


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
    """A rule on birth stamps. A subclass, a frozen dataclass, has `blocks` and `samples_needed`.

    Where theory knows the answer, it may say so: `gaussian_theory`, `regression_theory`.
    """

    @abstractmethod
    def blocks(self, n_real: int, r: int) -> Sequence[Block]:
        """Says what round r trains on; no row may be in two blocks, and blocks may be empty.

        Rows that are kept come first in a training set, the others as their blocks do.

        Args:
            n_real: N, the real rows that there are.
            r: round, from 0; it finds birth stamps 0 to r.
        """

    @abstractmethod
    def samples_needed(self, n_real: int) -> int:
        """Says how many samples each round must make: the most that any round wants."""

    @classmethod
    def at_fraction(cls, fraction: float, n: int, **options: Any) -> "tuple[Regime, int] | None":
        """Gives the regime that λ means in the toys, and how many samples its rounds make.

        λ is the field `synthetic_fraction`; a class in which it is something else says so here.

        Args:
            fraction: λ, in [0, 1]; 0 is a control that sees real rows alone.
            n: N, the rows that round 0 trains on.
            **options: other fields.

        Returns:
            Both, or None where the class has no λ.

        Raises:
            ValueError: the class refuses this λ.
        """
        if "synthetic_fraction" not in {field.name for field in fields(cls)}:
            return None
        # As a keyword of its own, so that an option of this name is refused.
        regime = cls(synthetic_fraction=fraction, **options)  # type: ignore[call-arg]
        return regime, regime.samples_needed(n)

    def gaussian_theory(
        self, n_real: int, samples: int, rounds: int, variance: float
    ) -> NDArray[np.float64] | None:
        """Gives E[v] of the Gaussian loop's fits in every round (rounds,); None if not known.

        Args:
            n_real: N.
            samples: that each round makes.
            rounds: how many, from round 0.
            variance: the true one.
        """
        return None

    def gaussian_limit(self, n_real: int, samples: int, variance: float) -> float | None:
        """Gives where E[v] of the Gaussian loop's fits settles; None if not known."""
        return None

    def min_real_rows(self, n_real: int, share: float) -> int | None:
        """Gives how few of N real rows keep a share of the variance for good; None if not known.

        Args:
            n_real: N.
            share: of the true variance, at which E[v] of the Gaussian loop's fits settles.
        """
        return None

    def regression_theory(
        self, n_real: int, samples: int, rounds: int, dim: int, noise: float, same_inputs: bool
    ) -> NDArray[np.float64] | None:
        """Gives the mean squared error of least squares in every round (rounds,), if known.

        Args:
            n_real: N.
            samples: that each round labels.
            rounds: how many, from round 0.
            dim: of the inputs.
            noise: variance of the labels' noise.
            same_inputs: whether every round labels the inputs of the real rows again.
        """
        return None

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
        starts = np.concatenate([[0], np.cumsum(sizes)])
        # Who was kept is replayed from the last round that kept nothing: the rule has no memory.
        first = len(sizes) - 1
        while first > 0 and _kept(self.blocks(sizes[0], first)):
            first -= 1
        rows = np.empty((1, 0), np.int64)
        for r in range(first, len(sizes)):
            rows = self._draw(starts[: r + 2], rows.shape[1], [seed]).of(rows)
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
        before = 0
        for r in itertools.count():
            draw = self._draw(_starts(n_real, samples_per_round, r + 1), before, seeds)
            before = len(draw)
            yield draw

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
        starts, before = _starts(n_real, samples_per_round, rounds), 0
        for r in range(rounds):
            blocks = self.blocks(n_real, r)
            self._refuse_shortage(blocks, starts[: r + 2], before)
            before = sum(map(len, blocks))

    def _draw(self, starts: NDArray[np.int64], before: int, seeds: Sequence[int]) -> Draw:
        """Draws a round's rows.

        Args:
            starts: where the rows of each birth stamp start, and where the last end.
            before: how many rows the round before trained on.
            seeds: S of them, which key what is drawn, together with the round.
        """
        r = len(starts) - 2
        blocks = self.blocks(int(starts[1]), r)
        self._refuse_shortage(blocks, starts, before)
        others: list[NDArray[np.int64]] = []
        for block in blocks:
            if isinstance(block, Fixed) and len(block):
                first = starts[block.born.start : block.born.stop, None]
                rows = (first + np.arange(block.rows.start, block.rows.stop)).ravel()
                others.append(np.broadcast_to(rows, (len(seeds), len(rows))))
            elif isinstance(block, Drawn):
                start, stop = starts[block.born.start], starts[block.born.stop]
                # Blocks drawn in one round have other stamps: each draws by itself.
                purpose = f"subsample {block.born.start}" if block.born.start else "subsample"
                drawn = choose(int(stop - start), block.size, seeds, purpose, r)
                others.append(drawn + start if start else drawn)
        none = np.empty((len(seeds), 0), np.int64)
        return Draw(
            kept=choose(before, _kept(blocks), seeds, "turnover", r),
            others=functools.reduce(joined, others, none),
        )

    def _refuse_shortage(
        self, blocks: Sequence[Block], starts: NDArray[np.int64], before: int
    ) -> None:
        """Raises ValueError where blocks want rows that there are not, or rows twice, or none."""
        blocks = [block for block in blocks if len(block)]
        r = len(starts) - 2
        wrong = None if blocks else "trains on no rows; take at least one"
        for block in blocks:
            wrong = wrong or _shortage(block, starts, before)
        if not wrong and (twice := _overlap(blocks, r)):
            wrong = f"may take rows twice: {twice[0]} and {twice[1]}"
        if wrong:
            raise ValueError(f"regime = {self}: round {r} {wrong}")
        for block in blocks:
            if not isinstance(block, Fixed):
                continue
            # Of the generations that it names.
            sizes = np.diff(starts[max(1, block.born.start) : block.born.stop + 1])
            if (made := sizes.min(initial=block.rows.stop)) < block.rows.stop:
                wanted = max(block.rows.stop, self.samples_needed(int(starts[1])))
                raise ValueError(
                    f"samples_per_round = {made}: the regime needs {wanted} samples a round; "
                    f"make at least {wanted}"
                )


def joined(first: NDArray[Any], second: NDArray[Any]) -> NDArray[Any]:
    """Gives (…, m) and (…, n) as one (…, m + n); without a copy where one of them is empty."""
    if 0 in (first.shape[-1], second.shape[-1]):
        return first if first.shape[-1] else second
    return np.concatenate([first, second], -1)


def _starts(n_real: int, samples_per_round: int, rounds: int) -> NDArray[np.int64]:
    """Where the rows of each birth stamp start, and where the last end (rounds + 1,)."""
    return np.concatenate([[0], n_real + samples_per_round * np.arange(rounds)])


def _kept(blocks: Sequence[Block]) -> int:
    """How many rows are kept from the training set of the round before."""
    return sum(block.size for block in blocks if isinstance(block, Kept))


def _shortage(block: Block, starts: NDArray[np.int64], before: int) -> str | None:
    """What is wrong with a block that no number of samples a round would mend, if anything."""
    if isinstance(block, Kept):
        if block.size > before:
            return f"keeps {block.size} of only {before} rows; keep fewer"
        return None
    end = len(starts) - 1
    if not 0 <= block.born.start < block.born.stop <= end:
        return f"names {block.born}; must lie in range({end})"
    if isinstance(block, Drawn):
        total = starts[block.born.stop] - starts[block.born.start]
        if block.size > total:
            return f"draws {block.size} of only {total} rows; draw fewer or make more samples"
        return None
    if block.rows.start < 0:
        return f"names {block.rows}; must start at 0 or later"
    wanted, n_real = block.rows.stop, starts[1]
    if 0 in block.born and wanted > n_real:
        return f"needs {wanted} real rows, of {n_real}; run fewer rounds, or give more real rows"
    return None


def _overlap(blocks: Sequence[Block], r: int) -> tuple[Block, Block] | None:
    """Two blocks, none of them empty, that may have a row in common, if there are such."""
    spans = [(*_span(block, r), block) for block in blocks]
    spans.sort(key=lambda span: span[0].start)
    for i, (born, rows, block) in enumerate(spans):
        for other_born, other_rows, other in spans[i + 1 :]:
            if other_born.start >= born.stop:
                break
            if other_rows.start < rows.stop and rows.start < other_rows.stop:
                return block, other
    return None


def _span(block: Block, r: int) -> tuple[range, range]:
    """The birth stamps, and the positions within each, among which a block's rows are."""
    if isinstance(block, Fixed):
        return block.born, block.rows
    return range(r) if isinstance(block, Kept) else block.born, range(sys.maxsize)
