"""Which modes of a mixture a model still has."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from lightning_collapse.metrics.measure import Figure, Measure, RealRows, Sample

__all__ = ["Modes", "mode_shares", "modes_covered"]


@dataclass(frozen=True)
class Modes(Measure):
    """Which classes of the real rows, or given modes, the samples still have.

    Each sample counts for the mode whose center is nearest; without `centers` these are the means
    of the real rows' classes, in order. Figures: `modes_<space>`, how many are present, and
    `mode_shares_<space>`, the share of samples of each. A mode is present if its share is at least
    `present` of what it is among real rows, and if it has two samples: one does not make it.

    Attributes:
        centers: of the modes, K lists of d numbers in feature units; default: class means.
        present: share of its real share from which a mode is present, in (0, 1].
    """

    centers: tuple[tuple[float, ...], ...] | None = None
    present: float = 0.1

    has_step = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.present <= 1:
            raise ValueError(f"present = {self.present}: must lie in (0, 1]")

    def figures(self, samples: Sample, real: RealRows) -> dict[str, Figure]:
        names = f"modes_{samples.space}", f"mode_shares_{samples.space}"
        if self.centers is None and real.labels is None:
            return dict.fromkeys(names)
        centers = real.once(f"{self!r}.centers", self._centers)
        shares = mode_shares(samples.features, centers)
        wanted = real.once(f"{self!r}.shares", lambda rows: mode_shares(rows.features, centers))
        there = (shares >= self.present * wanted) & (shares > 1.5 / len(samples))
        return {names[0]: int(there.sum()), names[1]: shares.tolist()}

    def caution(self, figure: str, n: int) -> str:
        if self.centers is not None:
            return "by the nearest center"
        return "by the nearest class mean: needs labels of real rows, or centers"

    def _centers(self, real: RealRows) -> NDArray[np.float64]:
        if self.centers is not None:
            return np.array(self.centers)
        features, labels = real.features.double(), real.labels
        assert labels is not None
        means = [features[labels == label].mean(0) for label in torch.unique(labels)]
        return np.asarray(torch.stack(means).numpy())


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
