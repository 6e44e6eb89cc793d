"""The discrete loop in all replicas at once: frequencies of K categories, sampled again.

Where a regime takes whole blocks of rows, the counts of the categories are drawn instead of the
rows, which is exact; where it draws rows one by one, or a curator chooses among them, so does the
loop.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from lightning_collapse.chance import replica_generators, replica_keys
from lightning_collapse.curators import Curator, Offer
from lightning_collapse.seeds import bits_at, key
from lightning_collapse.theory import discrete as theory
from lightning_collapse.toys.blocks import TrainingSets, by_chance, counts, replaces_all
from lightning_collapse.toys.conditions import Condition
from lightning_collapse.toys.rows import refuse_beyond_memory, training_sets
from lightning_collapse.toys.spreads import counted, spread

__all__ = [
    "Course",
    "Law",
    "check_condition",
    "from_rows",
    "from_statistics",
    "predicted",
    "simulate",
    "summarise",
]

Array = NDArray[np.float64]
Sizes = Literal["fixed", "poisson"]


@dataclass(frozen=True)
class Law:
    """The categories that real rows come from, and how they are counted.

    Attributes:
        shares: of the categories (K,), which sum to 1.
        sizes: `fixed` for as many rows as the regime says; `poisson` for counts of categories that
            are Poisson with the mean that this many rows would have, as in Suresh et al. 2024.
    """

    shares: tuple[float, ...]
    sizes: Sizes = "fixed"


@dataclass(frozen=True)
class Course:
    """The fits of every round and replica (T, R)."""

    diversity: Array
    """1 - sum p^2, the chance that two draws differ; 0 where Poisson counts leave no row."""
    categories: Array
    """How many have rows."""
    sq_error: Array
    """Squared distance of p to the true shares."""
    n_real: Array
    """Real rows that the round trained on; for Poisson counts, those that were meant."""
    n_synthetic: Array
    """Synthetic rows, likewise; with a curator, those that it keeps."""

    @classmethod
    def empty(cls, rounds: int, replicas: int) -> "Course":
        """Gives a course to be filled by `record`."""
        return cls(*(np.full((rounds, replicas), np.nan) for _ in range(5)))

    def record(self, r: int, p: Array, law: Law) -> None:
        """Notes round r's fits (R, K)."""
        total = p.sum(1)
        same = np.square(p).sum(1) / np.where(total > 0, total, 1) ** 2
        self.diversity[r] = np.where(total > 0, 1 - same, 0)
        self.categories[r] = (p > 0).sum(1)
        self.sq_error[r] = np.square(p - np.array(law.shares)).sum(1)


def check_condition(
    condition: Condition, law: Law, rounds: int, replicas: int, curator: Curator | None = None
) -> None:
    """Raises ValueError where a condition cannot be run, or not in this machine's memory."""
    if curator is not None:
        if law.sizes == "poisson":
            raise ValueError("sizes = poisson: a curator chooses among rows; use sizes = fixed")
        most = condition.samples_per_round
        if most and (kept := curator.keeps(most)) < 2:
            raise ValueError(
                f"curator = {curator}: keeps {kept} of {most} samples; must keep at least 2"
            )
    if law.sizes == "poisson" and by_chance(condition.blocks):
        raise ValueError(
            f"sizes = poisson: {condition.name} draws rows one by one, of which there are as many "
            "as there are; use sizes = fixed"
        )
    refuse_beyond_memory("replicas", replicas, rounds, 8.0 * len(law.shares) * replicas)


def simulate(
    condition: Condition,
    rounds: int,
    replicas: int,
    law: Law,
    seed: int,
    curator: Curator | None = None,
) -> Course:
    """Runs a condition for `rounds` rounds, from round 0, in many replicas.

    Args:
        condition: the regime, and N.
        rounds: how many, at least 1.
        replicas: how many; each draws its own real rows, and depends on itself alone.
        law: what real rows come from.
        seed: keys everything, together with the replica's number.
        curator: weighs the samples that a round counts; it sees rows as unit vectors (n, K).
    """
    if curator is not None or by_chance(condition.blocks):
        return from_rows(condition, rounds, replicas, law, seed, curator)
    return from_statistics(condition, rounds, replicas, law, seed)


def from_statistics(
    condition: Condition, rounds: int, replicas: int, law: Law, seed: int
) -> Course:
    """Runs a regime without chance on the counts of pieces of rows."""
    blocks = condition.blocks[:rounds]
    sets: TrainingSets[NDArray[np.int64]] = TrainingSets(blocks)
    chances = replica_generators(seed, "discrete blocks", range(replicas))

    def draw(number: int) -> NDArray[np.int64]:
        born, size = sets.pieces[number]
        pairs = zip(chances, sources[born], strict=True)
        if law.sizes == "poisson":
            return np.stack([chance.poisson(size * own) for chance, own in pairs])
        return np.stack([chance.multinomial(size, own) for chance, own in pairs])

    course = Course.empty(rounds, replicas)
    # By birth stamp, what rows come from.
    sources = [np.tile(law.shares, (replicas, 1))]
    for r in range(rounds):
        course.n_real[r], course.n_synthetic[r] = known = counts(blocks[r])
        # Of as many rows as were meant, where counts are Poisson.
        sources.append(sets.of(r, draw) / sum(known))
        course.record(r, sources[-1], law)
    return course


def from_rows(
    condition: Condition,
    rounds: int,
    replicas: int,
    law: Law,
    seed: int,
    curator: Curator | None = None,
) -> Course:
    """Runs any regime on rows, for fixed sizes."""
    course, numbers = Course.empty(rounds, replicas), np.arange(replicas)
    keys = replica_keys(seed, "discrete rows", range(replicas))[:, None]
    # By birth stamp, the shares summed up, each replica's between its number and the next.
    sums = [_sums(np.tile(law.shares, (replicas, 1)))]
    K = len(law.shares)

    def make(positions: NDArray[np.int64], births: NDArray[np.int64]) -> NDArray[np.int64]:
        bits = bits_at(keys, positions.astype(np.uint64)) >> np.uint64(11)
        places = bits.astype(np.float64) * 2.0**-53 + numbers[:, None]
        found = np.empty(positions.shape, np.int64)
        for stamp in np.unique(births):
            at = births == stamp
            found[at] = np.searchsorted(sums[stamp], places[at], side="right")
        return np.asarray(np.minimum(found - K * numbers[:, None], K - 1))

    seeds = [key(seed, "discrete regime", i) for i in range(replicas)]
    positions = np.tile(np.arange(condition.n_real), (replicas, 1))
    real = make(positions, np.zeros_like(positions))
    for r, (rows, born) in enumerate(training_sets(condition, rounds, seeds, make)):
        weights = np.ones(rows.shape)
        if curator is not None and r:
            weights = _curated(curator, rows, born, real, K, [key(s, "curator", r) for s in seeds])
        flat = (rows + K * numbers[:, None]).ravel()
        sizes = np.bincount(flat, weights.ravel(), K * replicas).reshape(replicas, K)
        p = sizes / weights.sum(1, keepdims=True)
        sums.append(_sums(p))
        course.record(r, p, law)
        course.n_real[r] = (born == 0).sum(1)
        course.n_synthetic[r] = ((born > 0) & (weights > 0)).sum(1)
    return course


def _curated(
    curator: Curator,
    rows: NDArray[np.int64],
    born: NDArray[np.int64],
    real: NDArray[np.int64],
    K: int,
    seeds: Sequence[int],
) -> Array:
    """Weights (R, n) of rows by their categories (R, n): 1 of real ones, a curator's of others."""
    unit, weights = torch.eye(K), np.ones(rows.shape)
    for i, seed in enumerate(seeds):
        made = born[i] > 0
        if not made.any():
            continue
        samples, truths = (unit[torch.from_numpy(which)] for which in (rows[i, made], real[i]))
        weights[i, made] = curator.weights(Offer(samples, truths, int((~made).sum()), seed))
    return weights


def _sums(p: Array) -> Array:
    sums = np.cumsum(p, 1)
    return np.asarray((sums / sums[:, -1:] + np.arange(len(p))[:, None]).ravel())


def predicted(condition: Condition, rounds: int, law: Law) -> dict[str, Array]:
    """Gives theory's lists over the rounds without a curator, named as the simulated ones."""
    p, lists = np.array(law.shares), {}
    diversity = float(1 - np.square(p).sum())
    if law.sizes == "fixed":
        given = condition.n_real, condition.samples_per_round, rounds, diversity
        known = condition.regime.gaussian_theory(*given)
        if known is not None:
            lists = {"diversity_mean": known, "sq_error_mean": diversity - known}
    elif replaces_all(condition.blocks[:rounds]):
        lists["categories_mean"] = theory.poisson_survival(rounds, condition.n * p).sum(1)
    return lists


def summarise(
    condition: Condition, course: Course, law: Law, curator: Curator | None = None
) -> dict[str, Any]:
    """Gives a condition of `summary.json`: plain values, and lists over the rounds.

    Each list comes as the mean over replicas, its standard error, and 5 and 95 % quantiles.
    """
    rounds, replicas = course.diversity.shape
    lists = counted(course)
    for name in ("diversity", "categories", "sq_error"):
        lists |= spread(name, getattr(course, name))
    return {
        "regime": condition.name,
        "lambda": condition.fraction,
        "n": condition.n,
        "categories": len(law.shares),
        "sizes": law.sizes,
        "samples_per_round": condition.samples_per_round,
        "replicas": replicas,
        **lists,
        "curator": None if curator is None else repr(curator),
        "theory": {} if curator is not None else predicted(condition, rounds, law),
    }
