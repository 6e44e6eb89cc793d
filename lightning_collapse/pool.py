"""The pool: real rows, then one generation of samples after another, each row with a birth stamp.

One face for memory and disk: a generation is anything with `len` and indexing by an int64 tensor,
so a tensor will do, and so will the shards of a run (`lightning_collapse.data.store.shards`).
"""

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from lightning_collapse.regimes import Regime
from lightning_collapse.regimes.options import options_of
from lightning_collapse.rows import LabelledRows, Rows
from lightning_collapse.seeds import generator, key

__all__ = ["Pool", "Subset", "batch_order"]


class Pool:
    """Rows and their birth stamps: 0 for real, r + 1 for a sample made by round r.

    Attributes:
        labels: class of every row (rows,), int64, where every generation has an attribute
            `labels`; else None.
    """

    def __init__(self, real: Rows, seed: int = 0) -> None:
        """Starts a pool.

        Args:
            real: the N real rows that may be trained on.
            seed: the run's seed; keys the regimes' own randomness.
        """
        self._generations: list[Rows] = [real]
        self._sizes = [len(real)]
        self.labels: Tensor | None = getattr(real, "labels", None)
        self._regime_seed = key(seed, "regime")

    @property
    def sizes(self) -> list[int]:
        """Rows of each birth stamp; `sizes[0]` is N."""
        return list(self._sizes)

    @property
    def round(self) -> int:
        """The current round: the newest birth stamp."""
        return len(self._generations) - 1

    @property
    def born(self) -> Tensor:
        """Birth stamp of every row (rows,), int64."""
        sizes = torch.tensor(self.sizes)
        return torch.repeat_interleave(torch.arange(len(sizes)), sizes)

    def __len__(self) -> int:
        return sum(self.sizes)

    def __getitem__(self, positions: Tensor) -> Tensor:
        """Reads rows (n, *) at positions (n,), counted over all rows in order of birth."""
        sizes = torch.tensor(self.sizes)
        ends = sizes.cumsum(0)
        stamps = torch.searchsorted(ends, positions, right=True)
        within = positions - (ends - sizes)[stamps]
        rows: Tensor = self._generations[0][within[:0]]
        rows = rows.new_empty((len(positions), *rows.shape[1:]))
        for stamp in torch.bincount(stamps).nonzero().squeeze(1).tolist():
            where = (stamps == stamp).nonzero().squeeze(1)
            rows[where] = self._generations[stamp][within[where]]
        return rows

    def select(self, regime: Regime) -> Tensor:
        """Gives the positions (n,) of the rows that the current round trains on."""
        return regime.select(self.sizes, self._regime_seed)

    def composition(self, regime: Regime, counts: tuple[int, int]) -> dict[str, Any]:
        """Gives a record's fields of a regime, and of its real rows and synthetic ones."""
        n_real, n_synthetic = counts
        return {
            "regime": type(regime).__name__,
            "regime_options": options_of(regime),
            "synthetic_fraction": n_synthetic / (n_real + n_synthetic),
            "synthetic_ratio": n_synthetic / n_real if n_real else None,
            "n_real": n_real,
            "n_synthetic": n_synthetic,
        }

    def draw(self, regime: Regime) -> Tensor:
        """Reads the rows (n, *) that the current round trains on."""
        return self[self.select(regime)]

    def drawn(self, regime: Regime) -> Rows:
        """The rows that the current round trains on, read only as they are asked for."""
        return self.at(self.select(regime))

    def at(self, positions: Tensor) -> Rows:
        """The rows at positions (n,), read only as they are asked for."""
        return Subset(self, positions)

    def deposit(self, samples: Rows, n: int | None = None) -> None:
        """Adds the samples that the current round made, which ends the round.

        Args:
            samples: at least one.
            n: how many of them, the first ones, may be trained on; default: all.

        Raises:
            ValueError: there are none.
        """
        if len(samples) == 0:
            raise ValueError("samples: a round must make at least one sample, got 0")
        self._generations.append(samples)
        self._sizes.append(len(samples) if n is None else min(n, len(samples)))
        labels = getattr(samples, "labels", None)
        if self.labels is not None and labels is not None:
            self.labels = torch.cat([self.labels, labels[: self._sizes[-1]]])
        else:
            self.labels = None


class Subset:
    """Rows (n, *) at positions of others, in an order of their own, read as they are asked for.

    Attributes:
        order: these positions (n,).
        labels: class of each row (n,), int64; None where there are none.
    """

    def __init__(self, rows: LabelledRows, order: Tensor) -> None:
        self._rows, self.order = rows, order
        self.labels = None if rows.labels is None else rows.labels[order]

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, indices: Tensor) -> Tensor:
        rows: Tensor = self._rows[self.order[indices]]
        return rows


def batch_order(n: int, batch_size: int, step: int, stream: tuple[int, int]) -> Tensor:
    """Gives the positions (batch_size,) of one step's batch in a training set of n rows.

    Shuffled passes over the set, keyed by (seed, round), follow each other without a seam; batches
    are cut from them, and may be of more than n rows.
    """
    start, stop = step * batch_size, (step + 1) * batch_size
    parts = []
    for nth in range(start // n, (stop - 1) // n + 1):
        window = slice(max(start - nth * n, 0), min(stop - nth * n, n))
        parts.append(_shuffled(n, *stream, nth)[window])
    return torch.cat(parts)


@lru_cache(maxsize=2)
def _shuffled(n: int, seed: int, round: int, nth: int) -> Tensor:
    return torch.randperm(n, generator=generator(seed, "order", round, nth))
