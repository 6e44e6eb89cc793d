"""k-means for many replicas at once, as scikit-learn starts a mixture: greedy k-means++, Lloyd.

The bits of a replica's clusters do not depend on which others are computed with it: sums run along
its own rows, products are one matrix at a time. One difference to scikit-learn: a cluster that
loses all its rows keeps its center, and is not moved to the row farthest from its own.
"""

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["kmeans", "uniforms_needed"]

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

_MAX_ITER = 300
_TOL = 1e-4
"""Lloyd ends once the centers' squared shifts sum to this share of the mean variance."""


def uniforms_needed(clusters: int) -> int:
    """Gives how many uniform random numbers `kmeans` takes for each replica."""
    return 1 + (clusters - 1) * _trials(clusters)


def kmeans(columns: Array, clusters: int, uniforms: Array) -> Mask:
    """Clusters the rows of every replica.

    Args:
        columns: the rows, transposed (R, d, n), n >= clusters.
        clusters: K.
        uniforms: random numbers in [0, 1), (R, uniforms_needed(K)).

    Returns:
        Whether a row is in a cluster (R, K, n): every row is in one.
    """
    x = columns - columns.mean(-1, keepdims=True)
    tol = _TOL * np.square(x).mean((-2, -1))
    return _lloyd(x, _plus_plus(x, clusters, uniforms), tol)


def _trials(clusters: int) -> int:
    return 2 + int(math.log(clusters))


def _plus_plus(x: Array, clusters: int, uniforms: Array) -> Array:
    """Gives starting centers (R, K, d): each the best of some drawn by squared distance.

    Source: Arthur & Vassilvitskii 2007; the greedy choice is from their section 5.
    """
    replicas, n = np.arange(len(x)), x.shape[-1]
    centers = [x[replicas, :, (uniforms[:, 0] * n).astype(int)]]
    nearest = _distances(x, centers[0][:, None])[:, 0]  # (R, n)
    for draws in np.split(uniforms[:, 1:], clusters - 1, 1) if clusters > 1 else []:
        mass = nearest.cumsum(-1)
        targets = draws * mass[:, -1:]
        drawn = np.stack([np.searchsorted(m, t) for m, t in zip(mass, targets, strict=True)])
        candidates = x[replicas[:, None], :, np.minimum(drawn, n - 1)]  # (R, trials, d)
        closer = np.minimum(nearest[:, None], _distances(x, candidates))
        best = closer.sum(-1).argmin(-1)
        centers.append(candidates[replicas, best])
        nearest = closer[replicas, best]
    return np.stack(centers, 1)


def _lloyd(x: Array, centers: Array, tol: Array) -> Mask:
    shape = (*centers.shape[:2], x.shape[-1])
    result = np.zeros(shape, bool)
    before, active = result, np.arange(len(x))
    for _ in range(_MAX_ITER):
        member = _members(x, centers)
        moved = _means(x, member, centers)
        done = (member == before).all((1, 2))
        settled = np.square(moved - centers).sum((1, 2)) <= tol
        if (last := settled & ~done).any():
            member[last] = _members(x[last], moved[last])
        result[active] = member
        if (going := ~(done | settled)).all():
            before, centers = member, moved
            continue
        x, tol, active = x[going], tol[going], active[going]
        before, centers = member[going], moved[going]
        if not len(x):
            break
    return result


def _members(x: Array, centers: Array) -> Mask:
    """Tells which center of (R, K, d) is nearest to each row, the first of equals: (R, K, n)."""
    # Squared distances, less what is the same for every center.
    score = np.matmul(-2 * centers, x)
    score += np.square(centers).sum(-1)[..., None]
    member: Mask = score == score.min(1, keepdims=True)
    taken = member[:, 0].copy()
    for k in range(1, member.shape[1]):
        member[:, k] &= ~taken
        taken |= member[:, k]
    return member


def _means(x: Array, member: Mask, before: Array) -> Array:
    """Gives the mean (R, K, d) of each cluster's rows; of no rows, the center before."""
    weights = member.astype(np.float64)
    mass = weights.sum(-1)[..., None]
    means = np.matmul(weights, x.swapaxes(-1, -2)) / np.maximum(mass, 1)
    return np.where(mass > 0, means, before)


def _distances(x: Array, centers: Array) -> Array:
    """Gives squared distances (R, K, n), axis by axis, for small ones to be exact."""
    total = np.square(x[:, None, 0] - centers[..., 0, None])
    for i in range(1, x.shape[1]):
        total += np.square(x[:, None, i] - centers[..., i, None])
    return total
