"""How noise accumulates: the exponent p of E|μ_i - μ_(i-1)|² ~ i^p, i = 1, 2, … fits.

Where data accumulate each new step is averaged over all there is, and p = -2, the 1/i² pattern
whose sum stays finite (Gerstgrasser et al. 2024, 2404.01413, for regression; in
the Gaussian loop a step has E[(mu_t - mu_(t-1))^2] = E[v_(t-1)] / (N t^2)). Where data are
replaced p = 0 in the mean, and the steps' sum grows without bound.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq

from lightning_collapse.analysis.intervals import Interval, jackknife_interval

__all__ = ["Exponent", "accumulation_exponent"]

Array = NDArray[np.float64]

_GROUPS = 20
_STEEPEST = 12.0


@dataclass(frozen=True)
class Exponent:
    """How squared steps go with the number of the fit.

    Attributes:
        value: p.
        interval: over replicas; None for fewer than two, or where one decides alone.
        steps: the mean squared steps (K - 1,) that it is fitted to.
        why: why there is no value, or no interval; "" where there are both.
    """

    value: float | None
    interval: Interval | None
    steps: list[float]
    why: str


def accumulation_exponent(steps: ArrayLike) -> Exponent:
    """Fits the exponent to squared steps, by quasi-likelihood with deviations like their mean.

    A squared step scatters as much as it is large, so that a line through logarithms would be
    biased, and has no place for steps that are below 0 once the noise of n is taken off.

    Args:
        steps: squared steps (R, K - 1) of the mean or of weights, of R replicas, the first one
            to fit number 2, which is round 1.

    Returns:
        The exponent, with Student's interval on a jackknife over the replicas, in up to 20 groups.
    """
    x = np.asarray(steps, float)
    means: list[float] = x.mean(0).tolist()
    if x.shape[1] < 3:
        return Exponent(None, None, means, "needs at least 4 rounds")
    number = 2 + np.arange(x.shape[1], dtype=float)
    value = _fitted(x.mean(0), number)
    if value is None:
        return Exponent(None, None, means, "the steps are lost in the noise of n samples")
    if len(x) < 2:
        return Exponent(value, None, means, "one seed: no interval")
    groups = np.array_split(np.arange(len(x)), min(_GROUPS, len(x)))
    without = [_fitted(np.delete(x, group, 0).mean(0), number) for group in groups]
    known = [one for one in without if one is not None]
    if len(known) < len(without):
        return Exponent(value, None, means, "hangs on one seed: no interval")
    return Exponent(value, jackknife_interval(value, known), means, "")


def _fitted(mean: Array, number: Array) -> float | None:
    """Solves sum (y i^-p - a) (ln i - mean of ln i) = 0 for p, which is falling in p for y > 0."""
    logs = np.log(number / number[0])
    centred = logs - logs.mean()

    def score(p: float) -> float:
        return float((mean * np.exp(-p * logs)) @ centred)

    if mean.mean() <= 0 or score(-_STEEPEST) <= 0 or score(_STEEPEST) >= 0:
        return None
    return float(brentq(score, -_STEEPEST, _STEEPEST, xtol=1e-10))
