"""Kernel density estimates in a loop: rows drawn from a Gaussian kernel on each row before them.

A sample is a row of the last training set, and h times a unit normal number on each axis. The
second moment about the true mean thus grows by h^2 a generation, and is followed exactly for every
regime. Source: Khelifa et al. 2026 (2602.16601), where real rows are a share α of each round.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightning_collapse.chance import replica_generators
from lightning_collapse.regimes import Block, Drawn, Kept
from lightning_collapse.seeds import key
from lightning_collapse.toys.conditions import Condition
from lightning_collapse.toys.rows import refuse_beyond_memory, training_sets
from lightning_collapse.toys.spreads import counted, spread

__all__ = ["Course", "Modes", "check_memory", "predicted", "simulate", "summarise"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Modes:
    """An equal mixture of K spherical Gaussians in d dimensions, mode k at `distance` on axis k.

    Attributes:
        dim: d, at least K.
        modes: K.
        distance: of every mode from the origin.
        std: σ, of every mode along every axis.
    """

    dim: int = 10
    modes: int = 5
    distance: float = 5.65
    std: float = 0.6

    @property
    def means(self) -> Array:
        """Of the modes (K, d)."""
        return self.distance * np.eye(self.modes, self.dim)

    @property
    def variance(self) -> float:
        """Of the mixture, averaged over the axes."""
        between = float(self.means.var(0).sum())
        return between / self.dim + self.std**2

    def draw(self, n: int, chance: np.random.Generator) -> Array:
        """Draws n rows (d, n)."""
        modes = chance.integers(self.modes, size=n)
        return np.asarray(self.means[modes].T + self.std * chance.standard_normal((self.dim, n)))


@dataclass(frozen=True)
class Course:
    """The fits of every round and replica (T, R), averaged over the axes."""

    second_moment: Array
    """Of the fit about the true mean."""
    variance: Array
    """Of the fit about its own mean."""
    n_real: Array
    """Real rows that the round trained on."""
    n_synthetic: Array
    """Synthetic rows, likewise."""


def check_memory(condition: Condition, rounds: int, replicas: int, modes: Modes) -> None:
    """Raises ValueError where all rows that are made need more memory than the machine has."""
    rows = condition.samples_per_round + condition.n_real / rounds
    refuse_beyond_memory("replicas", replicas, rounds, 8 * rows * modes.dim * replicas)


def simulate(
    condition: Condition,
    rounds: int,
    replicas: int,
    modes: Modes,
    bandwidth: float,
    seed: int,
) -> Course:
    """Runs a condition for `rounds` rounds, from round 0, in many replicas.

    Args:
        condition: the regime, and N.
        rounds: how many, at least 1.
        replicas: how many; each draws its own real rows, and depends on itself alone.
        modes: what real rows come from.
        bandwidth: h, the kernel's standard deviation.
        seed: keys everything, together with the replica's number.
    """
    chances = replica_generators(seed, "kde rows", range(replicas))
    seeds = [key(seed, "kde regime", i) for i in range(replicas)]
    first, more = condition.n_real, condition.samples_per_round
    pool = np.empty((replicas, modes.dim, first + (rounds - 1) * more))
    for i, chance in enumerate(chances):
        pool[i, :, :first] = modes.draw(first, chance)
    course = Course(*(np.empty((rounds, replicas)) for _ in range(4)))
    centre = modes.means.mean(0)[:, None]

    def make(positions: NDArray[np.int64], births: NDArray[np.int64]) -> Array:
        return np.take_along_axis(pool, positions[:, None], -1)

    for r, (rows, born) in enumerate(training_sets(condition, rounds, seeds, make)):
        course.second_moment[r] = np.square(rows - centre).mean((1, 2)) + bandwidth**2
        course.variance[r] = rows.var(2).mean(1) + bandwidth**2
        course.n_real[r] = (born == 0).sum(1)
        course.n_synthetic[r] = born.shape[1] - course.n_real[r]
        if r + 1 < rounds:
            made = slice(first + r * more, first + (r + 1) * more)
            for i, chance in enumerate(chances):
                kernels = chance.integers(rows.shape[2], size=more)
                noise = bandwidth * chance.standard_normal((modes.dim, more))
                pool[i, :, made] = rows[i][:, kernels] + noise
    return course


def predicted(condition: Condition, rounds: int, modes: Modes, bandwidth: float) -> Array:
    """Gives E of the second moment about the true mean (T,) of fits 1 … T, for any regime.

    A fit's is h^2 and the mean of its rows', and a sample's that of the fit it comes from: with a
    share α of new real rows, σ^2 + h^2 (1 - (1 - α)^t)/α at fit t.
    """
    born = [modes.variance]
    moments, kept = [], 0.0
    for blocks in condition.blocks[:rounds]:
        sizes = [len(block) for block in blocks]
        kept = float(np.average(list(_moments(blocks, born, kept, condition)), weights=sizes))
        moments.append(kept + bandwidth**2)
        born.append(moments[-1])
    return np.array(moments)


def _moments(
    blocks: Sequence[Block], born: Sequence[float], before: float, condition: Condition
) -> Iterator[float]:
    """The mean second moment of each block's rows, `before` being that of the last rows."""
    sizes = [condition.n_real] + [condition.samples_per_round] * (len(born) - 1)
    for block in blocks:
        if isinstance(block, Kept):
            yield before
            continue
        stamps = slice(block.born.start, block.born.stop)
        # Drawn rows are of a stamp as often as it has rows; the same positions, equally often.
        weights = sizes[stamps] if isinstance(block, Drawn) else None
        yield float(np.average(born[stamps], weights=weights))


def summarise(
    condition: Condition, course: Course, modes: Modes, bandwidth: float
) -> dict[str, Any]:
    """Gives a condition of `summary.json`: plain values, and lists over the rounds.

    `drift` is by how much of the true variance the second moment is above it.
    """
    rounds, replicas = course.variance.shape
    lists = counted(course)
    for name in ("second_moment", "variance"):
        lists |= spread(name, getattr(course, name))
    lists |= spread("drift", course.second_moment / modes.variance - 1)
    expected = predicted(condition, rounds, modes, bandwidth)
    return {
        "regime": condition.name,
        "lambda": condition.fraction,
        "n": condition.n,
        "dim": modes.dim,
        "modes": modes.modes,
        "std": modes.std,
        "bandwidth": bandwidth,
        "true_variance": modes.variance,
        "samples_per_round": condition.samples_per_round,
        "replicas": replicas,
        **lists,
        "theory": {
            "second_moment_mean": expected,
            "drift_mean": expected / modes.variance - 1,
        },
    }
