"""What the Gaussian loop fits: the truth, a fit, and the course of all fits.

Truth is N(mean, variance · I) in d dimensions. Fits divide by the number of rows, and may be
singular.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

__all__ = ["Course", "Fit", "Truth"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Truth:
    """The distribution that real rows come from: N(mean, variance · I)."""

    mean: float = 5.0
    variance: float = 2.0
    dim: int = 1


@dataclass(frozen=True)
class Fit:
    """What n rows come to: n, mean (R, d), scatter about the mean (R, d, d)."""

    n: int
    mean: Array
    scatter: Array

    @classmethod
    def of_truth(cls, truth: Truth, replicas: int) -> "Fit":
        """Gives the truth as the fit of every replica."""
        covariance = truth.variance * np.eye(truth.dim)
        mean = np.full((replicas, truth.dim), truth.mean)
        return cls(1, mean, np.broadcast_to(covariance, (replicas, truth.dim, truth.dim)))

    @classmethod
    def of_rows(cls, rows: Array) -> "Fit":
        """Gives what rows (R, d, n) come to."""
        mean = rows.mean(-1)
        centred = rows - mean[..., None]
        return cls(rows.shape[-1], mean, centred @ centred.transpose(0, 2, 1))

    @cached_property
    def covariance(self) -> Array:
        return self.scatter / self.n

    @cached_property
    def root(self) -> Array:
        """A root of each covariance (R, d, d)."""
        covariance = self.covariance
        if covariance.shape[-1] == 1:
            return np.sqrt(covariance)
        values, vectors = np.linalg.eigh(covariance)
        return np.asarray(vectors * np.sqrt(np.maximum(values, 0))[:, None, :])

    @property
    def log_determinant(self) -> Array:
        """Of each covariance (R,); -inf where it is singular."""
        covariance = self.covariance
        dim = covariance.shape[-1]
        values = np.linalg.eigvalsh(covariance) if dim > 1 else covariance[..., 0]
        if dim > 1:
            # Of a singular matrix, rounding leaves this much.
            values = np.where(values > dim * np.finfo(float).eps * values[:, -1:], values, 0)
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(values).sum(-1))

    def __add__(self, other: "Fit") -> "Fit":
        """Gives what the rows of both come to."""
        if self.n == 0 or other.n == 0:
            return self if other.n == 0 else other
        n = self.n + other.n
        apart = other.mean - self.mean
        between = (self.n * other.n / n) * apart[:, :, None] * apart[:, None, :]
        mean = self.mean + (other.n / n) * apart
        return Fit(n, mean, self.scatter + other.scatter + between)


@dataclass(frozen=True)
class Course:
    """The fits of every round and replica (T, R), averaged over dimensions."""

    mean: Array
    variance: Array
    """Trace of the covariance over d."""
    log_variance: Array
    """Logarithm of its determinant over d; -inf where it is singular."""
    mean_sq_error: Array
    """Squared distance of the mean to the truth's, over d."""
    mean_sq_increment: Array
    """Squared distance of the mean to that of the round before, over d; NaN in round 0."""
    n_real: Array
    """Real rows that the round trained on."""
    n_synthetic: Array
    """Synthetic rows, likewise."""
    final: Array
    """Mean and variance of the first dimension in the last round (2, R)."""

    @classmethod
    def empty(cls, rounds: int, replicas: int) -> "Course":
        """Gives a course to be filled by `record`."""
        course = {
            field.name: np.full((rounds, replicas), np.nan)
            for field in fields(cls)
            if field.name != "final"
        }
        return cls(**course, final=np.empty((2, replicas)))

    @classmethod
    def join(cls, courses: Sequence["Course"]) -> "Course":
        """Gives the course of all replicas, from those of some."""
        names = [field.name for field in fields(cls)]
        return cls(*(np.concatenate([getattr(c, name) for c in courses], -1) for name in names))

    def record(self, r: int, fit: Fit, before: Fit, truth: Truth) -> None:
        """Writes down the fits of round r, and of how far they are from the round before."""
        self.mean[r] = fit.mean.mean(-1)
        self.variance[r] = np.trace(fit.covariance, axis1=1, axis2=2) / truth.dim
        self.log_variance[r] = fit.log_determinant / truth.dim
        self.mean_sq_error[r] = np.square(fit.mean - truth.mean).mean(-1)
        if r > 0:
            self.mean_sq_increment[r] = np.square(fit.mean - before.mean).mean(-1)
        self.final[:] = fit.mean[:, 0], fit.covariance[:, 0, 0]
