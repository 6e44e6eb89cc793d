"""Exact denoisers: the posterior mean E[x0 | x0 + sigma * eps = x] where it has a closed form.

They stand in for a perfectly trained network, so that what a sampler does to the data can be told
apart from what training does to it. All of them work in float64 and need sigma > 0.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_collapse.data.store.shards import StoredRows
from lightning_collapse.rows import network_units

__all__ = ["Groups", "grouped", "mixture_denoiser"]

Denoiser = Callable[[Tensor, Tensor], Tensor]

_MAX_ROWS = 4096
_MOST_CLASSES = 32
_CLUSTERS = 8


@dataclass(frozen=True, eq=False)
class Groups:
    """A Gaussian for each class of rows, or for each cluster, by its own mean and covariance."""

    kind: str
    """`classes` or `clusters`."""
    means: Tensor
    """(K, d), float64."""
    covariances: Tensor
    """(K, d, d), with divisor n_k, singular or not."""
    weights: Tensor
    """Share of every group (K,), above 0."""

    def __str__(self) -> str:
        return f"{len(self.weights)} {self.kind}"

    @property
    def mean(self) -> Tensor:
        """Of all groups together (d,)."""
        return self.weights @ self.means

    @property
    def covariance(self) -> Tensor:
        """Of all groups together (d, d): within them, and of their means."""
        within = torch.einsum("k,kij->ij", self.weights, self.covariances)
        apart = self.means - self.mean
        return within + (self.weights[:, None] * apart).T @ apart

    @property
    def denoiser(self) -> Denoiser:
        """The exact denoiser of the mixture; see `mixture_denoiser`."""
        return mixture_denoiser(self.means, self.covariances, self.weights)


def grouped(stored: StoredRows) -> Groups | None:
    """Gives the mixture of a store's first 4,096 rows, in network units.

    A Gaussian for each class where rows have 2 to 32 classes, or else for each of 8 clusters by
    k-means; None where the rows do not differ enough for two.
    """
    n = min(len(stored), _MAX_ROWS)
    rows = network_units(stored[torch.arange(n)].flatten(1), torch.float64)
    labels, kind = stored.labels, "classes"
    if labels is None or not 2 <= len(torch.unique(labels[:n])) <= _MOST_CLASSES:
        labels, kind = _clusters(rows), "clusters"
    names, member = torch.unique(labels[:n], return_inverse=True)
    if len(names) < 2:
        return None
    groups = [rows[member == k] for k in range(len(names))]
    covariances = [
        torch.cov(group.T, correction=0).reshape(2 * [rows.shape[1]]) for group in groups
    ]
    return Groups(
        kind,
        torch.stack([group.mean(0) for group in groups]),
        torch.stack(covariances),
        member.bincount().double() / n,
    )


def _clusters(rows: Tensor) -> Tensor:
    from sklearn.cluster import KMeans

    clusters = min(_CLUSTERS, len(torch.unique(rows, dim=0)))
    return torch.from_numpy(KMeans(clusters, n_init=1, random_state=0).fit_predict(rows.numpy()))


def mixture_denoiser(means: Tensor, covariances: Tensor, weights: Tensor) -> Denoiser:
    """Gives the denoiser of a Gaussian mixture: its components' denoisers, averaged by posterior.

    Args:
        means: (K, d).
        covariances: (K, d, d), singular or not.
        weights: (K,), non-negative; scaled to sum to 1.

    Returns:
        `denoise(x, sigma)` for x (B, d) and sigma () or (B,), float64 (B, d).
    """
    K, d = means.shape
    if covariances.shape != (K, d, d) or weights.shape != (K,):
        raise ValueError(
            f"means {(K, d)} need covariances {(K, d, d)} and weights {(K,)}, got "
            f"{tuple(covariances.shape)} and {tuple(weights.shape)}"
        )
    if not (weights >= 0).all() or not weights.sum() > 0:
        raise ValueError(f"weights must be non-negative and not all 0, got {weights.tolist()}")
    means, log_weights = means.double(), weights.double().log()
    variances, axes = _principal_axes(covariances.double())

    def denoise(x: Tensor, sigma: Tensor) -> Tensor:
        noise_variance = sigma.double().reshape(-1, 1) ** 2
        noisy = variances[:, None, :] + noise_variance  # (K, B or 1, d)
        z = (x.double() - means[:, None, :]) @ axes  # (K, B, d)
        log_density = -0.5 * (z**2 / noisy + noisy.log()).sum(-1)  # up to a constant
        posterior = torch.softmax(log_weights[:, None] + log_density, dim=0)  # (K, B)
        clean = (z * variances[:, None, :] / noisy) @ axes.mT + means[:, None, :]
        return (posterior[..., None] * clean).sum(0)

    return denoise


def _principal_axes(covariance: Tensor) -> tuple[Tensor, Tensor]:
    """Gives variances (*, d) and axes (*, d, d), in columns."""
    variances, axes = torch.linalg.eigh(covariance)
    return variances.clamp(min=0), axes
