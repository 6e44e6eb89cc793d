"""Which real rows the samples of a round are given, and what noise in their place would be.

They are set apart: neither trained on nor held out for measures. Every round takes them in an
order of its own, all of them once before any a second time.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_collapse.rows import LabelledRows, from_network_units, network_units
from lightning_collapse.sampling.inpainting import Inpainting
from lightning_collapse.seeds import KeyedNormal, generator

__all__ = ["Given"]


@dataclass(frozen=True)
class Given:
    """The rows that are completed in a round: those that are set apart (m, *), as stored."""

    inpainting: Inpainting
    rows: LabelledRows
    seed: int
    round: int

    def places(self, samples: Sequence[int]) -> Tensor:
        """Gives which row (n,) each of these samples completes."""
        order = torch.randperm(len(self.rows), generator=generator(self.seed, "given", self.round))
        return order[torch.tensor(samples) % len(self.rows)]

    def of(self, samples: Sequence[int]) -> Tensor:
        """Reads the whole rows (n, *) that these samples complete."""
        rows: Tensor = self.rows[self.places(samples)]
        return rows

    def labels(self, samples: Sequence[int]) -> Tensor | None:
        """Gives their classes (n,); None where there are none."""
        labels = self.rows.labels
        return None if labels is None else labels[self.places(samples)]

    def composed(self, samples: Sequence[int], sampled: Tensor) -> Tensor:
        """Puts the given part of the rows, to the last bit, in sampled rows (n, *) as stored."""
        whole = self.of(samples)
        return torch.where(self.inpainting.mask(tuple(whole.shape[1:])), sampled, whole)

    def with_noise(self, samples: Sequence[int], mean: Tensor, std: Tensor) -> Tensor:
        """Gives the same rows (n, *) with noise in the place of the sampled part.

        It is of mean (*) and standard deviation (*), in network units.
        """
        streams = [generator(self.seed, "masked noise", self.round, i) for i in samples]
        noise = mean + std * KeyedNormal(streams)(tuple(mean.shape))
        return self.composed(samples, from_network_units(noise))

    def squared_error(self, samples: Sequence[int], rows: Tensor) -> float:
        """Sums the squared errors of the sampled part of rows (n, *), in network units."""
        error = network_units(rows, torch.float64) - network_units(self.of(samples), torch.float64)
        mask = self.inpainting.mask(tuple(rows.shape[1:]))
        return float(error.square()[:, mask].sum())
