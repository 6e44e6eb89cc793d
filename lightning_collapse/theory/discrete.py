"""A law on K categories, estimated by its frequencies and sampled again: what is known.

A row is a unit vector, its covariance has trace 1 - sum p^2, and frequencies are means; so the
diversity 1 - sum p^2 obeys what `gaussian` says of the variance, under every regime. Under full
replacement it is (1 - 1/N)^t of the true one (Kazdan et al. 2024, 2410.16713).
"""

import numpy as np
from numpy.typing import NDArray

__all__ = ["poisson_survival", "zipf"]

Array = NDArray[np.float64]


def zipf(categories: int, exponent: float = 1.0, shift: float = 2.7) -> Array:
    """Gives the Zipf-Mandelbrot law (K,): p_j proportional to (j + shift)^-exponent, j from 1.

    Suresh et al. 2024 take (exponent, shift) = (1, 2.7) and (2, 5).
    """
    weights = (np.arange(1, categories + 1) + shift) ** -float(exponent)
    return np.asarray(weights / weights.sum())


def poisson_survival(rounds: int, expected: Array) -> Array:
    """Gives the chance (T, K) that a category is still there after fits 1 … T of replacement.

    For Poisson counts whose mean is the count of the round before: 1 - exp(-m g_t) with g_1 = 1
    and g_(t+1) = 1 - exp(-g_t), m being the expected counts (K,) of the first round. Source:
    Suresh et al. 2024, for rates.
    """
    g, chances = 1.0, []
    for _ in range(rounds):
        chances.append(-np.expm1(-expected * g))
        g = -np.expm1(-g)
    return np.array(chances)
