"""The Gaussian loop where rounds keep rows by chance: how many of each age, and no row itself.

Who is kept depends on no value. So it is drawn first, for all rounds: rows that come together and
leave together are a piece, of which only mean and scatter matter. These are drawn as they are
where no chance is involved, and the law is exact.
"""

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightning_collapse.chance import replica_generators, wishart_factors
from lightning_collapse.regimes import Fixed, Kept
from lightning_collapse.seeds import key
from lightning_collapse.subsets import choose
from lightning_collapse.toys.blocks import Blocks
from lightning_collapse.toys.conditions import Condition
from lightning_collapse.toys.gaussian_fits import Course, Fit, Truth

__all__ = ["from_survivors", "only_keeps", "pieces_a_round"]

Array = NDArray[np.float64]
Counts = NDArray[np.integer[Any]]

# Where fewer leave, rows live so long that they cost less one by one.
_LEAST_LEAVING = 0.05


def only_keeps(blocks: Blocks) -> bool:
    """Tells whether rounds train on some rows of the round before, by chance, and on new ones.

    At least a twentieth of the rows must leave in every round.
    """
    before = 0
    for r, now in enumerate(blocks):
        kept = _kept(now)
        others = [block for block in now if len(block) and not isinstance(block, Kept)]
        if not all(isinstance(block, Fixed) and block.born == range(r, r + 1) for block in others):
            return False
        if before - kept < _LEAST_LEAVING * before:
            return False
        before = kept + sum(map(len, others))
    return True


def pieces_a_round(blocks: Blocks) -> float:
    """About how many pieces a round's new rows become, where rounds `only_keeps`.

    Of n rows of which a share p leaves a round, the last leaves after (1 + log n) / p or so.
    """
    most = 1.0
    for before, now in itertools.pairwise(blocks):
        n, kept = sum(map(len, before)), _kept(now)
        new = max(1, sum(map(len, now)) - kept)
        most = max(most, min(new, (1 + math.log(new)) * n / max(1, n - kept)))
    return most


def from_survivors(
    condition: Condition, rounds: int, replicas: range, truth: Truth, seed: int
) -> Course:
    """Runs replicas of a regime that `only_keeps`, on the means and scatters of pieces of rows."""
    blocks = condition.blocks[:rounds]
    pieces = _Pieces(blocks, [key(seed, "gaussian survivors", i) for i in replicas])
    means, factors = _units(pieces, replicas, truth.dim, seed)
    course = Course.empty(rounds, len(replicas))
    sums = _Sums(rounds, len(replicas), truth.dim)
    fit = Fit.of_truth(truth, len(replicas))
    for r in range(rounds):
        before, now = fit, pieces.born_in(r)
        replica, n = pieces.replicas_of(r), pieces.size[now].astype(float)
        root = fit.root[replica]
        half = root @ factors[now]
        mean = fit.mean[replica] + (root @ means[now, :, None])[..., 0] / np.sqrt(n)[:, None]
        sums.add((pieces.left[now], replica), n, mean, half @ half.transpose(0, 2, 1))
        fit = sums.between(r + 1, r + 1 + pieces.longest)
        course.record(r, fit, before, truth)
    course.n_real[:] = pieces.real_rows()
    course.n_synthetic[:] = np.array([sum(map(len, now)) for now in blocks])[:, None]
    course.n_synthetic[:] -= course.n_real
    return course


def _kept(now: Sequence[Any]) -> int:
    return sum(len(block) for block in now if isinstance(block, Kept))


class _Sums:
    """What all rows come to that leave at the same time, by time and replica.

    One replica more than there are, and empty: sums over the first axis then run in order however
    many replicas and times there are, and have the same bits.
    """

    def __init__(self, rounds: int, replicas: int, dim: int) -> None:
        shape = (rounds + 1, replicas + 1)
        self._size, self._mean = np.zeros(shape), np.zeros((*shape, dim))
        self._scatter = np.zeros((*shape, dim, dim))

    def add(self, at: tuple[Counts, Counts], n: Array, mean: Array, scatter: Array) -> None:
        """Adds n rows (k,) of mean (k, d) and scatter (k, d, d) at k places, no two the same.

        Source: Chan, Golub & LeVeque 1983.
        """
        before = self._size[at]
        total, delta = before + n, mean - self._mean[at]
        weight = before * n / total
        self._scatter[at] += scatter + weight[:, None, None] * _outer(delta)
        self._mean[at] += (n / total)[:, None] * delta
        self._size[at] = total

    def between(self, start: int, stop: int) -> Fit:
        """Gives what the rows come to that leave from one time on, before another."""
        size, means = self._size[start:stop], self._mean[start:stop]
        # As many in every replica.
        n = int(size[:, 0].sum())
        mean = (size[..., None] * means).sum(0) / n
        scatter = self._scatter[start:stop] + size[..., None, None] * _outer(means - mean)
        return Fit(n, mean[:-1], scatter.sum(0)[:-1])


def _outer(x: Array) -> Array:
    return np.asarray(x[..., :, None] * x[..., None, :])


class _Pieces:
    """Rows that come and leave together, by replica, then by when they come and leave."""

    def __init__(self, blocks: Blocks, seeds: Sequence[int]) -> None:
        """Draws who is kept in every round."""
        replicas, rounds, most = len(seeds), len(blocks), max(sum(map(len, now)) for now in blocks)
        # The birth stamps of a round's rows (R, n), in no order.
        born: Counts = np.empty((replicas, 0), np.int64)
        found = []
        for r in range(rounds + 1):
            now = blocks[r] if r < rounds else ()
            born, gone = _round(born, _kept(now), sum(map(len, now)), seeds, r)
            replica, age = np.nonzero(gone)
            place = (replica * rounds + r - 1 - age) * (rounds + 1) + r
            found.append(place * (most + 1) + gone[replica, age])
        packed = np.concatenate(found)
        packed.sort()
        # Halves of the memory: there are millions.
        self.size = (packed % (most + 1)).astype(np.int32)
        packed //= most + 1
        self.left = (packed % (rounds + 1)).astype(np.int32)
        packed //= rounds + 1
        self._counts = np.bincount(packed, minlength=replicas * rounds).reshape(replicas, rounds)
        packed %= rounds
        self.longest = int((self.left - packed).max())
        self._ends = self._counts.cumsum().reshape(replicas, rounds)

    def born_in(self, r: int) -> Counts:
        """The places of the pieces that come in round r, of all replicas."""
        counts = self._counts[:, r]
        return np.repeat(self._ends[:, r] - counts.cumsum(), counts) + np.arange(counts.sum())

    def replicas_of(self, r: int) -> Counts:
        """The replicas of the pieces that come in round r."""
        return np.repeat(np.arange(len(self._counts)), self._counts[:, r])

    def of(self, replica: int) -> slice:
        """The places of one replica's pieces."""
        first = self._ends[replica, 0] - self._counts[replica, 0]
        return slice(int(first), int(self._ends[replica, -1]))

    def real_rows(self) -> Counts:
        """Counts the real rows of every round (T, R)."""
        real, (replicas, rounds) = self.born_in(0), self._counts.shape
        left = np.zeros((rounds + 1, replicas), np.int64)
        left[self.left[real], self.replicas_of(0)] = self.size[real]
        return np.asarray(left.sum(0) - left.cumsum(0)[:-1])


def _round(born: Counts, kept: int, n: int, seeds: Sequence[int], r: int) -> tuple[Counts, Counts]:
    """Gives the birth stamps of round r's rows, and how many of each age leave (R, ages)."""
    before = born.shape[1]
    leaving, new = before - kept, np.broadcast_to(np.int64(r), (len(born), n - kept))
    # The fewer are drawn, those who stay or those who leave.
    fewer = choose(before, min(kept, leaving), seeds, "survivors", r)
    if kept <= leaving:
        rest = np.take_along_axis(born, fewer, 1)
        gone = _by_age(born, r)
        stay = _by_age(rest, r)
        gone[:, : stay.shape[1]] -= stay
        return np.concatenate([rest, new], 1), gone
    gone = _by_age(np.take_along_axis(born, fewer, 1), r)
    if n == before:
        np.put_along_axis(born, fewer, r, 1)
        return born, gone
    staying = np.ones(born.shape, bool)
    np.put_along_axis(staying, fewer, False, 1)
    return np.concatenate([born[staying].reshape(-1, kept), new], 1), gone


def _by_age(born: Counts, r: int) -> Counts:
    """Counts rows (R, n) by their age at round r (R, ages); the youngest are of age 0."""
    ages = r - 1 - born
    width = int(ages.max(initial=-1)) + 1
    ages += width * np.arange(len(born))[:, None]
    return np.bincount(ages.ravel(), minlength=len(born) * width).reshape(len(born), width)


def _units(pieces: _Pieces, replicas: range, dim: int, seed: int) -> tuple[Array, Array]:
    """Draws means and roots of scatters of pieces of rows of N(0, I); each replica's alone."""
    means = np.empty((len(pieces.size), dim))
    factors = np.empty((*means.shape, dim))
    for i, chance in enumerate(replica_generators(seed, "gaussian survivors", replicas)):
        own = pieces.of(i)
        freedom = pieces.size[own, None] - 1 - np.arange(dim)
        means[own] = chance.standard_normal((len(freedom), dim))
        factors[own] = wishart_factors(freedom, chance)
    return means, factors
