"""Error = bias² + variance over replicas, exact in any space with an inner product.

    (1/R) sum |θ_r - θ*|² = |θ̄ - θ*|² + (1/R) sum |θ_r - θ̄|²

with 1/R in the variance, which makes it exact. Parameters, a denoiser's outputs and kernel mean
embeddings are such spaces; Fréchet distances are not, and have no exact split. The plain bias² of
R replicas is too large by Var/(R - 1), and is given without that too; where each θ_r is itself a
mean over n draws, the noise of these is taken off as well.

Where replicas cross two causes, which real rows are trained on and all other chance, the variance
splits into that of each. Replicas that share a cause are not independent: debiased parts are then
taken from pairs that share none, and there are no intervals.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lightning_collapse.analysis.intervals import Interval, jackknife_interval

__all__ = ["LEAST_REPLICAS", "Crossed", "Decomposition", "Errors", "crossed"]

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
        bias2_interval: of `bias2_debiased`; None for fewer than 8 replicas, or crossed ones.
        variance_interval: of `variance_debiased`, likewise.
    """

    error: float
    bias2: float
    variance: float
    bias2_debiased: float
    variance_debiased: float
    bias2_interval: Interval | None
    variance_interval: Interval | None

    def of_crossed(self, parts: "Crossed | None", errors: "Errors") -> "Decomposition":
        """Gives the split with the debiased parts of crossed replicas, if they are."""
        if parts is None:
            return self
        noise = float(errors.own_noise.mean())
        return replace(
            self,
            bias2_debiased=parts.bias2 - errors.truth_noise,
            variance_debiased=parts.data + parts.chance - noise,
            bias2_interval=None,
            variance_interval=None,
        )


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


@dataclass(frozen=True)
class Crossed:
    """The parts of runs that cross data and chance, each estimated without bias.

    Attributes:
        bias2: of infinitely many runs.
        data: variance by which real rows are trained on, of the mean over chance.
        chance: variance by all else; noise of draws counts as chance.
    """

    bias2: float
    data: float
    chance: float


def crossed(
    products: Array, splits: Sequence[Hashable], seeds: Sequence[Hashable]
) -> Crossed | None:
    """Splits the error of replicas that cross two causes, balanced or not.

    Equal seeds share initial weights and latents, so that a split's mean over seeds still has
    the seeds' own effect, which all splits share. Pairs do without means: of replicas that have
    neither in common the inner product is |bias|² in expectation; of one split, and other seeds,
    the variance of the data comes on top; of a replica with itself that of chance too.

    Args:
        products: inner products of the errors (R, R).
        splits: what real rows each replica trained on (R,).
        seeds: of all other chance (R,).

    Returns:
        None where there is no pair of one split, or none without anything in common.
    """
    same = [
        np.array([[a == b for b in causes] for a in causes], bool) for causes in (splits, seeds)
    ]
    of_split, apart = same[0] & ~same[1], ~same[0] & ~same[1]
    if not of_split.any() or not apart.any():
        return None
    bias2, within = (float(products[pairs].mean()) for pairs in (apart, of_split))
    return Crossed(bias2, within - bias2, float(products.diagonal().mean()) - within)
