"""Recursive stability: how far one exchanged real row moves each generation, with equal chance.

γ_i = d(G_i(S; ω), G_i(S'; ω)), where S' is S but for one row, and ω all chance. A loop is stable
where γ_i is bounded in i and falls as 1/n. What is measured is the empirical coefficient, a lower
bound on the supremum over pairs of data sets of which the theory speaks (2502.18865). Beside it
stands the null distance d(G_i(S; ω), G_i(S; ω')), of the same rows under other chance: one row's
stability cannot see collapse by the noise of sampling, which that shows.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lightning_collapse.analysis.bias_variance import common_batch, output_errors
from lightning_collapse.analysis.conditions import conditions
from lightning_collapse.analysis.intervals import parts, t_interval
from lightning_collapse.analysis.sets import feature_space, featured
from lightning_collapse.runs.layout import Run

__all__ = ["Stability", "growth", "runs_stability"]

Array = NDArray[np.float64]

_EMBEDDED = 5_000


@dataclass(frozen=True)
class Stability:
    """The coefficient in one distance, at one number of rows.

    Attributes:
        distance: what is compared.
        n: N, training rows of round 0.
        gamma: of each round (K,): the mean over swaps, or the root mean square of a toy.
        low: lower end of its 95 % interval; NaN of a single swap.
        high: upper end.
        largest: over swaps, a lower bound of the supremum.
        null: the distance to the same rows under other chance.
        growth: (γ_{i+1} - γ_0) / γ_i (K - 1,), what is passed on of a round's distance: λ to
            leading order where a share λ is replaced.
        theory: γ as predicted; None where theory has none.
        response: of the toy's mean, E δ Δ / E Δ² for the row's change Δ, and its standard error.
        exact: the response as predicted.
    """

    distance: str
    n: int
    gamma: Array
    low: Array
    high: Array
    largest: Array
    null: Array
    growth: Array
    theory: Array | None = None
    response: tuple[Array, Array] | None = None
    exact: Array | None = None


def growth(gamma: Array) -> Array:
    """Gives (γ_{i+1} - γ_0) / γ_i (K - 1,): what is passed on of a round's distance."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray((gamma[1:] - gamma[0]) / gamma[:-1])


def runs_stability(
    base: Run, null: Run, swapped: Sequence[Run], trust_class: str | None = None
) -> list[Stability]:
    """Measures the coefficient of finished runs, in outputs and in samples, round by round.

    `outputs` is the root mean square difference of the denoisers' outputs on noisy held-out rows,
    weighted as in the loss; `feature mean` the distance of the means of the samples' features,
    whose latents are the same.

    Args:
        base: the run.
        null: the same rows under another seed.
        swapped: the run with one row exchanged, each another one.
        trust_class: the network's class, if it is not of this package: it is then imported.

    Raises:
        OSError: rows or checkpoints cannot be read.
        ValueError: the feature space is one of the user's own.
    """
    (condition,) = conditions([base])
    batch, features = common_batch(condition), feature_space(base)
    runs = [base, null, *swapped]
    rounds = min(run.rounds for run in runs)

    def outputs(run: Run, r: int) -> Array:
        return output_errors(run.denoiser(r, trust_class), batch)

    def feature_mean(run: Run, r: int) -> Array:
        rows = run.samples(r)
        embedded = featured(rows, features, min(len(rows), _EMBEDDED), most=math.inf)
        return np.asarray(embedded.double().mean(0).numpy())

    told = []
    for name, place in (("outputs", outputs), ("feature mean", feature_mean)):
        apart = np.empty((rounds, len(runs) - 1))
        for r in range(rounds):
            at = place(base, r)
            apart[r] = [np.linalg.norm(place(run, r) - at) for run in runs[1:]]
        told.append(_over_swaps(name, base.records[0]["n_train"], apart[:, 1:], apart[:, 0]))
    return told


def _over_swaps(distance: str, n: int, apart: Array, null: Array) -> Stability:
    """Averages distances (K, J) over swaps."""
    gamma = apart.mean(1)
    low = high = np.full(len(apart), np.nan)
    if apart.shape[1] > 1:
        _, low, high = parts(map(t_interval, apart))
    return Stability(distance, n, gamma, low, high, apart.max(1), null, growth(gamma))
