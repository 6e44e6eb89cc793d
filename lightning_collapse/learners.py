"""Learners of the toys: `fit(rows)`, then `sample(n)`."""

from typing import Protocol

import torch
from torch import Tensor

__all__ = ["Learner", "GaussianMLE"]


class Learner(Protocol):
    """Anything that can be fitted to rows and then sampled."""

    def fit(self, rows: Tensor) -> None:
        """Fits rows (n, d)."""

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Draws n rows (n, d)."""


class GaussianMLE:
    """The maximum-likelihood Gaussian: mean (d,) and covariance (d, d), divided by n."""

    mean: Tensor
    covariance: Tensor

    def fit(self, rows: Tensor) -> None:
        """Fits rows (n, d)."""
        self._dtype = rows.dtype
        rows = rows.double()
        self.mean = rows.mean(0)
        centred = rows - self.mean
        self.covariance = centred.T @ centred / len(rows)

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Draws rows (n, d) of the type of the fitted ones; the covariance may be singular."""
        values, vectors = torch.linalg.eigh(self.covariance)
        root = vectors * values.clamp(min=0).sqrt()
        z = torch.randn(n, len(self.mean), dtype=torch.float64, generator=generator)
        samples: Tensor = self.mean + z @ root.T
        return samples.to(self._dtype)
