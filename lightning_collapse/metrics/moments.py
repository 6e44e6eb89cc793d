"""Moments of a set of rows, in float64 and in bounded memory.

Blocks of rows are reduced to (count, mean, scatter) and merged by Chan, Golub & LeVeque's update
(1983), so that parts may come from several ranks or rounds. Sums are taken about a row of the
block: a column that never changes has a variance of exactly 0.

Samples are images (n, C, H, W) or rows (n, d): uint8, mapped to network units [-1, 1], or float.
"""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from lightning_collapse.rows import network_units

__all__ = ["Moments", "mass_center", "mass_tails"]

BLOCK_NUMBERS = 2**19
"""Numbers converted to float64 at a time: 4 MiB, which a processor's cache holds."""


class Moments:
    """Count, mean and scatter of all the rows seen, on the CPU.

    Args:
        dim: numbers in a row, d.
        full: keep the whole scatter matrix, or its diagonal only.

    Attributes:
        count: rows seen, n.
        mean: (d,).
        scatter: sum over rows of the outer product of (row - mean) with itself (d, d); where not
            `full`, its diagonal (d,).
    """

    def __init__(self, dim: int, full: bool = True) -> None:
        self.count = 0
        self.mean = torch.zeros(dim, dtype=torch.float64)
        self.scatter = torch.zeros((dim, dim) if full else dim, dtype=torch.float64)

    @classmethod
    def of(cls, rows: Tensor) -> "Moments":
        """Moments of rows (n, d), with covariances."""
        moments = cls(rows.shape[1])
        moments.update(rows)
        return moments

    def update(self, rows: Tensor) -> None:
        """Adds rows (n, d) of any real type, as they are."""
        if rows.ndim != 2 or rows.shape[1] != len(self.mean):
            raise ValueError(f"rows must be (n, {len(self.mean)}), got {tuple(rows.shape)}")
        # A product costs a pass over the whole scatter matrix: it takes at least d rows.
        for block in _blocks(rows, at_least=len(self.mean) if self._full else 1):
            centred = block - block[0]
            mean = centred.mean(0)
            centred -= mean
            self._shift(len(block), block[0] + mean)
            if self._full:
                self.scatter.addmm_(centred.mT, centred)
            else:
                self.scatter += centred.square_().sum(0)

    def merge(self, other: "Moments") -> None:
        """Adds the rows that `other` has seen."""
        if other.scatter.shape != self.scatter.shape:
            raise ValueError(
                f"scatter {tuple(other.scatter.shape)} cannot be merged into "
                f"{tuple(self.scatter.shape)}"
            )
        if other.count:
            self._shift(other.count, other.mean)
            self.scatter += other.scatter

    def covariance(self) -> Tensor:
        """Gives the unbiased covariance (d, d), over n - 1; zeros for a single row."""
        if not self._full:
            raise ValueError("the covariance was not kept: use Moments(dim, full=True)")
        return self.scatter / self._degrees_of_freedom()

    def variance(self) -> Tensor:
        """Gives the unbiased variance of every column (d,); zeros for a single row."""
        diagonal = self.scatter.diagonal() if self._full else self.scatter
        return diagonal / self._degrees_of_freedom()

    def _shift(self, count: int, mean: Tensor) -> None:
        """Counts further rows of this mean, and adds what lies between the two means."""
        total = self.count + count
        delta = mean - self.mean
        if self.count == 0:  # not moved by delta: that would round
            self.mean = mean
        else:
            self.mean = self.mean + delta * (count / total)
            share = self.count * count / total
            if self._full:
                self.scatter.addr_(delta, delta, alpha=share)
            else:
                self.scatter += share * delta.square()
        self.count = total

    @property
    def _full(self) -> bool:
        return self.scatter.ndim == 2

    def _degrees_of_freedom(self) -> int:
        if self.count == 0:
            raise ValueError("no rows have been seen")
        return max(self.count - 1, 1)


def mass_center(samples: Tensor, real_mean: Tensor, real_std: Tensor) -> float:
    """Gives the share of mass within half a real standard deviation of the real mean.

    A Gaussian has 0.383. The share is averaged over the dimensions in which real data vary; mean
    and deviation (d,) are in network units.
    """
    return _mass_within(0.5, samples, real_mean, real_std)


def mass_tails(samples: Tensor, real_mean: Tensor, real_std: Tensor) -> float:
    """Gives the share of mass beyond two real standard deviations of the real mean.

    A Gaussian has 0.046. Arguments and average are those of `mass_center`.
    """
    return 1 - _mass_within(2.0, samples, real_mean, real_std)


def _mass_within(radius: float, samples: Tensor, real_mean: Tensor, real_std: Tensor) -> float:
    real_mean, real_std = real_mean.double(), real_std.double()
    # Not > 0: rounding may give constant pixels a standard deviation near 1e-17.
    varies = real_std > 1e-12 * real_std.max()
    if not varies.any():
        raise ValueError("real_std is 0 in every dimension")
    real_mean, reach = real_mean[varies], radius * real_std[varies]
    inside = sum(
        int(((block[:, varies] - real_mean).abs() <= reach).sum())
        for block in _unit_blocks(samples)
    )
    return inside / (len(samples) * len(reach))


def _unit_blocks(samples: Tensor) -> Iterator[Tensor]:
    """Yields float64 blocks (b, d) in network units."""
    if not samples.numel():
        raise ValueError(f"samples are empty: {tuple(samples.shape)}")
    for block in torch.split(samples.flatten(1), _rows_per_block(samples)):
        yield network_units(block.cpu(), torch.float64)


def _blocks(rows: Tensor, at_least: int) -> Iterator[Tensor]:
    for block in torch.split(rows, max(at_least, _rows_per_block(rows))):
        if len(block):  # an empty tensor splits into one empty block
            yield block.cpu().double()


def _rows_per_block(rows: Tensor) -> int:
    return max(1, BLOCK_NUMBERS // max(1, math.prod(rows.shape[1:])))
