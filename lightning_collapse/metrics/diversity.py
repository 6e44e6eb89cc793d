"""How diverse samples are among themselves, and how axes differ; optional measures."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from lightning_collapse.metrics.dispersion import effective_rank
from lightning_collapse.metrics.measure import Figure, Measure, RealRows, Sample
from lightning_collapse.metrics.neighbours import nearest_others

__all__ = ["Entropy", "KolmogorovSmirnov", "Vendi"]


@dataclass(frozen=True)
class Vendi(Measure):
    """The Vendi score: how many different samples there are, by their cosines.

    Figure: `vendi_<space>`, the exponential of the entropy of the eigenvalues of K/n, between 1
    and the smaller of n and d. Source: Friedman & Dieng 2023, https://arxiv.org/abs/2210.02410.
    """

    has_step: ClassVar[bool] = False

    def figures(self, samples: Sample, real: RealRows) -> dict[str, Figure]:
        rows = torch.nn.functional.normalize(samples.features.double(), dim=1)
        # Either product has the eigenvalues; the other one's are 0 besides.
        gram = rows.mT @ rows if len(rows) > rows.shape[1] else rows @ rows.mT
        spectrum = torch.linalg.eigvalsh(gram / len(rows)).clamp(min=0)
        return {f"vendi_{samples.space}": effective_rank(spectrum)}

    def caution(self, figure: str, n: int) -> str:
        return "biased downward, at most n: compare at equal n; null where all features are 0"


@dataclass(frozen=True)
class Entropy(Measure):
    """Differential entropy of the features by nearest neighbours, in nats.

    Figure: `knn_entropy_<space>`, null where the k nearest of a sample are equal to it. It falls
    where samples contract and rises where they blur. Source: Kozachenko & Leonenko 1987, in the
    form of Kraskov et al. 2004, eq. 20, https://arxiv.org/abs/cond-mat/0305641.

    Attributes:
        k: which neighbour, at least 1.
    """

    k: int = 1

    has_step: ClassVar[bool] = False
    _least: ClassVar[Mapping[str, int]] = {"k": 1}

    def figures(self, samples: Sample, real: RealRows) -> dict[str, Figure]:
        name, (n, d) = f"knn_entropy_{samples.space}", samples.features.shape
        if n <= self.k:
            return {name: None}
        away = nearest_others(samples.distances(samples), self.k).double()
        if not away.min() > 0:
            return {name: None}
        digamma = torch.digamma(torch.tensor([n, self.k], dtype=torch.float64))
        ball = d / 2 * math.log(math.pi) - math.lgamma(d / 2 + 1)
        return {name: float(digamma[0] - digamma[1] + ball + d * away.log().mean())}

    def caution(self, figure: str, n: int) -> str:
        if n <= self.k:
            return f"needs more rows than its {self.k} neighbours"
        return (
            f"biased, more so in many dimensions: compare at equal n; null where {self.k + 1} "
            "samples are equal"
        )


@dataclass(frozen=True)
class KolmogorovSmirnov(Measure):
    """The largest Kolmogorov-Smirnov statistic of any axis, of points.

    Figure: `ks_<space>`, in [0, 1]. Images have few levels, samples more: it tells nothing of
    them, and is null.
    """

    def figures(self, samples: Sample, real: RealRows) -> dict[str, Figure]:
        name = f"ks_{samples.space}"
        if samples.rows.ndim != 2:
            return {name: None}
        axes = zip(samples.features.mT, real.features.mT, strict=True)
        return {name: max(_ks(a, b) for a, b in axes)}

    def caution(self, figure: str, n: int) -> str:
        return "of points only; biased upward, about 1/n^1/2: compare at equal n"


def _ks(a: Tensor, b: Tensor) -> float:
    """The largest difference of two cumulative distributions, of numbers (n,) and (m,)."""
    a, b = a.sort().values, b.sort().values
    both = torch.cat([a, b])
    below = [torch.searchsorted(x, both, right=True) / len(x) for x in (a, b)]
    return float((below[0].double() - below[1].double()).abs().max())
