"""Differences to a base over seeds, the residual variance pooled over all levels.

y_{m,s} = b_s + e_m + ε with e = 0 at the base: differences that are paired by seed, by least
squares, in which the base's own chance counts once for each seed and not once for each level.
Student's t has the pooled degrees of freedom. Levels need not have the same seeds.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression
from scipy.stats import t as student

from lightning_collapse.analysis.intervals import COVERAGE, Interval
from lightning_collapse.seeds import key

__all__ = ["Bound", "Pooled", "crossing", "pooled"]

Array = NDArray[np.float64]
Seed = TypeVar("Seed", bound=Hashable)

_CONFIDENCE = 0.95
_DRAWS = 2_000


@dataclass(frozen=True)
class Bound:
    """An estimate between two one-sided 95 % bounds.

    Attributes:
        value: the estimate.
        low: lower bound, passed by 5 % of chance.
        high: upper bound, likewise.
    """

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3g} ({self.low:.3g} to {self.high:.3g})"


@dataclass(frozen=True)
class Pooled:
    """Differences of M levels to the base.

    Attributes:
        values: e (M,).
        unit: covariance of `values` for a residual variance of 1 (M, M).
        deviation: standard deviation of the residuals.
        freedom: its degrees of freedom.
    """

    values: Array
    unit: Array
    deviation: float
    freedom: int

    def bounds(self) -> list[Bound]:
        """Gives each difference with its one-sided bounds."""
        half = student.ppf(_CONFIDENCE, self.freedom) * self.deviation
        errors = half * np.sqrt(self.unit.diagonal())
        return [
            Bound(float(e), float(e - error), float(e + error))
            for e, error in zip(self.values, errors, strict=True)
        ]


def pooled(base: Mapping[Seed, float], levels: Sequence[Mapping[Seed, float]]) -> Pooled | None:
    """Fits differences to the base.

    Args:
        base: y of the base, by seed.
        levels: the same of each level; seeds that the base lacks are left out.

    Returns:
        None where a level has no seed in common with the base, or no residual is left: of one
        seed.
    """
    seeds = list(base)
    size = len(levels)
    # The base is the last level, and has no column.
    rows = [(m, s, y) for m, of in enumerate([*levels, base]) for s, y in of.items() if s in base]
    if len({m for m, _, _ in rows}) < size + 1:
        return None
    design = np.zeros((len(rows), size + len(seeds)))
    for i, (m, seed, _) in enumerate(rows):
        design[i, size + seeds.index(seed)] = 1
        if m < size:
            design[i, m] = 1
    y = np.array([value for _, _, value in rows])
    freedom = len(rows) - design.shape[1]
    if freedom < 1:
        return None
    found = np.linalg.lstsq(design, y, rcond=None)[0]
    deviation = float(np.sqrt(np.square(y - design @ found).sum() / freedom))
    inverse = np.linalg.inv(design.T @ design)
    return Pooled(found[:size], inverse[:size, :size], deviation, freedom)


def crossing(
    places: Sequence[float], end: float, fit: Pooled, margin: float
) -> tuple[Array, Interval]:
    """Finds where differences, which fall along places and end at 0, come down to a margin.

    Args:
        places: of the levels (M,), rising.
        end: place of the base, beyond them.
        fit: the differences.
        margin: above 0.

    Returns:
        The isotonic fit at the places (M,); and where its line from place to place passes the
        margin, up to `end`, with the interval of a parametric bootstrap: of fits to draws around
        the isotonic one, the residual variance drawn too.
    """
    along, variances = np.append(places, end), fit.unit.diagonal()
    shape = _falling(fit.values, variances)
    chance = np.random.default_rng(key(0, "crossing"))
    scale = fit.deviation * np.sqrt(fit.freedom / chance.chisquare(fit.freedom, _DRAWS))
    noise = chance.standard_normal((_DRAWS, len(places))) @ np.linalg.cholesky(fit.unit).T
    drawn = shape + scale[:, None] * noise
    found = [_passes(along, _falling(one, variances), margin) for one in drawn]
    low, high = np.quantile(found, [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2])
    place = _passes(along, shape, margin)
    return shape, Interval(place, float(low), float(high), fit.freedom + 1)


def _falling(values: Array, variances: Array) -> Array:
    """The isotonic fit, never below the base."""
    fit = isotonic_regression(values, weights=1 / variances, increasing=False)
    return np.asarray(np.maximum(fit.x, 0.0))


def _passes(along: Array, shape: Array, margin: float) -> float:
    heights = np.append(shape, 0.0)
    if heights[0] <= margin:
        return float(along[0])
    i = int(np.argmax(heights <= margin))
    share = (heights[i - 1] - margin) / (heights[i - 1] - heights[i])
    return float(along[i - 1] + share * (along[i] - along[i - 1]))
