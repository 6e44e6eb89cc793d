"""Gaussian mixtures of many replicas at once, fitted by expectation maximization.

One fit is that of scikit-learn's `GaussianMixture` with full covariances from the same start, with
the same stopping rule, but for `reg_covar`, which is 0 by default. Replicas converge each by
itself, and the bits of one do not depend on which others are computed with it.

A component may collapse: onto a plane, a line, a single point, or to no mass at all. That is a
result and not an error. In densities a variance that is zero to rounding counts as rounding's own,
so that everything stays finite; fits and samples keep it as it is.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from lightning_collapse.learners.kmeans import kmeans, uniforms_needed

__all__ = ["Mixtures", "Start", "fit_mixtures", "kmeans_start", "refit", "sample_mixtures"]

Array = NDArray[np.float64]
Start = Literal["kmeans", "warm"]

_EPS = float(np.finfo(np.float64).eps)


@dataclass(frozen=True, eq=False)
class Mixtures:
    """A mixture of K Gaussians in d dimensions for each of R replicas."""

    weights: Array
    """Share of every component (R, K); 0 for one that no row is left to."""
    means: Array
    """(R, K, d)."""
    covariances: Array
    """(R, K, d, d), singular or not."""

    def __getitem__(self, replicas: Any) -> "Mixtures":
        """Gives some of the replicas, by slice, index or mask (R,)."""
        return Mixtures(self.weights[replicas], self.means[replicas], self.covariances[replicas])

    @property
    def collapsed(self) -> NDArray[np.bool_]:
        """Components (R, K) that have no mass, or whose covariance is singular to rounding."""
        singular = _cholesky(self)[1].any(-1)
        collapsed: NDArray[np.bool_] = np.logical_or(singular, self.weights == 0)
        return collapsed


def refit(
    rows: Array,
    components: int,
    before: Mixtures | None,
    random: Sequence[torch.Generator],
    *,
    init: Start = "kmeans",
    reg_covar: float = 0.0,
) -> Mixtures:
    """Fits each replica's rows in one round of many.

    Args:
        rows: (R, n, d).
        components: K, at most n.
        before: the fits of the round before; None in the first.
        random: a generator for every replica, from which k-means draws.
        init: `kmeans` starts from new clusters, `warm` from the fits of the round before.
        reg_covar: added to the diagonal of every covariance, at least 0.

    Raises:
        ValueError: there are fewer rows than components.
    """
    if rows.shape[1] < components:
        raise ValueError(
            f"n = {rows.shape[1]}: must be at least the number of components, {components}"
        )
    if init == "kmeans" or before is None:
        before = kmeans_start(rows, components, random, reg_covar)
    return fit_mixtures(rows, before, reg_covar=reg_covar)


def kmeans_start(
    rows: Array, components: int, random: Sequence[torch.Generator], reg_covar: float = 0.0
) -> Mixtures:
    """Gives the mixture of the clusters that k-means finds.

    Args:
        rows: (R, n, d), n >= components.
        components: K.
        random: a generator for every replica.
        reg_covar: added to the diagonal of every covariance.
    """
    x = _columns(rows)
    member = kmeans(x, components, _uniforms(random, uniforms_needed(components)))
    R, d, _ = x.shape
    nowhere = Mixtures(
        np.zeros((R, components)),
        np.repeat(x.mean(-1)[:, None], components, 1),
        np.zeros((R, components, d, d)),
    )
    return _maximize(x, member.astype(np.float64), nowhere, reg_covar)


def fit_mixtures(
    rows: Array,
    start: Mixtures,
    *,
    reg_covar: float = 0.0,
    tol: float = 1e-3,
    max_iter: int = 100,
) -> Mixtures:
    """Fits each replica's rows, from a start, until the mean log-likelihood changes by < tol.

    Args:
        rows: (R, n, d).
        start: the mixtures to start from.
        reg_covar: added to the diagonal of every covariance, at least 0.
        tol: smallest change of the mean log-likelihood of a row to go on for.
        max_iter: most iterations.
    """
    x, fit = _columns(rows), start
    result = Mixtures(start.weights.copy(), start.means.copy(), start.covariances.copy())
    active, bound = np.arange(len(x)), np.full(len(x), -math.inf)
    for _ in range(max_iter):
        responsibilities, reached = _expect(x, fit)
        fit = _maximize(x, responsibilities, fit, reg_covar)
        going = np.abs(reached - bound) >= tol
        bound = reached
        if not going.all():
            _store(fit[~going], result, active[~going])
            x, fit, bound, active = x[going], fit[going], bound[going], active[going]
        if not len(active):
            break
    _store(fit, result, active)
    return result


def sample_mixtures(
    fit: Mixtures, n: int, random: Sequence[torch.Generator]
) -> tuple[Array, NDArray[np.int64]]:
    """Draws rows of each replica's mixture, in no order.

    Args:
        fit: the mixtures.
        n: rows to draw from each.
        random: a generator for every replica.

    Returns:
        Rows (R, n, d), and the component of each (R, n).
    """
    R, K, d = fit.means.shape
    u = _uniforms(random, n)
    z = np.stack([torch.randn(d, n, dtype=torch.float64, generator=g).numpy() for g in random])
    labels = _components(fit.weights, u)
    root, flat = _cholesky(fit)
    root = np.where(flat[..., None, :], 0.0, root)
    place = labels + K * np.arange(R)[:, None]  # taking from flat arrays is fastest
    rows = np.empty((R, n, d))
    for i in range(d):
        column = fit.means[..., i].take(place)
        for j in range(i + 1):
            column += root[..., i, j].take(place) * z[:, j]
        rows[..., i] = column
    return rows, labels


def _components(weights: Array, u: Array) -> NDArray[np.int64]:
    """Gives the component (R, n) that each uniform random number falls to."""
    ends = weights.cumsum(-1)
    ends /= ends[:, -1:]
    labels = np.zeros(u.shape, np.int64)
    for k in range(weights.shape[1] - 1):
        labels += u >= ends[:, k, None]
    return labels


def _uniforms(random: Sequence[torch.Generator], n: int) -> Array:
    return np.stack([torch.rand(n, dtype=torch.float64, generator=g).numpy() for g in random])


def _store(fit: Mixtures, into: Mixtures, at: NDArray[np.int64]) -> None:
    for name in ("weights", "means", "covariances"):
        getattr(into, name)[at] = getattr(fit, name)


def _columns(rows: Array) -> Array:
    """Lays rows (R, n, d) out as columns (R, d, n), along which sums are contiguous."""
    return np.ascontiguousarray(rows.swapaxes(-1, -2))


def _expect(x: Array, fit: Mixtures) -> tuple[Array, Array]:
    """Gives responsibilities (R, K, n) and the mean log-likelihood of a row (R,)."""
    root, _ = _cholesky(fit)
    with np.errstate(divide="ignore"):  # a component without mass
        log_norm = np.log(fit.weights)
    log_norm -= np.log(np.diagonal(root, axis1=-2, axis2=-1)).sum(-1)
    log_norm -= x.shape[1] / 2 * math.log(2 * math.pi)
    density = _mahalanobis(x, fit.means, root)
    density *= -0.5
    density += log_norm[..., None]
    top = density.max(1, keepdims=True)
    density -= top
    np.exp(density, out=density)
    total = density.sum(1, keepdims=True)
    density /= total
    return density, (top + np.log(total))[:, 0].mean(-1)


def _mahalanobis(x: Array, means: Array, root: Array) -> Array:
    """Gives squared distances (R, K, n) in units of each component, by forward substitution."""
    z: list[Array] = []
    for i in range(x.shape[1]):
        rest = x[:, None, i] - means[..., i, None]
        for j in range(i):
            rest -= root[..., i, j, None] * z[j]
        rest *= 1 / root[..., i, i, None]
        z.append(rest)
    total = np.square(z[0])
    for rest in z[1:]:
        total += np.square(rest)
    return total


def _maximize(x: Array, responsibilities: Array, before: Mixtures, reg_covar: float) -> Mixtures:
    """Gives the weighted moments; a component without mass stays where it was, with weight 0."""
    mass = responsibilities.sum(-1)
    empty = mass < 10 * _EPS
    mass[empty] = 0.0
    divisor = np.where(empty, 1.0, mass)[..., None]
    means = np.matmul(responsibilities, x.swapaxes(-1, -2)) / divisor
    centred = x[:, None] - means[..., None]  # (R, K, d, n)
    weighted = responsibilities[:, :, None] * centred
    covariances = np.matmul(weighted, centred.swapaxes(-1, -2)) / divisor[..., None]
    covariances += reg_covar * np.eye(x.shape[1])
    return Mixtures(
        mass / mass.sum(-1, keepdims=True),
        np.where(empty[..., None], before.means, means),
        np.where(empty[..., None, None], before.covariances, covariances),
    )


def _cholesky(fit: Mixtures) -> tuple[Array, NDArray[np.bool_]]:
    """Gives lower roots (R, K, d, d) of the covariances, and axes (R, K, d) that are flat.

    An axis is flat where what the axes before it leave of its variance is rounding: of the
    covariance, or of the rows' own digits. It then gets that rounding's size.
    """
    C, d = fit.covariances, fit.means.shape[-1]
    digits = np.square(4 * _EPS * np.abs(fit.means).max((1, 2)))
    floor = 64 * _EPS * np.diagonal(C, axis1=-2, axis2=-1)
    floor = floor + np.maximum(digits, 1e-200)[:, None, None]
    root, flat = np.zeros_like(C), np.zeros(floor.shape, bool)
    for i in range(d):
        for j in range(i):
            rest = C[..., i, j] - (root[..., i, :j] * root[..., j, :j]).sum(-1)
            root[..., i, j] = np.where(flat[..., j], 0.0, rest / root[..., j, j])
        pivot = C[..., i, i] - np.square(root[..., i, :i]).sum(-1)
        flat[..., i] = pivot <= floor[..., i]
        root[..., i, i] = np.sqrt(np.maximum(pivot, floor[..., i]))
    return root, flat
