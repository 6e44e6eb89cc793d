"""Sliced Wasserstein distance: the mean over directions of one-dimensional ones, by sorting.

Source: Rabin et al. 2011; Bonneel et al. 2015. Rows are projected and sorted once, so that a set
compared with many costs one sort.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from lightning_collapse.metrics.measure import Figure, Measure, RealRows, Sample
from lightning_collapse.seeds import generator

__all__ = ["SlicedWasserstein", "directions", "sliced_wasserstein", "sorted_projections"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class SlicedWasserstein(Measure):
    """The sliced 2-Wasserstein distance to the real rows.

    Figure: `sw2_<space>`, in the units of the features; biased upward: its floor tells by how
    much, at equal n. It sees gaps between modes fill up, to which the Fréchet distance is blind.

    Attributes:
        directions: how many, uniform on the sphere, at least 1.
        seed: keys them.
    """

    directions: int = 256
    seed: int = 0

    def figures(self, samples: Sample, real: RealRows) -> dict[str, Figure]:
        a, b = (self.projected(part.numpy()) for part in (samples.features, real.features))
        return {f"sw2_{samples.space}": float(sliced_wasserstein(a, b))}

    def caution(self, figure: str, n: int) -> str:
        return f"biased upward; {self.directions} directions: compare at equal n"

    def projected(self, rows: ArrayLike) -> Array:
        """Rows (*, n, d) along the directions P, in ascending order (*, P, n)."""
        along = directions(np.shape(rows)[-1], self.directions, self.seed)
        return sorted_projections(rows, along)


def directions(dim: int, count: int, seed: int) -> Array:
    """Gives unit vectors (count, dim), uniform on the sphere and keyed by the seed."""
    random = generator(seed, "directions")
    normal = torch.randn(count, dim, dtype=torch.float64, generator=random).numpy()
    unit: Array = normal / np.linalg.norm(normal, axis=1, keepdims=True)
    return unit


def sorted_projections(rows: ArrayLike, directions: Array) -> Array:
    """Gives rows (*, n, d) along each of the directions (P, d), in ascending order (*, P, n)."""
    columns = np.ascontiguousarray(np.asarray(rows, np.float64).swapaxes(-1, -2))
    projected: Array = np.matmul(directions, columns)
    projected.sort(-1)
    return projected


def sliced_wasserstein(a: Array, b: Array) -> Array:
    """Gives the sliced 2-Wasserstein distance of two sets (*).

    From their sorted projections (*, P, n) and (*, P, m), along the same directions.
    """
    if a.shape[-1] == b.shape[-1]:
        squared: Array = np.square(a - b).mean((-2, -1))
    else:
        i, j, mass = _transport(a.shape[-1], b.shape[-1])
        squared = (np.square(a[..., i] - b[..., j]) * mass).sum(-1).mean(-1)
    return np.sqrt(squared)


def _transport(n: int, m: int) -> tuple[NDArray[np.int64], NDArray[np.int64], Array]:
    """Gives which of n sorted rows goes to which of m, and how much of the mass."""
    # In units of 1/(nm), in which both sets' quantiles are whole numbers.
    ends = np.union1d(np.arange(1, n + 1) * m, np.arange(1, m + 1) * n)
    mass = np.diff(ends, prepend=0) / (n * m)
    return (ends - 1) // m, (ends - 1) // n, mass
