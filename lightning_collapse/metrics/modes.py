"""Which modes of a mixture a model still has."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["mode_shares", "modes_covered"]


def modes_covered(centers: ArrayLike, modes: ArrayLike, threshold: float) -> NDArray[np.int64]:
    """Counts the modes that have a center within `threshold` (*).

    Args:
        centers: what a model takes for the modes, such as its components' means (*, K, d).
        modes: the true ones (M, d).
        threshold: Euclidean distance, > 0.
    """
    near = _distances(centers, modes) <= threshold
    covered: NDArray[np.int64] = near.any(-2).sum(-1)
    return covered


def mode_shares(samples: ArrayLike, modes: ArrayLike) -> NDArray[np.float64]:
    """Gives the share of samples (*, n, d) to which each of the modes (M, d) is nearest (*, M)."""
    nearest = _distances(samples, modes).argmin(-1)
    shares = [(nearest == m).mean(-1) for m in range(len(np.asarray(modes)))]
    return np.stack(shares, -1)


def _distances(points: ArrayLike, modes: ArrayLike) -> NDArray[np.float64]:
    """Gives Euclidean distances (*, n, M) of points (*, n, d) to modes (M, d)."""
    apart = np.asarray(points)[..., None, :] - np.asarray(modes)
    distances: NDArray[np.float64] = np.linalg.norm(apart, axis=-1)
    return distances
