"""Recursive stability of the Gaussian loop, `Replace` at a λ, beside its prediction."""

import numpy as np
from numpy.typing import NDArray

from lightning_collapse.analysis.intervals import parts, t_interval
from lightning_collapse.analysis.stability import Stability, growth
from lightning_collapse.chance import replica_generators
from lightning_collapse.regimes import Replace
from lightning_collapse.toys.gaussian_fits import Fit, Truth

__all__ = ["gaussian_stability"]

Array = NDArray[np.float64]
Chance = list[np.random.Generator]


def gaussian_stability(
    synthetic_fraction: float, n: int, rounds: int, replicas: int, truth: Truth, seed: int
) -> Stability:
    """Measures how far one real row moves the mean of the Gaussian loop, over replicas.

    The row is one of those that every round keeps, where it keeps any. By δ_0 = Δ / N and
    δ_{t+1} = Δ / N + λ (δ_t + z̄ δsd_t), the response E δ_t Δ / E Δ² is exactly
    (1 - λ^{t+1}) / ((1 - λ) N), as the noise z̄ is fresh; the root mean square is √(2 s2) times
    that to leading order in 1/N. At λ = 1 no row is kept, and the response stays at 1/N.

    Args:
        synthetic_fraction: λ, in [0, 1].
        n: N, at least 2.
        rounds: K, from round 0.
        replicas: at least 2, each of real rows, an exchanged row and chance of its own.
        truth: what real rows come from; one dimension.
        seed: keys everything.
    """
    k = Replace(synthetic_fraction).samples_needed(n)
    chance = replica_generators(seed, "gaussian stability", range(replicas))
    other = replica_generators(seed, "gaussian stability, other chance", range(replicas))
    real = _drawn(Fit.of_truth(truth, replicas), max(n - k - 1, 0), chance)
    left = _drawn(Fit.of_truth(truth, replicas), n - 1 - real.n, chance)
    rows = [_drawn(Fit.of_truth(truth, replicas), 1, chance) for _ in range(2)]
    units = _units(k, rounds, chance)
    one, swapped = (_means(real, left, row, k, units) for row in rows)
    null = _means(real, left, rows[0], k, _units(k, rounds, other)) - one
    delta, change = swapped - one, (rows[1].mean - rows[0].mean)[:, 0]
    squares = parts(map(t_interval, np.square(delta)))
    gamma, low, high = np.sqrt(np.maximum(squares, 0.0))
    # (1 - λ^t) / (1 - λ), with λ as the rows have it; at λ = 1 nothing is kept.
    exact = (np.cumsum((k / n) ** np.arange(rounds)) if k < n else np.ones(rounds)) / n
    square = np.square(change).mean()
    response = (delta * change).mean(1) / square
    residual = (delta - response[:, None] * change) * change / square
    return Stability(
        "mean",
        n,
        gamma,
        low,
        high,
        np.abs(delta).max(1),
        np.sqrt(np.square(null).mean(1)),
        growth(gamma),
        (2 * truth.variance) ** 0.5 * exact,
        (response, residual.std(1) / replicas**0.5),
        exact,
    )


def _units(k: int, rounds: int, chance: Chance) -> list[Fit]:
    """What k rows of N(0, 1) come to, for each round but the first."""
    unit = Fit.of_truth(Truth(0.0, 1.0), len(chance))
    return [_drawn(unit, k, chance) for _ in range(rounds - 1)]


def _drawn(source: Fit, n: int, chance: Chance) -> Fit:
    """Draws what n rows of a fit come to."""
    means = np.array([one.standard_normal() for one in chance])[:, None]
    squares = np.array([one.chisquare(max(n - 1, 1)) for one in chance])[:, None, None]
    scatter = source.covariance * squares * (n > 1)
    return Fit(n, source.mean + source.root[:, 0] * means / max(n, 1) ** 0.5, scatter)


def _means(real: Fit, left: Fit, row: Fit, k: int, units: list[Fit]) -> Array:
    """The mean of each round's fit (K, R): all on `real` and the row, the first on `left` too."""
    fits = [real + row + left]
    # Where all rows are replaced, the row goes with them.
    kept = real + row if k < fits[0].n else real
    for unit in units:
        last = fits[-1]
        mean = last.mean + last.root[:, 0] * unit.mean
        fits.append(kept + Fit(k, mean, last.covariance * unit.scatter))
    return np.array([fit.mean[:, 0] for fit in fits])
