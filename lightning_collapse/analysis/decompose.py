"""Error = bias² + variance over replicas, exact in any space with an inner product.

    (1/R) sum |θ_r - θ*|² = |θ̄ - θ*|² + (1/R) sum |θ_r - θ̄|²

with 1/R in the variance, which makes it exact. Parameters, a denoiser's outputs and kernel mean
embeddings are such spaces; Fréchet distances are not, and have no exact split. The plain bias² of
R replicas is too large by Var/(R - 1), and is given without that too; where each θ_r is itself a
mean over n draws, the noise of these is taken off as well.

Where replicas cross two causes, which real rows are trained on and all other chance, the variance
splits into that between the means of splits, and that within a split.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lightning_collapse.analysis.intervals import Interval, jackknife_interval

__all__ = ["LEAST_REPLICAS", "Decomposition", "Errors", "crossed_variance"]

Array = NDArray[np.float64]

LEAST_REPLICAS = 8
"""From which on there are intervals: the jackknife of fewer covers far less than it says."""


@dataclass(frozen=True)
class Decomposition:
    """What the error comes to.

    Attributes:
        error: mean squared distance to the truth.
        bias2: squared distance of the replicas' mean to it.
        variance: mean squared distance to the replicas' mean; with `bias2` it is `error`.
        bias2_debiased: unbiased estimate of the bias² of infinitely many replicas; may be < 0.
        variance_debiased: unbiased estimate of the variance.
        bias2_interval: of `bias2_debiased`; None for fewer than 8 replicas.
        variance_interval: of `variance_debiased`, likewise.
    """

    error: float
    bias2: float
    variance: float
    bias2_debiased: float
    variance_debiased: float
    bias2_interval: Interval | None
    variance_interval: Interval | None


@dataclass(frozen=True)
class Errors:
    """Inner products of the errors θ_r - θ* of R replicas, as far as the split needs them.

    Attributes:
        squares: |θ_r - θ*|² (R,).
        sums: inner products of each with the sum of all (R,).
        centred: |θ_r - θ̄|² (R,).
        own_noise: what `squares` is too large by since θ_r is a mean of draws (R,).
        truth_noise: the same for every inner product, since θ* is one.
    """

    squares: Array
    sums: Array
    centred: Array
    own_noise: Array
    truth_noise: float = 0.0

    @classmethod
    def of_vectors(cls, vectors: ArrayLike, truth: ArrayLike) -> "Errors":
        """Gives those of vectors (R, k) about the truth, (k,) or (R, k)."""
        values = np.asarray(vectors, float)
        errors = values - np.asarray(truth, float)
        centred = errors - errors.mean(0)
        return cls(
            np.square(errors).sum(1),
            errors @ errors.sum(0),
            np.square(centred).sum(1),
            np.zeros(len(errors)),
        )

    @classmethod
    def of_products(
        cls, products: Array, own_noise: Array | None = None, truth_noise: float = 0.0
    ) -> "Errors":
        """Gives those of which all inner products (R, R) are known."""
        sums = products.sum(1)
        squares = products.diagonal().copy()
        centred = squares - 2 * sums / len(sums) + sums.sum() / len(sums) ** 2
        noise = np.zeros(len(sums)) if own_noise is None else own_noise
        return cls(squares, sums, centred, noise, truth_noise)

    def decompose(self) -> Decomposition:
        """Splits the error of R >= 2 replicas.

        Raises:
            ValueError: there is one replica.
        """
        replicas = len(self.squares)
        if replicas < 2:
            raise ValueError("replicas: there is 1, and variance needs at least 2")
        bias2, variance = self._debiased(np.zeros(1, int), leave_out=False)
        intervals: list[Interval | None] = [None, None]
        if replicas >= LEAST_REPLICAS:
            without = self._debiased(np.arange(replicas), leave_out=True)
            intervals = [
                jackknife_interval(float(whole[0]), part)
                for whole, part in zip((bias2, variance), without, strict=True)
            ]
        return Decomposition(
            float(self.squares.mean()),
            float(self.sums.sum()) / replicas**2,
            float(self.centred.mean()),
            float(bias2[0]),
            float(variance[0]),
            *intervals,
        )

    def _debiased(self, which: NDArray[np.int64], leave_out: bool) -> tuple[Array, Array]:
        """Debiased bias² and variance, of all replicas or without each of `which`."""
        out = float(leave_out)
        replicas = len(self.squares) - out
        total = self.sums.sum() - out * (2 * self.sums[which] - self.squares[which])
        squares = self.squares.sum() - out * self.squares[which]
        noise = self.own_noise.sum() - out * self.own_noise[which]
        between = (total - squares) / (replicas * (replicas - 1))
        variance = (squares - noise) / replicas - between
        return np.atleast_1d(between - self.truth_noise), np.atleast_1d(variance)


def crossed_variance(products: Array, splits: Sequence[Hashable]) -> tuple[float, float] | None:
    """Splits the variance into that of the data and that of all other chance.

    Args:
        products: inner products of the errors (R, R); noise of draws counts as chance.
        splits: what real rows each replica trained on (R,).

    Returns:
        Unbiased estimates of the variance between splits' means and of that within a split; None
        where no two splits have two replicas each, or the sizes of splits differ.
    """
    groups = [
        np.array([i for i, own in enumerate(splits) if own == one])
        for one in dict.fromkeys(splits)
    ]
    size = len(groups[0])
    if len(groups) < 2 or size < 2 or any(len(group) != size for group in groups):
        return None
    member = np.stack([np.isin(np.arange(len(splits)), group) for group in groups]) / size
    of_means = member @ products @ member.T
    within = (products.diagonal().mean() - of_means.diagonal().mean()) * size / (size - 1)
    count = len(groups)
    between = (of_means.diagonal().mean() - of_means.mean()) * count / (count - 1)
    return float(between - within / size), float(within)
