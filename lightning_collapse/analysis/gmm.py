"""A Gaussian mixture on a run's features: the baseline of its diffusion, measured alike.

The mixture goes through the loop that the run went through: its own real rows and split, its
regime, as many samples, its rounds. Where the run trains a network on rows, it is fitted by EM to
their features, and its samples are features. Both are then measured against the same real rows.

Beside the figures stand the components that a mixture finds in the real training rows: how much
of a set each is responsible for, and the mean and the variance of what it is. Those of held-out
rows say how far apart two sets of real rows are.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from lightning_collapse.analysis.sets import feature_space, featured
from lightning_collapse.learners.learner import GaussianMixtureEM
from lightning_collapse.learners.mixtures import Mixtures, fit_mixtures
from lightning_collapse.metrics.coverage import Balls
from lightning_collapse.metrics.discrepancy import MMD
from lightning_collapse.metrics.dispersion import Dispersion
from lightning_collapse.metrics.distance import SlicedWasserstein
from lightning_collapse.metrics.fd import Frechet
from lightning_collapse.metrics.features import Features, Points
from lightning_collapse.metrics.measure import Measure
from lightning_collapse.pool import Pool
from lightning_collapse.runs.layout import Run
from lightning_collapse.runs.measuring import recorded_regime
from lightning_collapse.runs.split import recorded_split
from lightning_collapse.seeds import generator
from lightning_collapse.toys.measured import PointMeasures, numbers_of

__all__ = ["Baseline", "Components", "DIFFUSION", "HELD_OUT", "MIXTURE", "baseline"]

Array = NDArray[np.float64]

DIFFUSION, MIXTURE, HELD_OUT = "diffusion", "mixture", "held-out rows"

_MEASURES: tuple[Measure, ...] = (Frechet(), SlicedWasserstein(), MMD(), Balls(), Dispersion())
_POINTS = 3
"""Components of points without classes, as `Mixture` has modes."""
_MOST_FEATURES = 512
"""A covariance of each component is fitted."""


@dataclass(frozen=True)
class Components:
    """What the components of the real rows are responsible for in sets of rows.

    Attributes:
        shares: of each set and component (T, K).
        means: of the last set (K, d).
        shift: distance of the mean to that in the real training rows, in deviations √tr Σ (T, K).
        variance: tr Σ over that in the real training rows (T, K).
    """

    shares: Array
    means: Array
    shift: Array
    variance: Array


@dataclass(frozen=True)
class Baseline:
    """Diffusion and mixture of one run.

    Attributes:
        run: its folder.
        seed: of the run.
        space: name of the feature space.
        n: rows of a set that is measured.
        figures: of `diffusion` and `mixture`, by name one number a round (K,); NaN for null.
        components: of both, a set a round, and of held-out rows, one set.
        real: shares (K,), means (K, d) and traces (K,) of the components in training rows.
    """

    run: str
    seed: int
    space: str
    n: int
    figures: dict[str, dict[str, Array]]
    components: dict[str, Components]
    real: dict[str, Array]


@dataclass(frozen=True)
class _Taken(Points):
    """Features that were taken already, under the name of their space."""

    of: Features

    @property
    def name(self) -> str:
        return self.of.name

    @property
    def distance(self) -> str:
        return self.of.distance


def baseline(
    run: Run,
    components: int | None = None,
    features: Features | None = None,
    reg_covar: float = 1e-6,
) -> Baseline:
    """Runs the mixture's loop on a run's features, and measures both.

    Args:
        run: of at least one finished round, with its samples.
        components: K; default: as many as there are classes, or 3.
        features: the space; default: that of the run's Fréchet distance.
        reg_covar: added to the diagonal of every covariance that is fitted.

    Raises:
        OSError: rows are missing or damaged.
        ValueError: the regime is of the user's own; there are more than 512 features, or fewer
            training rows than components.
    """
    records = run.records
    if (regime := recorded_regime(records[-1])) is None:
        name = records[-1].get("regime")
        raise ValueError(f"{run}: its regime, {name}, is of its user's own, or its rows curated")
    space = features or feature_space(run)
    seed, train, held_out = recorded_split(run, records[0])
    made = [run.samples(r) for r in range(len(records))]
    n, trainable = len(made[0]), records[0].get("n_trainable") or len(made[0])
    real, other = (
        featured(rows, space, len(rows), _MOST_FEATURES).double() for rows in (train, held_out)
    )
    classes = _POINTS if train.labels is None else len(set(train.labels.tolist()))
    learner = GaussianMixtureEM(components or classes, "kmeans", reg_covar, seed)
    measure = PointMeasures(_MEASURES, real, other, n, seed, _Taken(space))
    pool, fit = Pool(real, seed), None
    told: dict[str, list[dict[str, float]]] = {DIFFUSION: [], MIXTURE: []}
    sets: dict[str, list[Tensor]] = {DIFFUSION: [], MIXTURE: []}
    for r, samples in enumerate(tqdm(made, "rounds", leave=False, disable=None)):
        learner.fit(pool.draw(regime))
        # The components of the real training rows: those of round 0, where it is fitted to all.
        fit = fit or fit_mixtures(real.numpy()[None], learner.mixture)
        drawn = learner.sample(n, generator(seed, "sample", r))
        both = {DIFFUSION: featured(samples, space, n).double(), MIXTURE: drawn}
        for i, (name, rows) in enumerate(both.items()):
            told[name].append(numbers_of(measure(rows, loop=i)))
            sets[name].append(rows)
        pool.deposit(drawn, trainable)
    assert fit is not None
    return Baseline(
        str(run),
        seed,
        space.name,
        n,
        {name: _by_figure(part) for name, part in told.items()},
        {name: _components(fit, rows) for name, rows in {**sets, HELD_OUT: [other]}.items()},
        {"shares": fit.weights[0], "means": fit.means[0], "traces": _traces(fit)},
    )


def _by_figure(rounds: Sequence[dict[str, float]]) -> dict[str, Array]:
    names = dict.fromkeys(name for told in rounds for name in told)
    return {name: np.array([told.get(name, np.nan) for told in rounds]) for name in names}


def _components(fit: Mixtures, sets: Sequence[Tensor]) -> Components:
    """What the components of a fit are in other sets (n, d): one step of EM from it."""
    found = [fit_mixtures(rows.numpy()[None], fit, max_iter=1) for rows in sets]
    apart = [np.linalg.norm(one.means[0] - fit.means[0], axis=1) for one in found]
    # A component of one row, or of equal ones, has no width.
    trace = np.where(_traces(fit) > 0, _traces(fit), np.nan)
    return Components(
        np.stack([one.weights[0] for one in found]),
        found[-1].means[0],
        np.stack(apart) / np.sqrt(trace),
        np.stack([_traces(one) for one in found]) / trace,
    )


def _traces(fit: Mixtures) -> Array:
    return np.asarray(np.trace(fit.covariances[0], axis1=-2, axis2=-1))
