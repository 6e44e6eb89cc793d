"""Loops of diffusion on points, which several claims share: one small network, many seeds.

All conditions have 500 real rows and 8 rounds, and a network of width 64 trained on 51,200 rows a
round, unless a claim says otherwise: a smaller budget errs by itself, so that even accumulated
data go astray. The control retrains on the real rows in every round.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from lightning_collapse.curators import Curator
from lightning_collapse.data.sources.points import Mixture
from lightning_collapse.data.sources.source import Source
from lightning_collapse.metrics.coverage import Balls
from lightning_collapse.metrics.distance import SlicedWasserstein
from lightning_collapse.metrics.families import ALWAYS
from lightning_collapse.metrics.measure import Measure
from lightning_collapse.networks.mlp import SigmaMLP
from lightning_collapse.papers.claim import Task
from lightning_collapse.regimes import Regime, Replace
from lightning_collapse.sampling.choice import Sampling
from lightning_collapse.sampling.guide import Guide
from lightning_collapse.toys.stacked import Replicas
from lightning_collapse.toys.training import Training

__all__ = ["EIGHT", "THREE", "Loop", "control_of", "margin_of", "replicas", "series"]

Array = NDArray[np.float64]

EIGHT = Mixture(
    n=8000,
    means=tuple((0.6 * math.cos(a), 0.6 * math.sin(a)) for a in np.arange(8) * math.pi / 4),
    variance=0.06**2,
)
"""Eight Gaussians on a ring, in network units."""
THREE = Mixture(n=8000)
"""Three Gaussians, as in the toys."""


@dataclass(frozen=True)
class Loop:
    """A loop of diffusion on points."""

    regime: Regime
    source: Source = THREE
    n: int = 500
    rounds: int = 8
    width: int = 64
    sampling: Sampling = Sampling(num_steps=18)  # noqa: RUF009 - frozen
    measures: Sequence[Measure] = (*ALWAYS, SlicedWasserstein(rows=500), Balls(rows=500))
    guide: Guide | None = None
    curator: Curator | None = None
    is_warm: bool = False
    """Whether rounds start from one another's weights, and not from new ones."""
    real_rows: int | None = None
    """That there are in all, where a regime takes fresh ones; else N."""
    dim: int = 2
    """Of a point."""
    held_out_rows: int = 500


def replicas(task: Task) -> int:
    """Says how many seeds a loop is run under: 24 at full effort, at least 4."""
    return task.replicas(24, least=4)


def control_of(loop: Loop) -> Loop:
    """The same loop on real rows alone."""
    return replace(loop, regime=Replace(0.0), guide=None, curator=None, real_rows=None)


@lru_cache(maxsize=32)
def series(loop: Loop, replicas: int, seed: int) -> Mapping[str, Array]:
    """Runs a loop under several seeds; gives what its records hold, by name, as (K, R).

    What is a list in a record, such as `class_shares`, is (K, R, …).
    """
    seeds = range(seed * replicas, (seed + 1) * replicas)
    # One seed of the rows and of chance, so that loops are compared on the same of both.
    several = Replicas(
        loop.source,
        loop.regime,
        SigmaMLP(loop.dim, width=loop.width),
        seeds,
        training=Training(51_200, 128, restart="warm" if loop.is_warm else "scratch"),
        guide=loop.guide,
        curator=loop.curator,
        sampling=loop.sampling,
        train_rows=loop.real_rows or loop.n,
        held_out_rows=loop.held_out_rows,
        samples_per_round=loop.n,
        micro_batch=500,
        measures=loop.measures,
    )
    made = several.rounds(loop.rounds)
    rounds = tqdm(made, str(loop.regime), loop.rounds, leave=False, disable=None)
    records = [now.records for now in rounds]
    names = [n for n, value in records[0][0].items() if isinstance(value, int | float | list)]
    return {
        name: np.array([[one[name] for one in now] for now in records], float) for name in names
    }


def margin_of(control: Mapping[str, Array], figure: str) -> float:
    """The margin of a distance, as `analyse profile` has it: a quarter of its floor."""
    return 0.25 * float(control[f"{figure}_floor"].mean())
