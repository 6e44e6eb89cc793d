"""A run's sets of rows in its feature space: real training rows, held-out rows, and every round.

All sets are of one size, the largest that there is of each: a Fréchet distance depends on it.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lightning_collapse.metrics.features import Features, features_of
from lightning_collapse.metrics.frechet import FrechetReference
from lightning_collapse.metrics.statistics import Statistics
from lightning_collapse.rows import Rows
from lightning_collapse.runs.layout import Run
from lightning_collapse.runs.records import distance_name
from lightning_collapse.runs.split import recorded_split
from lightning_collapse.sampling.choice import same_latents

__all__ = ["Sets", "feature_space", "featured", "read_sets"]

Array = NDArray[np.float64]

_MOST_ROWS = 5_000
_MOST_FEATURES = 4_096
_BLOCK = 512


@dataclass(frozen=True)
class Sets:
    """Mean and covariance of every set, n rows each.

    Attributes:
        names: `real`, `held out`, `round 0`, …
        statistics: in their order.
        n: rows of each set.
        same_latents: whether the samples of all rounds come from the same noise.
    """

    names: list[str]
    statistics: list[Statistics]
    n: int
    same_latents: bool = False

    def distances(self) -> Array:
        """Gives squared Fréchet distances (S, S) between all S sets, each biased alike upward."""
        sets = len(self.names)
        distances = np.zeros((sets, sets))
        for i, one in enumerate(self.statistics):
            reference = FrechetReference(one.mu, one.sigma)
            for j, other in enumerate(self.statistics[i + 1 :], i + 1):
                distances[i, j] = distances[j, i] = reference.distance(other.mu, other.sigma)
        return distances

    def steps(self) -> Array:
        """Gives squared steps of the mean (K - 1,) from round to round, unbiased for any n.

        The mean of n rows is off by tr Σ / n in the mean square: that of both rounds is taken
        off, so that a step may come out below 0. Rounds share no noise.
        """
        rounds = self.statistics[2:]
        noise = np.array([float(part.sigma.trace()) / self.n for part in rounds])
        steps = [float((new.mu - old.mu).square().sum()) for old, new in pairwise(rounds)]
        return np.asarray(np.array(steps) - noise[:-1] - noise[1:])


def read_sets(run: Run) -> Sets:
    """Reads real rows and the samples of every finished round.

    Raises:
        OSError: rows, or the weights of Inception, are missing or damaged.
        ValueError: the feature space is one of the user's own, or has too many features.
    """
    if not run.pool.is_dir():
        raise FileNotFoundError("the records alone were kept; needs the runs' samples")
    features, records = feature_space(run), run.records
    _, train, held_out = recorded_split(run, records[0])
    samples = [run.samples(r) for r in range(len(records))]
    n = min(_MOST_ROWS, len(train), len(held_out), *map(len, samples))
    sets: list[tuple[str, Rows]] = [("real", train), ("held out", held_out)]
    sets += [(f"round {r}", rows) for r, rows in enumerate(samples)]
    return Sets(
        [name for name, _ in sets],
        [Statistics.of(featured(rows, features, n)) for _, rows in sets],
        n,
        any(same_latents(rows.recipe) for rows in samples),
    )


def feature_space(run: Run) -> Features:
    """Gives the feature space of a run's Fréchet distance.

    Raises:
        ValueError: it is one of the user's own.
    """
    features = features_of(name := distance_name(run.records[0]))
    if features is None:
        raise ValueError(f"{run}: its {name} is of a feature space of its user's own")
    return features


def featured(rows: Rows, features: Features, n: int, most: float = _MOST_FEATURES) -> Tensor:
    """Gives the features (n, d) of the first n rows.

    Raises:
        ValueError: there are more than `most` features.
    """
    blocks = []
    for some in torch.split(torch.arange(n), _BLOCK):
        blocks.append(features(rows[some]))
        if (dim := blocks[0].shape[1]) > most:
            raise ValueError(f"{features.name}: has {dim:,} features; at most {most:,} are taken")
    return torch.cat(blocks)
