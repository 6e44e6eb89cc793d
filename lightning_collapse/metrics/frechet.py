"""The Fréchet distance between Gaussians with the moments of two sets of features.

d^2 = |mu - mu_ref|^2 + tr S + tr S_ref - 2 tr (R^T S R)^1/2,    S_ref = R R^T

(Dowson & Landau 1982). The matrix under the last root is symmetric: its eigenvalues are real and
the distance is never complex, whatever the rank of S. A collapsed model does not break it. As
usual in this field, the squared distance is what is reported.
"""

import torch
from scipy.linalg.lapack import dsygst
from torch import Tensor

from lightning_collapse.metrics.moments import Moments

__all__ = ["FrechetReference", "expected_bias", "frechet_distance", "frechet_distance_of_rows"]

_TINY = 8 * torch.finfo(torch.float64).eps


def frechet_distance(mu: Tensor, sigma: Tensor, mu_ref: Tensor, sigma_ref: Tensor) -> float:
    """Gives the squared Fréchet distance, >= 0, of means (d,) and covariances (d, d)."""
    return FrechetReference(mu_ref, sigma_ref).distance(mu, sigma)


def frechet_distance_of_rows(x: Tensor, y: Tensor) -> float:
    """Gives the squared Fréchet distance, >= 0, between features (n, d) and (m, d).

    Where there are fewer rows than features no covariance is formed: with the centred rows X, Y
    over (n - 1)^1/2, the last term is the sum of the singular values of X Y^T.
    """
    if min(len(x), len(y)) > x.shape[1]:
        a, b = Moments.of(x), Moments.of(y)
        return frechet_distance(a.mean, a.covariance(), b.mean, b.covariance())
    (mu, centred), (mu_ref, centred_ref) = _centred(x), _centred(y)
    overlap = torch.linalg.svdvals(centred @ centred_ref.mT).sum()
    traces = centred.square().sum() + centred_ref.square().sum()
    return max(0.0, float((mu - mu_ref).square().sum() + traces - 2 * overlap))


def expected_bias(eigenvalues: Tensor, n: int) -> float:
    """Gives what n draws of a Gaussian are expected to be distant from the Gaussian itself.

    To second order in 1/n^1/2, about  tr S / n + sum_ij l_i l_j (1 + d_ij) / (2 n (l_i + l_j)),
    which is d (d + 5) / 4n for a unit Gaussian, with the eigenvalues l (d,) of its covariance S;
    zeros may be left out. Real features are not Gaussian: an estimate.
    """
    variances = eigenvalues[eigenvalues > 0].double()
    pairs = variances[:, None] * variances / (variances[:, None] + variances)
    return float(variances.sum() + (pairs.sum() + pairs.diagonal().sum()) / 2) / n


class FrechetReference:
    """Mean (d,) and covariance (d, d) of real data, with a root of it computed once.

    Raises:
        ValueError: they are not finite, or no covariance.
    """

    def __init__(self, mu: Tensor, sigma: Tensor) -> None:
        self.mu, self.sigma = _checked(mu, sigma, mu.numel(), "reference ")
        triangle = _triangle(self.sigma)
        self._triangular = triangle is not None
        self.root = _root(self.sigma) if triangle is None else triangle

    def distance(self, mu: Tensor, sigma: Tensor) -> float:
        """Gives the squared Fréchet distance, >= 0, of mean (d,) and covariance (d, d)."""
        mu, sigma = _checked(mu, sigma, len(self.mu), "")
        if self._triangular:
            # A quarter of the work of two products of full matrices.
            lower, _ = dsygst(sigma.numpy(), self.root.numpy(), itype=2, lower=1)
            product = torch.from_numpy(lower)
        else:
            product = self.root.mT @ sigma @ self.root
        # Only the lower triangle is read: what is above it means nothing.
        eigenvalues = _without_rounding(torch.linalg.eigvalsh(product, UPLO="L"))
        apart = (mu - self.mu).square().sum() + sigma.trace() + self.sigma.trace()
        distance = apart - 2 * eigenvalues.sqrt().sum()
        if _root_error(eigenvalues) > 1e-7 * distance:
            triangle = _triangle(sigma)
            if triangle is not None:
                distance = apart - 2 * torch.linalg.svdvals(triangle.mT @ self.root).sum()
        return max(0.0, float(distance))


def _root_error(eigenvalues: Tensor) -> Tensor:
    """Bounds what rounding may have added to the sum of the eigenvalues' roots.

    Singular values of a product of roots have no such error, at about twice the time.
    """
    rounding = _TINY * eigenvalues.max()
    return (rounding / torch.maximum(eigenvalues, rounding).sqrt()).nan_to_num().sum()


def _triangle(sigma: Tensor) -> Tensor | None:
    """Gives the Cholesky factor (d, d) of sigma where it is safely of full rank."""
    triangle: Tensor
    triangle, failed = torch.linalg.cholesky_ex(sigma)
    pivots = triangle.diagonal().square()
    safe = not failed and pivots.min() > _TINY * len(sigma) * pivots.max()
    return triangle if safe else None


def _root(sigma: Tensor) -> Tensor:
    """Gives R (d, d) with R R^T = sigma, of any rank."""
    eigenvalues: Tensor
    axes: Tensor
    eigenvalues, axes = torch.linalg.eigh(sigma)
    if eigenvalues.min() < -1e-6 * eigenvalues.max().abs():
        raise ValueError(
            f"reference sigma has the eigenvalue {float(eigenvalues.min()):.3g}: "
            "a covariance has none below 0"
        )
    return axes * _without_rounding(eigenvalues).sqrt()


def _centred(x: Tensor) -> tuple[Tensor, Tensor]:
    x = x.double()
    mean = x.mean(0)
    return mean, (x - mean) / max(1, len(x) - 1) ** 0.5


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
    rounding = _TINY * eigenvalues.max()
    return torch.where(eigenvalues > rounding, eigenvalues, 0.0)
