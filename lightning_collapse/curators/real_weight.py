"""Weights of real rows against samples, all of which are kept."""

from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_collapse.curators.curator import Curator, Offer

__all__ = ["GOLDEN", "RealWeight"]

GOLDEN = (5**0.5 - 1) / 2
"""The reciprocal of the golden ratio, 0.618."""


@dataclass(frozen=True)
class RealWeight(Curator):
    """Gives the real rows of a training set this share of the loss, and its samples the rest.

    With as many new real rows as samples in every round, an estimate of the mean settles at the
    mean squared error (w^2 + (1 - w)^2)/(w (2 - w)) of one on the real rows alone, which is least
    at the default, the reciprocal of the golden ratio. Source: He et al. 2025 (2502.18049).

    Attributes:
        weight: w, in (0, 1).

    Raises:
        ValueError: it is not in (0, 1).
    """

    weight: float = GOLDEN

    def __post_init__(self) -> None:
        if not 0 < self.weight < 1:
            raise ValueError(f"weight = {self.weight}: must be a share in (0, 1)")

    def weights(self, offer: Offer) -> Tensor:
        n, m = len(offer.samples), offer.n_real
        # Without real rows there is nothing to weigh samples against.
        one = (1 - self.weight) / self.weight * m / n if m else 1.0
        return torch.full((n,), one, dtype=torch.float64)
