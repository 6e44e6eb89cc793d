"""Diffusion beside the mixture fitted to the same points: both loops, measured alike.

Diffusion is either learned or exact. One replica is learned by the same Lightning loop as for
images (`commands.toy_diffusion` runs it), several together, with the same numbers but for rounding
(`toys.stacked`). Exact, a mixture is fitted and then sampled by a diffusion sampler with that
mixture's own denoiser: what it does beyond the mixture loop is the sampler's doing.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from lightning_collapse.data.sources.points import Mixture
from lightning_collapse.learners.learner import GaussianMixtureEM, Learner
from lightning_collapse.learners.mixtures import refit
from lightning_collapse.networks.mlp import SigmaMLP
from lightning_collapse.pool import Pool
from lightning_collapse.sampling.choice import Sampling
from lightning_collapse.sampling.oracles import mixture_denoiser
from lightning_collapse.seeds import key
from lightning_collapse.toys.conditions import Condition
from lightning_collapse.toys.generations import generations
from lightning_collapse.toys.gmm import Meter, Protocol
from lightning_collapse.toys.measured import over_replicas, over_rounds
from lightning_collapse.toys.stacked import Replicas
from lightning_collapse.toys.training import Training

__all__ = [
    "MICRO_BATCH",
    "SCALE",
    "ExactDiffusion",
    "Learned",
    "Route",
    "join",
    "loop_samples",
    "measure",
    "points",
    "samples_made",
    "trained_together",
]

Array = NDArray[np.float64]

SCALE = 8.0
"""Points of `toy gmm` per network unit: networks see them divided by this."""
MICRO_BATCH = 1000
"""Samples that a learned diffusion makes at a time."""


@dataclass(frozen=True)
class Learned:
    """The network of learned diffusion, and how much it is trained in a round."""

    images_per_round: int
    batch_size: int
    width: int
    depth: int


@dataclass(frozen=True, eq=False)
class Route:
    """One way of modelling, at one condition, in R replicas."""

    name: str
    condition: Condition
    statistics: dict[str, Array]
    """Name -> (R, rounds); see `toys.gmm.Meter`, for a mixture fitted to the round's samples."""
    samples: Sequence[Array]
    """Samples (n, 2) of the first replica in every round, in the units of `toy gmm`."""


class ExactDiffusion:
    """A learner's mixture, sampled by a diffusion sampler with the mixture's own denoiser."""

    def __init__(self, learner: GaussianMixtureEM, sampling: Sampling) -> None:
        """Takes the learner that fits, and a sampler without churn."""
        self._learner, self._sampling = learner, sampling

    def fit(self, rows: Tensor) -> None:
        """Fits rows (n, d), in network units."""
        self._learner.fit(rows)

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Draws rows (n, d) through the sampler."""
        fit = self._learner.mixture
        parameters = [torch.from_numpy(p[0]) for p in (fit.means, fit.covariances, fit.weights)]
        noise = torch.randn(n, fit.means.shape[-1], dtype=torch.float64, generator=generator)
        return self._sampling(mixture_denoiser(*parameters), noise)


def points(condition: Condition) -> Mixture:
    """Gives the source of a condition's real rows, and of N held-out ones, in network units."""
    return Mixture(condition.n_real + condition.n)


def samples_made(condition: Condition) -> int:
    """Gives how many samples a round makes: N to be measured, unless the regime takes all."""
    least = 0 if condition.takes_all else condition.n
    return max(least, condition.samples_per_round)


def loop_samples(
    learner: Learner, real: Tensor, condition: Condition, rounds: int, seed: int
) -> list[Tensor]:
    """Runs a learner's loop on real rows (N, d), and gives the samples (n, d) of every round."""
    pool = Pool(real.double(), seed)
    loop = generations(
        learner,
        pool,
        condition.regime,
        rounds=rounds,
        samples_per_round=samples_made(condition),
        seed=seed,
    )
    for _ in loop:
        pass
    ends = np.cumsum(pool.sizes)
    return [pool[torch.arange(a, b)] for a, b in zip(ends, ends[1:], strict=False)]


def trained_together(
    condition: Condition, learned: Learned, sampling: Sampling, rounds: int, seeds: Sequence[int]
) -> list[tuple[Tensor, list[Tensor]]]:
    """Trains several replicas; gives the real rows (N, 2) of each, and its rounds' samples (n, 2).

    Raises:
        ValueError: the training of a replica diverges.
    """
    replicas = Replicas(
        points(condition),
        condition.regime,
        SigmaMLP(2, learned.width, learned.depth),
        seeds,
        training=Training(learned.images_per_round, learned.batch_size),
        sampling=sampling,
        train_rows=condition.n_real,
        held_out_rows=condition.n,
        samples_per_round=samples_made(condition),
        micro_batch=MICRO_BATCH,
        measures=(),
    )
    bar = tqdm(replicas.rounds(rounds), condition.label, rounds, leave=False, disable=None)
    made = torch.stack([told.samples for told in bar], 1)
    return [(real, [*own]) for real, own in zip(replicas.real, made, strict=True)]


def measure(
    name: str, condition: Condition, protocol: Protocol, samples: Sequence[Tensor], seed: int
) -> Route:
    """Measures one replica's samples (n, 2) of every round, given in network units."""
    meter, K, reg_covar = Meter(condition, protocol), protocol.components, protocol.reg_covar
    records, scaled = [], [SCALE * rows.double().numpy() for rows in samples]
    for r, rows in enumerate(scaled):
        fit = refit(rows[None], K, None, [key(seed, "measure", r)], reg_covar=reg_covar)
        records.append(meter(fit, rows[None]))
    return Route(name, condition, over_rounds(records), scaled)


def join(routes: Sequence[Route]) -> Route:
    """Gives the route of all replicas, from those of each."""
    first, statistics = routes[0], over_replicas([route.statistics for route in routes])
    return Route(first.name, first.condition, statistics, first.samples)
