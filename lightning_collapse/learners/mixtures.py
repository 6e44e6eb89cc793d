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

from lightning_collapse.chance import normal_at, uniform_at
from lightning_collapse.learners.kmeans import kmeans, uniforms_needed

__all__ = ["Mixtures", "Start", "fit_mixtures", "refit", "sample_mixtures"]

Array = NDArray[np.float64]
Start = Literal["kmeans", "warm"]

_EPS = float(np.finfo(np.float64).eps)
_MOST_FEATURES = 16
"""Of a row, that EM works on in two products; beyond them, rows take less memory."""
_THIN = 1e-4
"""Of the rows' variance: what a component's may be before its moments lose digits, 4 of 16."""


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
    keys: Sequence[int],
    *,
    init: Start = "kmeans",
    reg_covar: float = 0.0,
) -> Mixtures:
    """Fits each replica's rows in one round of many.

    Args:
        rows: (R, n, d).
        components: K, at most n.
        before: the fits of the round before; None in the first.
        keys: one for every replica, from 0 to 2^63 - 1, of what k-means draws.
        init: `kmeans` starts from new clusters, `warm` from the fits of the round before.
        reg_covar: added to the diagonal of every covariance, at least 0.

    Raises:
        ValueError: there are fewer rows than components.
    """
    if rows.shape[1] < components:
        raise ValueError(
            f"n = {rows.shape[1]}: must be at least the number of components, {components}"
        )
    work = _Work.of(rows)
    if init == "kmeans" or before is None:
        before = _clusters(work, components, keys, reg_covar)
    return _fitted(work, before, reg_covar)


def _clusters(work: "_Work", components: int, keys: Sequence[int], reg_covar: float) -> Mixtures:
    """Gives the mixtures of the clusters that k-means finds."""
    x, places = work.x, np.arange(uniforms_needed(components))
    uniforms = uniform_at(np.array(keys, np.uint64)[:, None], places)
    member = kmeans(x, components, uniforms)
    R, d, _ = x.shape
    nowhere = Mixtures(
        np.zeros((R, components)),
        np.repeat(x.mean(-1)[:, None], components, 1),
        np.zeros((R, components, d, d)),
    )
    return work.maximize(member.astype(np.float64), nowhere, reg_covar)[0]


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
    return _fitted(_Work.of(rows), start, reg_covar, tol, max_iter)


def _fitted(
    work: "_Work", start: Mixtures, reg_covar: float, tol: float = 1e-3, max_iter: int = 100
) -> Mixtures:
    result = Mixtures(start.weights.copy(), start.means.copy(), start.covariances.copy())
    active, bound = np.arange(len(work.x)), np.full(len(work.x), -math.inf)
    fit, root = start, _cholesky(start)[0]
    for _ in range(max_iter):
        responsibilities, reached = work.expect(fit, root)
        fit, root = work.maximize(responsibilities, fit, reg_covar)
        going = np.abs(reached - bound) >= tol
        bound = reached
        if not going.all():
            _store(fit[~going], result, active[~going])
            work, fit, root = work[going], fit[going], root[going]
            bound, active = bound[going], active[going]
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
    keys = np.array([torch.randint(2**63 - 1, (), generator=g).item() for g in random], np.uint64)
    u = uniform_at(keys[:, None], np.arange(n))
    z = normal_at(keys[:, None, None], np.arange(n, n + d * n).reshape(d, n))
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


def _store(fit: Mixtures, into: Mixtures, at: NDArray[np.int64]) -> None:
    for name in ("weights", "means", "covariances"):
        getattr(into, name)[at] = getattr(fit, name)


@dataclass(frozen=True, eq=False)
class _Work:
    """Rows as EM reads them: by their features where a component is not thin, else one by one.

    The logarithm of a Gaussian's density is a product with 1, x_i and x_i·x_j, about the rows'
    middle, and a component's moments are another.
    """

    x: Array
    """Columns (R, d, n), along which sums are contiguous."""
    middle: Array
    """The mean row (R, d)."""
    thin: Array
    """The variance (R,) below which digits would be lost."""
    features: Array | None
    """(R, F, n); None for rows of too many columns."""

    @classmethod
    def of(cls, rows: Array) -> "_Work":
        """Reads rows (R, n, d)."""
        x, d = np.ascontiguousarray(rows.swapaxes(-1, -2)), rows.shape[-1]
        middle = x.mean(-1)
        z = x - middle[..., None]
        thin = _THIN * np.square(z).mean(-1).max(-1)
        pairs = _pairs(d)
        if 1 + d + len(pairs) > _MOST_FEATURES:
            return cls(x, middle, thin, None)
        features = np.empty((len(x), 1 + d + len(pairs), x.shape[-1]))
        features[:, 0], features[:, 1 : 1 + d] = 1.0, z
        for place, (i, j) in enumerate(pairs, 1 + d):
            np.multiply(z[:, i], z[:, j], out=features[:, place])
        return cls(x, middle, thin, features)

    def __getitem__(self, replicas: NDArray[np.bool_]) -> "_Work":
        features = None if self.features is None else self.features[replicas]
        return _Work(self.x[replicas], self.middle[replicas], self.thin[replicas], features)

    def expect(self, fit: Mixtures, root: Array) -> tuple[Array, Array]:
        """Gives responsibilities (R, K, n) and the mean log-likelihood of a row (R,)."""
        with np.errstate(divide="ignore"):  # a component without mass
            log_norm = np.log(fit.weights)
        log_norm -= np.log(np.diagonal(root, axis1=-2, axis2=-1)).sum(-1)
        log_norm -= self.x.shape[1] / 2 * math.log(2 * math.pi)
        thin = self._thin(root)
        if thin.all():
            density = _log_density(self.x, fit.means, root, log_norm)
        else:
            density = self._by_features(fit.means, root, log_norm)
            if thin.any():
                density[thin] = _log_density(
                    self.x[thin], fit.means[thin], root[thin], log_norm[thin]
                )
        top = density.max(1, keepdims=True)
        density -= top
        np.exp(density, out=density)
        total = density.sum(1, keepdims=True)
        density *= 1 / total
        np.log(total, out=total)
        total += top
        return density, total[:, 0].mean(-1)

    def maximize(
        self, responsibilities: Array, before: Mixtures, reg_covar: float
    ) -> tuple[Mixtures, Array]:
        """Gives the mixtures of the responsibilities, and their lower roots (R, K, d, d)."""
        if self.features is None:
            fit = _maximize(self.x, responsibilities, before, reg_covar)
            return fit, _cholesky(fit)[0]
        moments = np.matmul(responsibilities, self.features.swapaxes(-1, -2))
        d = self.x.shape[1]
        mass, empty, divisor = _masses(moments[..., 0])
        moments /= divisor
        means = moments[..., 1 : 1 + d]
        covariances = np.empty((*means.shape, d))
        for place, (i, j) in enumerate(_pairs(d), 1 + d):
            value = moments[..., place] - means[..., i] * means[..., j]
            # A thin component's variance may have rounded below 0.
            value = np.maximum(value, 0.0) if i == j else value
            covariances[..., i, j] = covariances[..., j, i] = value
        means = means + self.middle[:, None]
        fit = _mixture(mass, empty, means, covariances, before, reg_covar)
        root = _cholesky(fit)[0]
        thin = self._thin(root)
        if thin.any():
            exact = _maximize(self.x[thin], responsibilities[thin], before[thin], reg_covar)
            _store(exact, fit, np.flatnonzero(thin))
            root[thin] = _cholesky(exact)[0]
        return fit, root

    def _thin(self, root: Array) -> NDArray[np.bool_]:
        """Tells which replicas have a component that is thin in some direction (R,)."""
        if self.features is None:
            return np.ones(len(root), bool)
        pivots = np.square(np.diagonal(root, axis1=-2, axis2=-1))
        return np.asarray(pivots.min((1, 2)) < self.thin)

    def _by_features(self, means: Array, root: Array, log_norm: Array) -> Array:
        """Gives log densities (R, K, n), weighted, as one product with the features."""
        assert self.features is not None
        d = self.x.shape[1]
        inverse = np.linalg.inv(root)
        precision = inverse.swapaxes(-1, -2) @ inverse
        at = means - self.middle[:, None]
        pull = (precision @ at[..., None])[..., 0]
        factors = np.empty((*log_norm.shape, self.features.shape[1]))
        factors[..., 0] = log_norm - 0.5 * (pull * at).sum(-1)
        factors[..., 1 : 1 + d] = pull
        for place, (i, j) in enumerate(_pairs(d), 1 + d):
            factors[..., place] = precision[..., i, j] * (-0.5 if i == j else -1.0)
        # Of a component without mass: -inf times a feature of 0 would be no number.
        factors[..., 0] = np.maximum(factors[..., 0], -1e300)
        return np.asarray(np.matmul(factors, self.features))


def _pairs(d: int) -> list[tuple[int, int]]:
    return [(i, j) for i in range(d) for j in range(i, d)]


def _log_density(x: Array, means: Array, root: Array, log_norm: Array) -> Array:
    """Gives log densities (R, K, n), weighted, row by row, by forward substitution."""
    z: list[Array] = []
    for i in range(x.shape[1]):
        rest = x[:, None, i] - means[..., i, None]
        for j in range(i):
            rest -= root[..., i, j, None] * z[j]
        rest *= 1 / root[..., i, i, None]
        z.append(rest)
    density = np.square(z[0])
    for rest in z[1:]:
        density += np.square(rest)
    density *= -0.5
    density += log_norm[..., None]
    return np.asarray(density)


def _maximize(x: Array, responsibilities: Array, before: Mixtures, reg_covar: float) -> Mixtures:
    """Gives the weighted moments; a component without mass stays where it was, with weight 0."""
    mass, empty, divisor = _masses(responsibilities.sum(-1))
    means = np.matmul(responsibilities, x.swapaxes(-1, -2)) / divisor
    centred = x[:, None] - means[..., None]  # (R, K, d, n)
    weighted = responsibilities[:, :, None] * centred
    covariances = np.matmul(weighted, centred.swapaxes(-1, -2)) / divisor[..., None]
    return _mixture(mass, empty, means, covariances, before, reg_covar)


def _masses(mass: Array) -> tuple[Array, NDArray[np.bool_], Array]:
    """Gives masses (R, K) without rounding, which are empty, and what to divide by (R, K, 1)."""
    empty = mass < 10 * _EPS
    return np.where(empty, 0.0, mass), empty, np.where(empty, 1.0, mass)[..., None]


def _mixture(
    mass: Array,
    empty: NDArray[np.bool_],
    means: Array,
    covariances: Array,
    before: Mixtures,
    reg_covar: float,
) -> Mixtures:
    if reg_covar:
        covariances = covariances + reg_covar * np.eye(means.shape[-1])
    if empty.any():
        means = np.where(empty[..., None], before.means, means)
        covariances = np.where(empty[..., None, None], before.covariances, covariances)
    return Mixtures(mass / mass.sum(-1, keepdims=True), means, covariances)


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
