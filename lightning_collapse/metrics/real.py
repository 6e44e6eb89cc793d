"""The real rows of a run as measures need them, read once: sums, features, statistics."""

from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import torch
from torch import Tensor

from lightning_collapse.metrics.extraction import feature_blocks, row_blocks
from lightning_collapse.metrics.features import Features
from lightning_collapse.metrics.measure import RealRows, Sample
from lightning_collapse.metrics.moments import Moments
from lightning_collapse.metrics.statistics import Statistics
from lightning_collapse.metrics.sums import Sums
from lightning_collapse.rows import Rows, network_units

__all__ = ["Alone", "RealData", "Team"]

T = TypeVar("T")


class Team(Protocol):
    """The processes that measure together; all must make the same calls.

    Attributes:
        rank: of this process.
        size: how many there are.
    """

    rank: int
    size: int

    def gather(self, value: T) -> list[T]:
        """Every process's value, in the order of ranks."""


class Alone:
    """A team of one process."""

    rank, size = 0, 1

    def gather(self, value: T) -> list[T]:
        return [value]


@dataclass
class _Space:
    """What is known of the real rows in one feature space."""

    train: Tensor
    """Features of the first training rows."""
    held_out: Tensor | None
    statistics: Statistics
    """Mean and covariance of all training rows' features."""
    compared: dict[int, RealRows] = field(default_factory=dict)
    """By n."""


class RealData:
    """The N real rows that may be trained on, and those held out."""

    def __init__(
        self,
        train: Rows,
        held_out: Rows | None,
        rows: int,
        *,
        team: Team | None = None,
        bar: bool = False,
    ) -> None:
        """Reads the training rows, block by block.

        Args:
            train: rows (N, *) as stored.
            held_out: rows never trained on, at least 2; None for no floors.
            rows: most of either that any measure is taken from.
            team: the processes that measure together, which share the work.
            bar: show the progress of features that are slow.
        """
        self._train, self._held_out, self._most, self._bar = train, held_out, rows, bar
        self.team: Team = team or Alone()
        pixels = Moments(train[torch.arange(1)].numel(), full=False)
        for block in row_blocks(train):
            pixels.update(network_units(block.flatten(1), torch.float64))
        self.pixels, self.sums = pixels, Sums(pixels)
        for block in row_blocks(train):
            self.sums.update(block)
        self._spaces: dict[str, _Space] = {}

    @property
    def held_out_rows(self) -> int:
        """Real rows never trained on."""
        return 0 if self._held_out is None else len(self._held_out)

    def most(self, rows: int, n_samples: int) -> int:
        """How many rows a measure that wants `rows` is taken from, of n_samples samples."""
        return min(rows, n_samples, len(self._train), self.held_out_rows or n_samples)

    def compared(self, features: Features, n: int) -> RealRows:
        """The first n training rows, and n held-out ones, in a feature space."""
        space = self._space(features)
        if n not in space.compared:
            train = Sample.of_first(self._train, space.train, features, n, sums=self.sums)
            held_out = None
            if self._held_out is not None and space.held_out is not None:
                held_out = Sample.of_first(self._held_out, space.held_out, features, n)
            space.compared[n] = RealRows(
                train, held_out, summed=space.statistics, all_held_out=space.held_out
            )
        return space.compared[n]

    def _space(self, features: Features) -> _Space:
        if features.name not in self._spaces:
            moments, train = self._extracted(self._train, features)
            other = self._held_out
            held_out = None if other is None else self._extracted(other, features)[1]
            self._spaces[features.name] = _Space(train, held_out, Statistics.summed(moments))
        return self._spaces[features.name]

    def _extracted(self, rows: Rows, features: Features) -> tuple[Moments, Tensor]:
        """Moments of all features (n, d), and the first features; each process takes a share."""
        share = -(-len(rows) // self.team.size)
        mine = _Part(rows, self.team.rank * share, min(len(rows), (self.team.rank + 1) * share))
        wanted = max(0, min(len(mine), self._most - mine.start))
        kept, moments = [], None
        for block in feature_blocks(mine, features, bar=self._bar) if len(mine) else ():
            moments = moments or Moments(block.shape[1])
            moments.update(block)
            if wanted > 0:
                kept.append(block[:wanted].clone())
                wanted -= len(kept[-1])
        parts = self.team.gather((moments, kept))
        first, *others = [moments for moments, _ in parts if moments is not None]
        for other in others:
            first.merge(other)
        return first, torch.cat([block for _, blocks in parts for block in blocks])


@dataclass(frozen=True)
class _Part:
    """Consecutive rows of a set."""

    rows: Rows
    start: int
    stop: int

    def __len__(self) -> int:
        return max(0, self.stop - self.start)

    def __getitem__(self, indices: Tensor) -> Tensor:
        part: Tensor = self.rows[indices + self.start]
        return part
