"""The kernel distance: KID in Inception features (Binkowski et al. 2018).

The squared maximum mean discrepancy under k(x, y) = (x·y / d + 1)^3, by its unbiased estimate:
its expectation is 0 for equal distributions at any n, so that it may come out negative.
https://arxiv.org/abs/1801.01401
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_collapse.metrics.measure import Figure, Measure, RealRows, Sample
from lightning_collapse.seeds import generator

__all__ = ["KernelDistance", "kernel_distance", "polynomial_kernel"]


@dataclass(frozen=True)
class KernelDistance(Measure):
    """The kernel distance, KID in Inception features: mean and deviation over random subsets.

    Figures: `kid` and `kid_sd`; in other spaces `kd_<space>` and `kd_<space>_sd`.

    Attributes:
        subsets: pairs of subsets to draw.
        subset_size: rows in each, at least 2; default: 1000, or half of the rows where that is
            less.
        seed: keys the subsets.
    """

    subsets: int = 100
    subset_size: int | None = None
    seed: int = 0

    def figures(self, samples: Sample, real: RealRows) -> dict[str, Figure]:
        name = f"k{samples.distance[1:]}"
        size = self.subset_size
        if min(len(samples), len(real.rows)) < (size or 4):
            return {name: None, f"{name}_sd": None}
        mean, deviation = kernel_distance(
            samples.features, real.features, self.subsets, size, self.seed
        )
        return {name: mean, f"{name}_sd": deviation}

    def caution(self, figure: str, n: int) -> str:
        if n < (self.subset_size or 4):
            return f"needs at least {self.subset_size or 4} rows"
        if figure.endswith("_sd"):
            return f"over {self.subsets} subsets"
        return "unbiased, so that it may be negative"


def kernel_distance(
    x: Tensor, y: Tensor, subsets: int = 100, subset_size: int | None = None, seed: int = 0
) -> tuple[float, float]:
    """Gives mean and standard deviation of the estimate over random subsets.

    They are drawn from features (n, d) and (m, d), each without replacement, and have 2 rows to
    the smaller of n and m; by default 1000, as is usual, or half of the smaller set.
    """
    smaller = min(len(x), len(y))
    size = subset_size or max(2, min(1000, smaller // 2))
    if not 2 <= size <= smaller:
        raise ValueError(f"subset_size = {size}: must lie in 2..{smaller}, the smaller set's rows")
    draws = []
    for i in range(subsets):
        a, b = _subset(x, size, seed, "x", i), _subset(y, size, seed, "y", i)
        between = polynomial_kernel(a, b).mean()
        draws.append(_mean_off_diagonal(a) + _mean_off_diagonal(b) - 2 * between)
    estimates = torch.stack(draws)
    return float(estimates.mean()), float(estimates.std(correction=0))


def _subset(rows: Tensor, size: int, seed: int, which: str, nth: int) -> Tensor:
    order = torch.randperm(len(rows), generator=generator(seed, "kernel distance", which, nth))
    return rows[order[:size]].double()


def _mean_off_diagonal(x: Tensor) -> Tensor:
    kernel = polynomial_kernel(x, x)
    return (kernel.sum() - kernel.diagonal().sum()) / (len(x) * (len(x) - 1))


def polynomial_kernel(x: Tensor, y: Tensor) -> Tensor:
    """Gives k(x, y) = (x·y / d + 1)^3 (n, m) of rows (n, d) and (m, d)."""
    return (x @ y.mT / x.shape[1] + 1) ** 3
