"""Learners of the toys: `fit(rows)`, then `sample(n)`."""

from typing import Protocol

import torch
from torch import Tensor

from lightning_collapse.learners.mixtures import Mixtures, Start, refit, sample_mixtures
from lightning_collapse.seeds import key

__all__ = ["Learner", "GaussianMLE", "GaussianMixtureEM"]


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


class GaussianMixtureEM:
    """A Gaussian mixture with full covariances, fitted by expectation maximization.

    Attributes:
        mixture: the last fit, as `Mixtures` of one replica.
    """

    mixture: Mixtures

    def __init__(
        self,
        components: int = 3,
        init: Start = "kmeans",
        reg_covar: float = 0.0,
        seed: int = 0,
    ) -> None:
        """Sets up the learner.

        Args:
            components: K.
            init: `kmeans` starts every fit from new clusters, `warm` from the last fit.
            reg_covar: added to the diagonal of every covariance; scikit-learn's 1e-6 puts a floor
                under the variances.
            seed: keys k-means, together with the number of fits before.
        """
        self.components, self.init, self.reg_covar, self.seed = components, init, reg_covar, seed
        self._fits = 0

    def fit(self, rows: Tensor) -> None:
        """Fits rows (n, d), at least as many as components."""
        self._dtype = rows.dtype
        self.mixture = refit(
            rows.double().numpy()[None],
            self.components,
            self.mixture if self._fits else None,
            [key(self.seed, "kmeans", self._fits)],
            init=self.init,
            reg_covar=self.reg_covar,
        )
        self._fits += 1

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Draws rows (n, d) of the type of the fitted ones."""
        rows, _ = sample_mixtures(self.mixture, n, [generator])
        return torch.from_numpy(rows[0]).to(self._dtype)
