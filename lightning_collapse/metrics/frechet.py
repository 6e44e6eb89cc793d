"""The Fréchet distance between Gaussians with the moments of two sets of features.

d^2 = |mu - mu_ref|^2 + tr S + tr S_ref - 2 tr (S_ref^1/2 S S_ref^1/2)^1/2

(Dowson & Landau 1982). The matrix under the last root is symmetric: its eigenvalues are real and
the distance is never complex, whatever the rank of S. A collapsed model does not break it. As
usual in this field, the squared distance is what is reported.
"""

import torch
from torch import Tensor

__all__ = ["FrechetReference", "frechet_distance"]


def frechet_distance(mu: Tensor, sigma: Tensor, mu_ref: Tensor, sigma_ref: Tensor) -> float:
    """Gives the squared Fréchet distance, >= 0.

    Args:
        mu: mean (d,).
        sigma: covariance (d, d).
        mu_ref: mean of the reference (d,).
        sigma_ref: covariance of the reference (d, d).
    """
    return FrechetReference(mu_ref, sigma_ref).distance(mu, sigma)


class FrechetReference:
    """The statistics of real data, with the root of their covariance computed once.

    Args:
        mu: mean (d,).
        sigma: covariance (d, d).
    """

    def __init__(self, mu: Tensor, sigma: Tensor) -> None:
        self.mu, self.sigma = _checked(mu, sigma, mu.numel(), "reference ")
        eigenvalues, axes = torch.linalg.eigh(self.sigma)
        self.root = (axes * _without_rounding(eigenvalues).sqrt()) @ axes.mT

    def distance(self, mu: Tensor, sigma: Tensor) -> float:
        """Gives the squared Fréchet distance, >= 0, of mean (d,) and covariance (d, d)."""
        mu, sigma = _checked(mu, sigma, len(self.mu), "")
        product = self.root @ sigma @ self.root
        eigenvalues = torch.linalg.eigvalsh((product + product.mT) / 2)
        overlap = _without_rounding(eigenvalues).sqrt().sum()
        shift = (mu - self.mu).square().sum()
        return max(0.0, float(shift + sigma.trace() + self.sigma.trace() - 2 * overlap))


def _checked(mu: Tensor, sigma: Tensor, dim: int, whose: str) -> tuple[Tensor, Tensor]:
    for name, value, shape in [("mu", mu, (dim,)), ("sigma", sigma, (dim, dim))]:
        if value.shape != shape:
            raise ValueError(f"{whose}{name} must have shape {shape}, got {tuple(value.shape)}")
        if not value.isfinite().all():
            raise ValueError(f"{whose}{name} has entries that are not finite")
    return mu.double(), sigma.double()


def _without_rounding(eigenvalues: Tensor) -> Tensor:
    """Sets eigenvalues to 0 that are negative, or 0 but for rounding.

    The root would magnify a rounding error of 1e-16 to 1e-8, once per missing dimension.
    """
    rounding = 8 * torch.finfo(torch.float64).eps * eigenvalues.max()
    return torch.where(eigenvalues > rounding, eigenvalues, 0.0)
