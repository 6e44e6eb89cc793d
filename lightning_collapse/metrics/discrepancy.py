"""Distances of means in a reproducing space, with what relabelling the rows would give.

Of two sets x (n, d) and y (m, d) and a kernel k, the squared maximum mean discrepancy by its
unbiased estimate (Gretton et al. 2012, Lemma 6, https://jmlr.org/papers/v13/gretton12a.html):

    mean k(x, x') + mean k(y, y') - 2 mean k(x, y),    pairs of different rows

Its expectation is 0 for equal distributions at any n, so that it may come out negative. With
k = -|x - y| it is the energy distance (Székely & Rizzo 2013).
"""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from lightning_collapse.metrics.measure import Figure, Measure, RealRows, Sample
from lightning_collapse.seeds import generator

__all__ = ["Discrepancy", "Energy", "MMD"]


@dataclass(frozen=True)
class Discrepancy(Measure):
    """A discrepancy, and z: what it is above that of random parts of both sets together.

    Attributes:
        permutations: random parts, at least 2; z is in their standard deviations.
        seed: keys them.
    """

    permutations: int = 199
    seed: int = 0

    has_step: ClassVar[bool] = False
    _least: ClassVar[Mapping[str, int]] = {"permutations": 2}

    @property
    @abstractmethod
    def name(self) -> str:
        """What figures begin with."""

    @abstractmethod
    def kernel(self, apart: Tensor, real: RealRows) -> Tensor | None:
        """Gives k (n, m) at distances (n, m); None where real rows leave it undefined."""

    def figures(self, samples: Sample, real: RealRows) -> dict[str, Figure]:
        names = f"{self.name}_{samples.space}", f"{self.name}_z_{samples.space}"
        if min(len(samples), len(real.rows)) < 2:
            return dict.fromkeys(names)
        xx = self.kernel(samples.distances(samples), real)
        xy = self.kernel(samples.distances(real.first), real)
        yy = self.kernel(real.first.distances(real.first), real)
        if xx is None or xy is None or yy is None:
            return dict.fromkeys(names)
        random = generator(self.seed, "permutations")
        own, others = _discrepancies(xx, xy, yy, self.permutations, random)
        deviation = float(others.std())
        z = (own - float(others.mean())) / deviation if deviation > 0 else None
        return dict(zip(names, (own, z), strict=True))

    def caution(self, figure: str, n: int) -> str:
        if n < 2:
            return "needs at least 2 rows"
        if "_z_" in figure:
            return f"grows as n^1/2 or n: compare at equal n; {self.permutations} permutations"
        return "unbiased, so that it may be negative; null where real rows are all the same"


@dataclass(frozen=True)
class MMD(Discrepancy):
    """The squared maximum mean discrepancy under a Gaussian kernel, k = exp(-|x - y|^2 / 2 h^2).

    The bandwidth h is the median distance of the first n real training rows, the same in every
    round. Figures: `mmd_<space>`, unbiased, between -1 and 2; `mmd_z_<space>`.
    """

    @property
    def name(self) -> str:
        return "mmd"

    def kernel(self, apart: Tensor, real: RealRows) -> Tensor | None:
        bandwidth = real.once("MMD.bandwidth", _median_distance)
        return (apart / bandwidth).square_().mul_(-0.5).exp_() if bandwidth > 0 else None


@dataclass(frozen=True)
class Energy(Discrepancy):
    """The energy distance, 2 E|x - y| - E|x - x'| - E|y - y'|, unbiased.

    Figures: `energy_<space>`, in feature units; `energy_z_<space>`.
    """

    @property
    def name(self) -> str:
        return "energy"

    def kernel(self, apart: Tensor, real: RealRows) -> Tensor | None:
        return -apart


def _median_distance(real: RealRows) -> float:
    apart = real.first.distances(real.first)
    pairs = torch.ones_like(apart, dtype=torch.bool).triu_(1)
    return float(apart[pairs].median()) if len(apart) > 1 else 0.0


def _discrepancies(
    xx: Tensor, xy: Tensor, yy: Tensor, count: int, random: torch.Generator
) -> tuple[float, Tensor]:
    """Gives the estimate, and those (count,) of random parts of n and m rows of both together.

    From the kernel of the n rows (n, n), of these and the m others (n, m), and of those (m, m).
    """
    n, m = xy.shape
    own = torch.arange(n + m)[:, None] < n
    drawn = torch.rand(n + m, count, generator=random).argsort(0) < n
    first = torch.cat([own, drawn], 1).float()
    # Sums over pairs follow from one product: K is never put together.
    a, b = first[:n], first[n:]
    along = torch.cat([xx @ a + xy @ b, xy.mT @ a + yy @ b]).double()
    sides = torch.cat([(xx.sum(1) + xy.sum(1)), (xy.sum(0) + yy.sum(1))]).double()
    first = first.double()
    within, total = (first * along).sum(0), (first * sides[:, None]).sum(0)
    between = total - within
    rest = sides.sum() - total - between
    diagonal = torch.cat([xx.diagonal(), yy.diagonal()]).double()
    mine = (first * diagonal[:, None]).sum(0)
    estimates = (
        (within - mine) / (n * (n - 1))
        + (rest - (diagonal.sum() - mine)) / (m * (m - 1))
        - 2 * between / (n * m)
    )
    return float(estimates[0]), estimates[1:]
