"""A Gaussian mixture, fitted by EM to its own samples: the loop for many replicas at once.

Three modes in the plane, at (-4, -4), (0, 4) and (4, -4), each with covariance 0.5·I. A replica
is the same, bit for bit, as a `generations` loop of `GaussianMixtureEM` with its seed, and does
not depend on how many are computed together.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from lightning_collapse.data.sources.points import Mixture
from lightning_collapse.learners.mixtures import Mixtures, Start, refit, sample_mixtures
from lightning_collapse.metrics.distance import SlicedWasserstein, sliced_wasserstein
from lightning_collapse.metrics.measure import Measure
from lightning_collapse.metrics.modes import mode_shares, modes_covered
from lightning_collapse.regimes import REAL, Fixed
from lightning_collapse.seeds import generator, key
from lightning_collapse.toys.blocks import by_chance, real_rows
from lightning_collapse.toys.conditions import Condition
from lightning_collapse.toys.measured import PointMeasures, over_replicas, over_rounds
from lightning_collapse.toys.ranges import above, at_least
from lightning_collapse.toys.spreads import spread

__all__ = ["Course", "Meter", "Protocol", "THREE_MODES", "replica_seed", "run_mixtures", "summary"]

Array = NDArray[np.float64]

THREE_MODES = ((-4.0, -4.0), (0.0, 4.0), (4.0, -4.0))

_DIRECTIONS = 50
_NUMBERS_AT_A_TIME = 3 * 2**14
"""Of one array of responsibilities: what a processor's cache holds several of."""
_POOL_NUMBERS = 2**26
"""Of the pools of the replicas that are computed together: 512 MiB."""


@dataclass(frozen=True)
class Protocol:
    """What is done in every round, and measured."""

    rounds: int
    replicas: int = 8
    seed: int = 0
    components: int = 3
    """K, of the fits."""
    reg_covar: float = 0.0
    """Added to the diagonal of every covariance. scikit-learn's 1e-6 is a floor to collapse."""
    init: Start = "kmeans"
    """`kmeans` starts every fit from new clusters, `warm` from the fit of the round before."""
    threshold: float = 2.0
    """A mode is covered if a fitted mean is within this distance."""
    modes: tuple[tuple[float, ...], ...] = THREE_MODES
    variance: float = 0.5
    measures: tuple[Measure, ...] = ()
    """Taken of every round's samples beside the others."""

    def __post_init__(self) -> None:
        at_least("rounds", self.rounds, 1)
        at_least("replicas", self.replicas, 1)
        at_least("components", self.components, 1)
        at_least("reg_covar", self.reg_covar, 0)
        above("threshold", self.threshold, 0)

    @property
    def dim(self) -> int:
        """Dimensions of a row."""
        return len(self.modes[0])

    def check(self, condition: Condition) -> None:
        """Raises ValueError where a round would have fewer rows than components."""
        if condition.n < self.components:
            raise ValueError(
                f"n = {condition.n}: must be at least the number of components, {self.components}"
            )

    def real_rows(self, n: int, seed: int) -> Array:
        """Draws n real rows (n, d)."""
        rows, _ = Mixture(n, self.modes, self.variance).read(seed)
        drawn: Array = rows.double().numpy()
        return drawn


@dataclass(frozen=True, eq=False)
class Course:
    """What became of a condition's replicas."""

    condition: Condition
    statistics: dict[str, Array]
    """Name -> (replicas, rounds); see `Meter`."""
    last: Mixtures
    """The fit of the first replica's last round."""
    samples: Array
    """The samples of the same (n, d)."""

    @classmethod
    def join(cls, parts: Sequence["Course"]) -> "Course":
        """Gives the course of all replicas, from those of some."""
        first, statistics = parts[0], over_replicas([part.statistics for part in parts])
        return cls(first.condition, statistics, first.last, first.samples)


def replica_seed(seed: int, replica: int) -> int:
    """Gives the seed of one replica: what `generations` takes for the same course."""
    return key(seed, "replica", replica)


def run_mixtures(condition: Condition, protocol: Protocol) -> Course:
    """Runs a condition's replicas, as many at a time as memory and cache hold."""
    protocol.check(condition)
    together = _replicas_together(condition, protocol)
    starts = range(0, protocol.replicas, together)
    title = f"{condition.name} {condition.label}"
    # disable=None: where standard error is a terminal.
    with tqdm(total=len(starts) * protocol.rounds, desc=title, unit="round", disable=None) as bar:
        parts = []
        for start in starts:
            group = range(start, min(start + together, protocol.replicas))
            parts.append(_run_group(condition, protocol, group, bar))
    return Course.join(parts)


def _run_group(
    condition: Condition, protocol: Protocol, replicas: range, bar: "tqdm[Any]"
) -> Course:
    seeds = [replica_seed(protocol.seed, replica) for replica in replicas]
    pool = _ReplicaPool(condition, protocol, seeds)
    made = max(condition.n, condition.samples_per_round)
    meter = Meter(condition, protocol)
    fit, measured = None, []
    for r in range(protocol.rounds):
        fit = refit(
            pool.draw(),
            protocol.components,
            fit,
            [key(seed, "kmeans", r) for seed in seeds],
            init=protocol.init,
            reg_covar=protocol.reg_covar,
        )
        samples, _ = sample_mixtures(fit, made, [generator(seed, "sample", r) for seed in seeds])
        measured.append(meter(fit, samples[:, : condition.n]))
        pool.deposit(samples[:, : condition.samples_per_round])
        bar.update()
    assert fit is not None
    return Course(condition, over_rounds(measured), fit[:1], samples[0, : condition.n])


class Meter:
    """Measures fits and samples against the modes and a fixed set of real rows."""

    def __init__(self, condition: Condition, protocol: Protocol) -> None:
        self._condition, self._protocol = condition, protocol
        self._modes = np.array(protocol.modes)
        self._sliced = SlicedWasserstein(directions=_DIRECTIONS, seed=protocol.seed)
        real = protocol.real_rows(condition.n, key(protocol.seed, "reference"))
        self._rows, self._real = torch.from_numpy(real), self._sliced.projected(real)

    @cached_property
    def _more(self) -> PointMeasures:
        n, protocol = self._condition.n, self._protocol
        others = protocol.real_rows(n, key(protocol.seed, "held out"))
        return PointMeasures(
            protocol.measures, self._rows, torch.from_numpy(others), n, protocol.seed
        )

    def __call__(self, fit: Mixtures, samples: Array) -> dict[str, Array]:
        """Gives a round's statistics, by name (R,)."""
        mean = (fit.weights[..., None] * fit.means).sum(1)
        error = mean - self._modes.mean(0)
        return {
            "variance": np.diagonal(fit.covariances, axis1=-2, axis2=-1).mean((1, 2)),
            "mean": mean.mean(-1),
            "sq_error": np.square(error).mean(-1),
            "modes_covered": modes_covered(fit.means, self._modes, self._protocol.threshold),
            "smallest_mode_share": mode_shares(samples, self._modes).min(-1),
            "sliced_wasserstein": self._distance(samples),
            "collapsed_components": fit.collapsed.sum(-1),
            **self._more.of_all(samples),
        }

    def floor(self) -> float:
        """Gives the mean distance of the replicas' own n real rows."""
        n, n_real = self._condition.n, self._condition.n_real
        seeds = [replica_seed(self._protocol.seed, r) for r in range(self._protocol.replicas)]
        sets = (self._protocol.real_rows(n_real, seed)[:n] for seed in seeds)
        return float(np.mean([self._distance(rows) for rows in sets]))

    def _distance(self, rows: Array) -> Array:
        return sliced_wasserstein(self._sliced.projected(rows), self._real)


class _ReplicaPool:
    """The pools of several replicas: rows (R, rows, d), in order of birth.

    Of the generations, only the newest is kept where the regime draws from no other.
    """

    def __init__(self, condition: Condition, protocol: Protocol, seeds: Sequence[int]) -> None:
        self._n_real, self._added = condition.n_real, condition.samples_per_round
        self._keeps_all = keeps_all(condition)
        self._rows = np.empty((len(seeds), _pool_rows(condition, protocol), protocol.dim))
        self._rows[:, : self._n_real] = [protocol.real_rows(self._n_real, s) for s in seeds]
        self._drawn = self._rows[:, :0]
        self._round = 0
        alone = seeds if by_chance(condition.blocks) else seeds[:1]
        keyed = [key(seed, "regime") for seed in alone]
        self._draws = condition.regime.draws(self._n_real, self._added, keyed)

    def draw(self) -> Array:
        """Gives the rows that the current round trains on (R, n, d)."""
        draw = next(self._draws)
        positions = draw.others
        if not self._keeps_all:
            gone = max(self._round - 1, 0) * self._added
            positions = np.where(positions < self._n_real, positions, positions - gone)
        kept = np.take_along_axis(self._drawn, draw.kept[..., None], 1)
        others = np.take_along_axis(self._rows, positions[..., None], 1)
        self._drawn = np.concatenate([kept, others], 1)
        return self._drawn

    def deposit(self, samples: Array) -> None:
        """Adds each replica's samples (R, n, d), which ends the round."""
        start = self._n_real + (self._round * self._added if self._keeps_all else 0)
        self._rows[:, start : start + self._added] = samples
        self._round += 1


def keeps_all(condition: Condition) -> bool:
    """Tells whether a round may draw from generations older than the newest."""
    return condition.takes_all or any(
        isinstance(block, Fixed) and block.born not in (REAL, range(r, r + 1))
        for r, now in enumerate(condition.blocks)
        for block in now
    )


def _pool_rows(condition: Condition, protocol: Protocol) -> int:
    generations = protocol.rounds if keeps_all(condition) else 1
    return condition.n_real + generations * condition.samples_per_round


def _replicas_together(condition: Condition, protocol: Protocol) -> int:
    by_memory = _POOL_NUMBERS // (_pool_rows(condition, protocol) * protocol.dim)
    rows = sum(map(len, condition.blocks[protocol.rounds // 2]))
    by_cache = _NUMBERS_AT_A_TIME // (rows * protocol.components)
    return max(1, min(by_memory, by_cache, protocol.replicas))


def summary(
    condition: Condition, statistics: Mapping[str, Array], protocol: Protocol
) -> dict[str, Any]:
    """Gives a condition of `summary.json`: means and bands over replicas, one number a round.

    `variance` is the mean over components and axes of the fitted variances; `mean` and
    `sq_error`, the squared error of the mixture's mean, are averages over axes.
    """
    variance = statistics["variance"]
    with np.errstate(divide="ignore"):
        log_variance = np.log(variance)
    return {
        "regime": condition.name,
        "lambda": condition.fraction,
        "n": condition.n,
        "replicas": protocol.replicas,
        "round": list(range(protocol.rounds)),
        "variance_mean": variance.mean(0),
        "variance_median": np.median(variance, 0),
        "variance_q05": np.quantile(variance, 0.05, 0),
        "variance_q95": np.quantile(variance, 0.95, 0),
        "log_variance_mean": log_variance.mean(0),
        "mean_mean": statistics["mean"].mean(0),
        "mean_sq_error": statistics["sq_error"].mean(0),
        # What the measures tell, after what is told above.
        **{
            f"{name}_mean": values.mean(0)
            for name, values in statistics.items()
            if name not in ("variance", "mean", "sq_error")
        },
        **{
            f"{name}_se": spread(name, statistics[name].T)[f"{name}_se"]
            for name in ("variance", "modes_covered", "sliced_wasserstein")
        },
        "n_real": real_rows(condition.blocks[: protocol.rounds]),
        "sliced_wasserstein_floor": Meter(condition, protocol).floor(),
    }
