"""Selection by entropy: samples that lie far from each other."""

from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_collapse.curators.curator import KeepsShare, Offer, features_of
from lightning_collapse.metrics.features import Features
from lightning_collapse.seeds import generator

__all__ = ["ByEntropy"]


@dataclass(frozen=True)
class ByEntropy(KeepsShare):
    """Keeps a share of the samples, each time the one that is farthest from those kept so far.

    The entropy of a set grows with the logarithm of its points' distances to their nearest
    neighbours (Kozachenko and Leonenko), which this greedy choice keeps large. The first sample is
    drawn. The cost is that of keep · n² distances. Source: Shi et al. 2025, greedy selection.

    Attributes:
        keep: share of the samples, in (0, 1].
        features: in which rows are compared; default: pixels in network units, points as they are.

    Raises:
        ValueError: the share is not in (0, 1].
    """

    keep: float = 0.5
    features: Features | None = None

    def weights(self, offer: Offer) -> Tensor:
        rows = features_of(offer.samples, self.features)
        n = len(rows)
        weights = torch.zeros(n, dtype=torch.float64)
        apart = torch.full((n,), torch.inf, dtype=torch.float64)
        newest = int(torch.randint(n, (), generator=generator(offer.seed, "first")))
        for _ in range(self.keeps(n)):
            weights[newest] = 1.0
            apart = torch.minimum(apart, (rows - rows[newest]).square().sum(1))
            # Never the same again, even where all rows are equal.
            apart[newest] = -1.0
            newest = int(apart.argmax())
        return weights
