"""The Gaussian loop in closed form where what comes in differs from round to round.

As in `gaussian`: truth N(mu, s2), fits by maximum likelihood. Over all draws, every row of every
training set has mean mu and variance s2, so every fit obeys E[v_t] + E[(mu_t - mu)^2] = s2, and
only the fits' means have to be followed. What follows was derived for this project, and checked by
simulation.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["fresh_accumulate", "mixing", "sliding_window"]

Array = NDArray[np.float64]


def fresh_accumulate(rounds: int, size: int, samples: int, s2: float = 1.0) -> Array:
    """Gives E[v_1 … v_T] (T,) where `size` rows are added a round, `samples` of them synthetic.

    Let d = E[(mu_t - mu)^2] with M rows so far. New samples have the last fit's mean and variance
    s2 - d about it, new real rows mean mu and variance s2, so that afterwards
    (M + size)^2 d' = (M + samples)^2 d + samples (s2 - d) + (size - samples) s2.
    For many rounds d falls as t^(-2 min(1/2, α)), α being the share of real rows: the rate of
    Wang, Niu, Li 2026 (2602.16065).
    """
    total, d, drift = size, s2 / size, np.empty(rounds)
    for t in range(rounds):
        drift[t] = d
        new = samples * (s2 - d) + (size - samples) * s2
        d = ((total + samples) ** 2 * d + new) / (total + size) ** 2
        total += size
    return s2 - drift


def sliding_window(rounds: int, n: int, generations: int, s2: float = 1.0) -> Array:
    """Gives E[v_1 … v_T] (T,) where fits are on the last generations of N rows, real ones first.

    The means of the generations in the window, less mu, have a covariance matrix C; a fit's mean
    is their mean, and the next generation's that and an error of variance E[v]/N.
    """
    c, drift = np.array([[s2 / n]]), np.empty(rounds)
    for t in range(rounds):
        with_fit = c.mean(0)
        drift[t] = d = with_fit.mean()
        new = d + (s2 - d) / n
        c = np.block([[c, with_fit[:, None]], [with_fit, new]])
        c = c[-generations:, -generations:]
    return s2 - drift


def mixing(counts: Sequence[tuple[int, int]], s2: float = 1.0) -> Array:
    """Gives E[v_1 … v_T] (T,) where rounds train on first real rows and newest samples.

    Args:
        counts: of every round, how many of either; the first has no samples.
        s2: true variance.

    A fit's mean is m/(m + n) times that of the first m real rows, and n/(m + n) times that of n
    samples of the fit before, whose covariance with the mean of the first m' real rows is followed
    for all m' that occur; that of two means of first real rows is s2/max(m, m').
    """
    firsts = np.array(sorted({m for m, _ in counts if m}))
    place = {int(m): i for i, m in enumerate(firsts)}
    with_real, d, drift = np.zeros(len(firsts)), 0.0, np.empty(len(counts))
    for t, (m, n) in enumerate(counts):
        lam = n / (m + n)
        new = lam**2 * (d + (s2 - d) / n) if n else 0.0
        if m:
            new += (1 - lam) ** 2 * s2 / m + 2 * lam * (1 - lam) * with_real[place[m]]
            with_real = lam * with_real + (1 - lam) * s2 / np.maximum(m, firsts)
        else:
            with_real = lam * with_real
        drift[t] = d = new
    return s2 - drift
