"""Sources of real points: float32 rows (n, d), in network units."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_collapse.data.sources.source import Source
from lightning_collapse.seeds import generator

__all__ = ["Mixture"]


@dataclass(frozen=True)
class Mixture(Source):
    """Points from an equal mixture of Gaussians of one spherical variance; labels name the mode.

    The default is three modes at (-4, -4), (0, 4) and (4, -4) with covariance 0.5·I, divided by 8:
    the spread is then near `sigma_data` = 0.5, as EDM's preconditioning expects.

    Attributes:
        n: points to draw.
        means: of every mode, K lists of d numbers.
        variance: of every mode, along every axis.
    """

    n: int = 2000
    means: tuple[tuple[float, ...], ...] = ((-0.5, -0.5), (0.0, 0.5), (0.5, -0.5))
    variance: float = 0.5 / 64

    def __post_init__(self) -> None:
        if self.n < 1:
            raise ValueError(f"n = {self.n}: must be at least 1")
        if len({len(mean) for mean in self.means}) != 1 or not self.means[0]:
            raise ValueError(f"means = {self.means}: must give every mode as many numbers")
        if not self.variance > 0 or not math.isfinite(self.variance):
            raise ValueError(f"variance = {self.variance}: must be a number > 0")

    def read(self, seed: int) -> tuple[Tensor, Tensor | None]:
        random = generator(seed, "mixture")
        means = torch.tensor(self.means)
        labels = torch.randint(len(means), (self.n,), generator=random)
        noise = torch.randn(self.n, means.shape[1], generator=random)
        return means[labels] + math.sqrt(self.variance) * noise, labels
