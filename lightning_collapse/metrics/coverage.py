"""Whether samples look real, and whether all that is real is among them.

Around every row of a set lies a ball that reaches to its k-th nearest neighbour in the set.
precision: share of samples in some real ball; recall: share of real rows in some sample's ball
(Kynkäänniemi et al. 2019, https://arxiv.org/abs/1904.06991). density: real balls that a sample
lies in, over k, on average; coverage: share of real balls with a sample in them (Naeem et al.
2020, https://arxiv.org/abs/2002.09797). Recall is what a collapse loses first.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_collapse.metrics.measure import Figure, Measure, RealRows, Sample

__all__ = ["Balls", "coverage_figures"]

_ROWS_AT_ONCE = 1024


@dataclass(frozen=True)
class Balls(Measure):
    """Precision, recall, density and coverage, in balls of k neighbours.

    Figures: `precision_<space>` and `recall_<space>`, below 1 for equal distributions too;
    `density_<space>`, about 1 for these; `coverage_<space>`. All depend on n and k.

    Attributes:
        k: neighbours that a ball reaches, at least 1.
    """

    k: int = 5

    def __post_init__(self) -> None:
        if self.k < 1:
            raise ValueError(f"k = {self.k}: must be at least 1")

    def figures(self, samples: Sample, real: RealRows) -> dict[str, Figure]:
        names = ("precision", "recall", "density", "coverage")
        told: dict[str, float | None] = dict.fromkeys(names)
        if min(len(samples), len(real.rows)) > self.k:
            told |= coverage_figures(samples.features, real.features, self.k)
        return {f"{name}_{samples.space}": value for name, value in told.items()}

    def caution(self, figure: str, n: int) -> str:
        if n <= self.k:
            return f"needs more rows than its {self.k} neighbours"
        return f"biased; {self.k} neighbours: compare at equal n"


def coverage_figures(samples: Tensor, real: Tensor, k: int = 3) -> dict[str, float]:
    """Gives `precision`, `recall`, `density` and `coverage`.

    All depend on n, m and k: compare at equal ones. For equal distributions the first two are
    below 1.

    Args:
        samples: features (n, d), n > k.
        real: features (m, d), m > k.
        k: neighbours that a ball reaches.
    """
    if min(len(samples), len(real)) <= k:
        raise ValueError(
            f"k = {k}: must be below {min(len(samples), len(real))}, the rows of a set"
        )
    samples, real = samples.double(), real.double()
    real_radius, sample_radius = _radius(real, k), _radius(samples, k)
    precise, dense = 0, 0
    recalled = torch.zeros(len(real), dtype=torch.bool)
    covered = recalled.clone()
    for rows, squares in _squared_distances(samples, real):
        inside = squares <= real_radius
        precise += int(inside.any(1).sum())
        dense += int(inside.sum())
        covered |= inside.any(0)
        recalled |= (squares <= sample_radius[rows, None]).any(0)
    return {
        "precision": precise / len(samples),
        "recall": float(recalled.double().mean()),
        "density": dense / (k * len(samples)),
        "coverage": float(covered.double().mean()),
    }


def _radius(x: Tensor, k: int) -> Tensor:
    """Gives every row's squared distance to its k-th nearest other row (n,)."""
    nearest = [squares.kthvalue(k + 1).values for _, squares in _squared_distances(x, x)]
    return torch.cat(nearest)


def _squared_distances(x: Tensor, y: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Yields some rows of x, and their squared distances to all of y (b, m)."""
    norms = y.square().sum(1)
    for start in range(0, len(x), _ROWS_AT_ONCE):
        block = x[start : start + _ROWS_AT_ONCE]
        scale = block.square().sum(1, keepdim=True) + norms
        squares = scale - 2 * block @ y.mT
        # Equal rows must be at distance 0, not at a rounding error.
        yield (
            slice(start, start + len(block)),
            torch.where(squares > 1e-13 * scale, squares, 0.0),
        )
