"""Bias and variance of the toys, in the space of their parameters, beside exact predictions."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from lightning_collapse.analysis.decompose import Decomposition, Errors
from lightning_collapse.chance import replica_generators
from lightning_collapse.regimes import Replace
from lightning_collapse.theory.regression import ridge_split
from lightning_collapse.toys.blocks import replaces_all
from lightning_collapse.toys.conditions import Condition
from lightning_collapse.toys.gaussian import simulate
from lightning_collapse.toys.gaussian_fits import Truth
from lightning_collapse.toys.strong_collapse import Mixture, ridge

__all__ = ["ToySplit", "gaussian_splits", "ridge_splits"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class ToySplit:
    """Bias and variance of a parameter, along rounds or along numbers of rows.

    Attributes:
        parameter: `mean`, `variance` or `weights`.
        places: rounds, or numbers of rows.
        splits: one at each place.
        bias2: prediction at each place (P,); None where theory has none.
        variance: prediction, likewise.
    """

    parameter: str
    places: list[int]
    splits: list[Decomposition]
    bias2: Array | None
    variance: Array | None


def gaussian_splits(
    condition: Condition, rounds: int, replicas: int, truth: Truth, seed: int
) -> list[ToySplit]:
    """Splits the errors of the Gaussian loop's mean and variance, in one dimension.

    The mean is unbiased, whatever the regime; the bias² of the variance is (E v - s2)². Its
    variance is known where each round replaces all rows: s2² ((1 - 1/N²)^t - (1 - 1/N)^2t) at
    fit t.

    Args:
        condition: the regime, and N.
        rounds: how many, from round 0.
        replicas: at least 2; each draws its own real rows.
        truth: what real rows come from; one dimension.
        seed: keys everything.
    """
    course = simulate(condition, rounds, replicas, truth=truth, seed=seed)
    s2, n, places = truth.variance, condition.n, list(range(rounds))
    expected = condition.regime.gaussian_theory(
        condition.n_real, condition.samples_per_round, rounds, s2
    )
    spread = None
    if replaces_all(condition.blocks[:rounds]):
        t = np.arange(1, rounds + 1)
        spread = s2**2 * ((1 - 1 / n**2) ** t - (1 - 1 / n) ** (2 * t))
    return [
        ToySplit(
            "mean",
            places,
            _each(course.mean, truth.mean),
            np.zeros(rounds),
            None if expected is None else s2 - expected,
        ),
        ToySplit(
            "variance",
            places,
            _each(course.variance, s2),
            None if expected is None else np.square(expected - s2),
            spread,
        ),
    ]


def _each(values: Array, truth: float) -> list[Decomposition]:
    """Splits numbers (T, R) in each round."""
    return [Errors.of_vectors(row[:, None], truth).decompose() for row in values]


def ridge_splits(rows: list[int], fraction: float, mixture: Mixture) -> ToySplit:
    """Splits the error of ridge regression's weights, over replicas that share true weights.

    Args:
        rows: numbers of rows n.
        fraction: synthetic share of them.
        mixture: the rest; every replica draws inputs and noise anew.
    """
    dim = mixture.dim
    first, *chances = replica_generators(mixture.seed, "ridge split", range(mixture.replicas + 1))
    # Of exactly the length that theory takes on average: δ a right angle from w.
    axes = np.linalg.qr(first.standard_normal((dim, 2)))[0]
    truth, shift = axes[:, 0], axes[:, 1] * mixture.quality**0.5
    fits = np.empty((len(rows), mixture.replicas, dim))
    for i, chance in enumerate(tqdm(chances, "replicas", leave=False, disable=None)):
        x = chance.standard_normal((max(rows), dim))
        noise = chance.standard_normal(max(rows)) * mixture.noise**0.5
        for j, n in enumerate(rows):
            labels = x[:n] @ truth + noise[:n]
            k = Replace(fraction).samples_needed(n)
            labels[:k] += x[:k] @ shift
            fits[j, i] = ridge(x[:n], labels[:, None], mixture.penalty)[:, 0]
    ones = np.ones(dim)
    predicted = np.array(
        [
            ridge_split(
                ones,
                ones / dim,
                mixture.quality * ones / dim,
                rows=n,
                synthetic_fraction=Replace(fraction).samples_needed(n) / n,
                penalty=mixture.penalty,
                noise=mixture.noise,
            )
            for n in rows
        ]
    )
    splits = [Errors.of_vectors(own, truth).decompose() for own in fits]
    return ToySplit("weights", rows, splits, predicted[:, 0], predicted[:, 1])
