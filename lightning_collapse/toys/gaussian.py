"""The Gaussian loop in all replicas at once: fit by maximum likelihood, sample, fit again.

Where a regime takes whole blocks of rows, their means and scatters are drawn instead of the rows,
which is exact: the mean of n rows of N(m, C) is N(m, C/n), and their scatter is C's Wishart with
n - 1 degrees of freedom, independent of the mean. Where rows are kept by chance (`Turnover`), how
many of each age is drawn first (`survivors`). Where older ones may come back
(`AccumulateSubsample`), the loop draws rows one by one.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import fields

import numpy as np
from numpy.typing import NDArray

from lightning_collapse.chance import (
    normal_at,
    replica_generators,
    replica_keys,
    wishart_factors,
)
from lightning_collapse.seeds import bits_at, key
from lightning_collapse.toys.blocks import Piece, TrainingSets, by_chance, counts
from lightning_collapse.toys.conditions import Condition
from lightning_collapse.toys.gaussian_fits import Course, Fit, Truth
from lightning_collapse.toys.rows import refuse_beyond_memory, training_sets
from lightning_collapse.toys.survivors import from_survivors, only_keeps, pieces_a_round

__all__ = ["check_course", "check_memory", "from_rows", "from_statistics", "simulate"]

Array = NDArray[np.float64]

# Rows at once fit a processor's cache; draws at once are 128 MiB.
_ROWS_AT_ONCE = 2**16
_DRAWS_AT_ONCE = 2**24


def simulate(
    condition: Condition,
    rounds: int,
    replicas: int,
    *,
    truth: Truth,
    seed: int,
    at_once: int | None = None,
) -> Course:
    """Runs a condition for `rounds` rounds, from round 0, in many replicas.

    Args:
        condition: the regime, and N.
        rounds: how many, at least 1.
        replicas: how many; each draws its own real rows.
        truth: what real rows come from.
        seed: keys everything, together with the replica's number; not λ, so that conditions are
            compared on the same chance.
        at_once: replicas computed together, which changes nothing in the result; None takes what
            suits memory.
    """
    run = _engine(condition, rounds, truth.dim)
    if at_once is None and run is from_rows:
        at_once = max(1, _ROWS_AT_ONCE // (condition.n * truth.dim))
    elif at_once is None:
        pieces = 2 if run is from_statistics else pieces_a_round(condition.blocks)
        at_once = max(1, int(_DRAWS_AT_ONCE / (pieces * rounds * truth.dim * (truth.dim + 1))))
    # Of one size, as small groups take as long.
    at_once = math.ceil(replicas / math.ceil(replicas / at_once))
    groups = [range(i, min(i + at_once, replicas)) for i in range(0, replicas, at_once)]
    return Course.join([run(condition, rounds, group, truth, seed) for group in groups])


def _engine(condition: Condition, rounds: int, dim: int) -> Callable[..., Course]:
    if not by_chance(condition.blocks):
        return from_statistics
    if not only_keeps(condition.blocks):
        return from_rows
    # What is drawn for all rounds must be held; rows are not.
    draws = pieces_a_round(condition.blocks) * rounds * dim * (dim + 1)
    return from_survivors if draws <= _DRAWS_AT_ONCE else from_rows


def check_course(rounds: int, replicas: int) -> None:
    """Raises ValueError where the results alone need more memory than the machine has."""
    # All fields of the course, and as much again while the groups' courses are joined.
    refuse_beyond_memory("replicas", replicas, rounds, 2 * 8 * len(fields(Course)) * replicas)


def check_memory(condition: Condition, rounds: int, dim: int) -> None:
    """Raises ValueError where one replica needs more memory than the machine has."""
    # At the least: its rows, with what they are made from; or what is drawn for it.
    if by_chance(condition.blocks):
        rows = condition.n * dim * (dim + 8) / rounds
        refuse_beyond_memory("n", condition.n, rounds, 8 * (rows + dim * (dim + 1)))
    else:
        refuse_beyond_memory("dim", dim, rounds, 2 * 8 * 2 * dim * (dim + 1))


def from_statistics(
    condition: Condition, rounds: int, replicas: range, truth: Truth, seed: int
) -> Course:
    """Runs replicas of a regime without chance on the means and scatters of pieces of rows.

    A round costs the same however many rows it trains on.
    """
    blocks = condition.blocks[:rounds]
    sets: TrainingSets[Fit] = TrainingSets(blocks)
    means, factors = _units(sets.pieces, replicas, truth.dim, seed)

    def draw(number: int) -> Fit:
        born, n = sets.pieces[number]
        root = sources[born].root
        mean = sources[born].mean + (root @ means[number, :, :, None])[..., 0] / n**0.5
        half = root @ factors[number]
        return Fit(n, mean, half @ half.transpose(0, 2, 1))

    course = Course.empty(rounds, len(replicas))
    # By birth stamp, what rows come from.
    sources = [before := Fit.of_truth(truth, len(replicas))]
    for r in range(rounds):
        fit = sets.of(r, draw)
        course.record(r, fit, before, truth)
        sources.append(before := fit)
    real, synthetic = np.array([counts(now) for now in blocks]).T
    course.n_real[:], course.n_synthetic[:] = real[:, None], synthetic[:, None]
    return course


def _units(pieces: Sequence[Piece], replicas: range, dim: int, seed: int) -> tuple[Array, Array]:
    """Draws means and roots of scatters of pieces of rows of N(0, I); each replica's alone."""
    means = np.empty((len(pieces), len(replicas), dim))
    factors = np.empty((*means.shape, dim))
    freedom = np.array([piece.size for piece in pieces])[:, None] - 1 - np.arange(dim)
    for i, chance in enumerate(replica_generators(seed, "gaussian blocks", replicas)):
        means[:, i] = chance.standard_normal((len(pieces), dim))
        factors[:, i] = wishart_factors(freedom, chance)
    return means, factors


def from_rows(
    condition: Condition, rounds: int, replicas: range, truth: Truth, seed: int
) -> Course:
    """Runs replicas of any regime on rows."""
    course = Course.empty(rounds, len(replicas))
    sources = _Sources(rounds, replicas, truth, seed)
    sources.add(0, fit := Fit.of_truth(truth, len(replicas)))
    seeds = [key(seed, "gaussian regime", i) for i in replicas]
    for r, (rows, born) in enumerate(training_sets(condition, rounds, seeds, sources.rows)):
        before, fit = fit, Fit.of_rows(rows)
        course.record(r, fit, before, truth)
        course.n_real[r] = (born == 0).sum(1)
        course.n_synthetic[r] = born.shape[1] - course.n_real[r]
        if r + 1 < rounds:
            sources.add(r + 1, fit)
    return course


class _Sources:
    """Where rows come from, by their birth stamp: the truth, then the fit of each round."""

    def __init__(self, rounds: int, replicas: range, truth: Truth, seed: int) -> None:
        keys, axes = replica_keys(seed, "gaussian rows", replicas), np.arange(truth.dim)
        self._keys = bits_at(keys[:, None], axes.astype(np.uint64))[..., None]
        # Mean and root side by side, a replica's all together: rows mostly come in order of birth.
        self._laws = np.empty((len(replicas), rounds, truth.dim, 1 + truth.dim))

    def add(self, stamp: int, fit: Fit) -> None:
        """Notes what rows with a birth stamp come from."""
        self._laws[:, stamp, :, 0] = fit.mean
        self._laws[:, stamp, :, 1:] = fit.root

    def rows(self, positions: NDArray[np.int64], births: NDArray[np.int64]) -> Array:
        """Gives rows (R, d, n) at positions (R, n)."""
        count, rounds, dim = self._laws.shape[:3]
        unit = normal_at(self._keys, positions[:, None])
        if births.size and births.min() == births.max():
            law = self._laws[:, births[0, 0]]
            return np.asarray(law[..., :1] + law[..., 1:] @ unit)
        places = births + rounds * np.arange(count)[:, None]
        laws = self._laws.reshape(-1, dim, 1 + dim).take(places, 0)
        return np.asarray(laws[..., 0].transpose(0, 2, 1) + _apply(laws[..., 1:], unit))


def _apply(roots: Array, unit: Array) -> Array:
    """Multiplies unit rows (R, d, n) by a root each, (R, n, d, d)."""
    if unit.shape[1] == 1:
        return np.asarray(roots[..., 0].transpose(0, 2, 1) * unit)
    return np.asarray(np.einsum("rnij,rjn->rin", roots, unit))
