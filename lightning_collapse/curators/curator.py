"""The seam for curators: samples and real rows come in, a weight for each sample goes out.

A curator acts between a regime, which says what a round may train on, and the round's training
set: samples of weight 0 are left out of it, and the others weigh so much in the loss, a real row
weighing 1. It has no memory: the same offer gives the same weights, so a run goes on bit for bit.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from lightning_collapse.metrics.features import Features
from lightning_collapse.rows import network_units
from lightning_collapse.seeds import generator

__all__ = ["Curator", "KeepsShare", "Offer", "best", "features_of"]

_AT_ONCE = 1024


@dataclass(frozen=True, eq=False)
class Offer:
    """What a curator chooses from, on the CPU.

    Attributes:
        samples: the samples that the regime would train on (n, *), as stored: images uint8
            (n, C, H, W), points float32 (n, d).
        real: all real rows that may be trained on (N, *), also those that the regime leaves out.
        n_real: how many of these the round trains on.
        seed: keys what is drawn; another one in every round.
    """

    samples: Tensor
    real: Tensor
    n_real: int
    seed: int


@dataclass(frozen=True)
class Curator(ABC):
    """Weighs samples. A subclass, a frozen dataclass, has `weights`.

    What its fields must be is checked where it is made, and what it keeps before the first round,
    as far as `keeps` tells.
    """

    @abstractmethod
    def weights(self, offer: Offer) -> Tensor:
        """Gives the weight of each sample (n,), finite, at least 0; 0 leaves it out.

        Args:
            offer: the samples, n >= 1 of them, and real rows.

        Raises:
            ValueError: it cannot choose from these.
        """

    def keeps(self, n: int) -> int:
        """Says how many of n samples it keeps, or could keep where that depends on them."""
        return n

    @property
    def options(self) -> dict[str, Any]:
        """Its fields in plain values, for records."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        plain = (bool, int, float, str, type(None))
        return {
            name: value if isinstance(value, plain) else repr(value)
            for name, value in values.items()
        }


@dataclass(frozen=True)
class KeepsShare(Curator):
    """Keeps `keep`, a share of the samples in (0, 1]; a subclass says which.

    It names the field again: a command line is checked before base classes are imported.
    """

    keep: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.keep <= 1:
            raise ValueError(f"keep = {self.keep}: must be a share in (0, 1]")

    def keeps(self, n: int) -> int:
        return round(self.keep * n)


def best(scores: Tensor, k: int, seed: int) -> Tensor:
    """Gives weights (n,): 1 for the k highest scores, 0 for the others; equal ones by chance."""
    order = torch.randperm(len(scores), generator=generator(seed, "ties"))
    # Stable, so that among equal scores those that chance has put first come first.
    ranks = torch.argsort(scores[order], descending=True, stable=True)
    weights = torch.zeros(len(scores), dtype=torch.float64)
    weights[order[ranks[:k]]] = 1.0
    return weights


def features_of(rows: Tensor, features: Features | None) -> Tensor:
    """Gives feature vectors (n, d) in float64: of a space, or the rows themselves, flat."""
    blocks = [
        network_units(block).flatten(1) if features is None else features(block)
        for block in torch.split(rows, _AT_ONCE)
    ]
    return torch.cat(blocks).double()
