"""Sums over all rows of a set: mean, variance, where the mass lies, and how many are flat.

They are filled block by block and merged over processes, and say how a set has collapsed.
"""

from torch import Tensor

from lightning_collapse.metrics.collapse import Levels
from lightning_collapse.metrics.moments import Moments, mass_center, mass_tails
from lightning_collapse.rows import network_units

__all__ = ["Sums"]


class Sums:
    """What all rows of a set come to.

    Attributes:
        levels: counts of flat images, and of values at the ends of the range.
        n_nonfinite: samples that were not finite, to be counted by whoever made them: rows are.
    """

    def __init__(self, real: Moments) -> None:
        """Starts empty; by moments of the real rows, in network units, is told where mass lies."""
        self._mean, self._std = real.mean, real.variance().sqrt()
        self.moments = Moments(len(real.mean), full=False)
        self._center, self._tails = 0.0, 0.0
        self.levels, self.n_nonfinite = Levels(), 0

    @property
    def count(self) -> int:
        """Rows seen."""
        return self.moments.count

    @property
    def total_variance(self) -> float:
        """Trace of the rows' unbiased covariance, in network units squared."""
        return float(self.moments.variance().sum())

    def update(self, rows: Tensor) -> None:
        """Adds rows (n, *), as stored."""
        self.moments.update(network_units(rows.flatten(1), self._mean.dtype))
        self._center += len(rows) * mass_center(rows, self._mean, self._std)
        self._tails += len(rows) * mass_tails(rows, self._mean, self._std)
        self.levels.update(rows)

    def merge(self, other: "Sums") -> None:
        """Adds what another process has seen."""
        self.moments.merge(other.moments)
        self._center += other._center
        self._tails += other._tails
        self.levels.merge(other.levels)
        self.n_nonfinite += other.n_nonfinite

    def figures(self) -> dict[str, float]:
        """Mean, variance and where the mass lies, in network units.

        `mean` and `variance` are those of all numbers of all rows, `total_variance` is the trace
        of the covariance; `mass_center` and `mass_tails` are the shares within half a real
        standard deviation of the real mean, and beyond two.
        """
        n, per_dim = self.count, self.moments.mean
        within = float(self.moments.scatter.mean()) / n
        return {
            "mean": float(per_dim.mean()),
            "variance": within + float(per_dim.var(correction=0)),
            "total_variance": self.total_variance,
            "mass_center": self._center / n,
            "mass_tails": self._tails / n,
        }
