"""Exact denoisers: the posterior mean E[x0 | x0 + sigma * eps = x] where it has a closed form.

They stand in for a perfectly trained network, so that what a sampler does to the data can be told
apart from what training does to it. All of them work in float64 and need sigma > 0.
"""

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["mixture_denoiser"]

Denoiser = Callable[[Tensor, Tensor], Tensor]


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
