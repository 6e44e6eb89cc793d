"""Linear regression in closed form: least squares in a loop; ridge on real and synthetic rows.

Loop: x ~ N(0, Σ) in d dimensions, y = x·w + noise of variance s2, T rows a round, T >= d + 2; the
error is E|w_n - w|_Σ^2 of the n-th fit (n = 1, 2, …; n = round + 1), without the noise of y.

Mixture ("strong collapse", Dohmatob et al. 2024, 2410.04840; the forms here were derived anew and
checked by simulation): of n rows a share p2 is synthetic, with labels from w + δ instead of w,
δ ~ N(0, Δ); ridge with penalty λ. Test error on real data = B + V + ζ, exact as d, n -> infinity
at a fixed ratio, and within a few per cent from d = 200.
"""

from dataclasses import dataclass

import numpy as np
import scipy  # whose parts, slow to import, are so when first asked for
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "MixtureError",
    "accumulate_fresh_error",
    "accumulate_same_error",
    "fresh_mix_error",
    "replace_error",
    "ridge_error",
    "ridge_split",
]

Array = NDArray[np.float64]


def replace_error(n: ArrayLike, dim: int, rows: int, noise: float = 1.0) -> Array:
    """Gives the error of fit n under replacement: n · s2 d / (T - d - 1)."""
    return np.asarray(noise * dim / (rows - dim - 1) * np.asarray(n, float))


def accumulate_same_error(n: ArrayLike, dim: int, rows: int, noise: float = 1.0) -> Array:
    """Gives the error of fit n where labels accumulate on the same inputs: base · sum of 1/i^2."""
    n = np.asarray(n, int)
    i = np.arange(1, n.max() + 1)
    return np.asarray(noise * dim / (rows - dim - 1) * np.cumsum(1 / i**2)[n - 1])


def accumulate_fresh_error(
    n: ArrayLike, dim: int, rows: int, new: int, noise: float = 1.0
) -> Array:
    """Gives the error of fit n where `new` rows with fresh inputs are added to T in each round.

    At `new` = T it is below the one above. A step is (X'X)^-1 of all M rows times
    X'e of the new k ones, so that its square is s2 (k/M) d / (M - d - 1); steps are uncorrelated.
    """
    n = np.asarray(n, int)
    total = rows + new * np.arange(n.max(), dtype=float)
    added = np.concatenate([[rows], np.full(n.max() - 1, new)])
    return np.asarray(noise * dim * np.cumsum(added / total / (total - dim - 1))[n - 1])


def fresh_mix_error(
    n: ArrayLike, dim: int, rows: int, fraction: float, noise: float = 1.0
) -> Array:
    """Gives the error of fit n where a share of the labels is the last fit's, inputs all fresh.

    c' = s2 u + c (p2^2 + p1 p2 u), u = d/(T - d - 1), p2 = `fraction`, p1 = 1 - p2.
    """
    n = np.asarray(n, int)
    u = dim / (rows - dim - 1)
    keep = fraction**2 + fraction * (1 - fraction) * u
    return np.asarray(noise * u * np.cumsum(keep ** np.arange(n.max()))[n - 1])


@dataclass(frozen=True)
class MixtureError:
    """The parts of the test error on real data."""

    bias: float
    """B: of the penalty and the design, as with real data alone."""
    variance: float
    """V: of the noise in the labels, as with real data alone."""
    zeta: float
    """ζ: what the synthetic share adds."""

    @property
    def total(self) -> float:
        """B + V + ζ."""
        return self.bias + self.variance + self.zeta


def ridge_error(
    spectrum: ArrayLike,
    truth: ArrayLike,
    shift: ArrayLike,
    *,
    rows: int,
    synthetic_fraction: float,
    penalty: float,
    noise: float = 1.0,
    width: float = np.inf,
) -> MixtureError:
    """Gives the error of ridge regression on a mixture.

    Args:
        spectrum: eigenvalues of Σ (d,).
        truth: E of the true weights squared, along Σ's eigenvectors (d,).
        shift: the same of δ, what synthetic labels get wrong (d,).
        rows: n, rows of both kinds.
        synthetic_fraction: p2, in [0, 1].
        penalty: λ > 0; use 1e-8 for least squares.
        noise: variance of the labels' noise, averaged over both kinds of rows.
        width: the model's size, random projections with entries N(0, 1/width) that it sees; by
            default it sees the inputs themselves.
    """
    s, gamma, delta = (np.asarray(part, float) for part in (spectrum, truth, shift))
    kappa = _effective_penalty(s, rows, width, penalty)
    df1, df2 = np.sum(s / (s + kappa)), np.sum((s / (s + kappa)) ** 2)
    chi = 0.0 if np.isinf(width) else (df1 - df2) / (width - df2)
    omega = (df2 + chi * (df1 - df2)) / rows
    u = omega / (1 - omega)
    lost = s * (kappa**2 + chi * kappa * s) / (s + kappa) ** 2
    learned = s * (s**2 + chi * kappa * s) / (s + kappa) ** 2
    p2, p1 = synthetic_fraction, 1 - synthetic_fraction
    spread = p2**2 * np.sum(delta * lost) + p1 * p2 * np.sum(delta * s)
    return MixtureError(
        bias=float(np.sum(gamma * lost) / (1 - omega)),
        variance=float(noise * u),
        zeta=float(p2**2 * np.sum(delta * learned) + u * spread),
    )


def ridge_split(
    spectrum: ArrayLike,
    truth: ArrayLike,
    shift: ArrayLike,
    *,
    rows: int,
    synthetic_fraction: float,
    penalty: float,
    noise: float = 1.0,
) -> tuple[float, float]:
    """Gives bias² and variance over replicas that draw inputs and noise anew.

    Their sum is the total of `ridge_error`, whose arguments they take, but its `bias` is not this
    bias²: it holds variance of the design too. At d = 100 the bias² is 1-2 % off.
    """
    s, gamma, delta = (np.asarray(part, float) for part in (spectrum, truth, shift))
    kappa = _effective_penalty(s, rows, np.inf, penalty)
    p2 = synthetic_fraction
    lost, learned = kappa**2 * s / (s + kappa) ** 2, s**3 / (s + kappa) ** 2
    omega = float(np.sum((s / (s + kappa)) ** 2)) / rows
    bias2 = np.sum(gamma * lost) + p2**2 * np.sum(delta * learned)
    spread = noise + np.sum((gamma + p2**2 * delta) * lost) + p2 * (1 - p2) * np.sum(delta * s)
    return float(bias2), float(omega / (1 - omega) * spread)


def _effective_penalty(s: Array, rows: int, width: float, penalty: float) -> float:
    """Solves λ = κ (1 - df1(κ)/width) (1 - df1(κ)/n) for its largest root."""

    def excess(log_kappa: float) -> float:
        kappa = np.exp(log_kappa)
        df1 = np.sum(s / (s + kappa))
        return float(kappa * (1 - df1 / width) * (1 - df1 / rows) - penalty)

    brentq = scipy.optimize.brentq
    # Both factors must be positive at the largest root: df1 below rows and width.
    most = min(rows, width, len(s))
    low, high = np.log(penalty), np.log(penalty + 10 * s.sum() * (1 + 1 / most))
    if most < len(s):
        low = max(low, brentq(lambda x: np.sum(s / (s + np.exp(x))) - most, -80.0, high))
    return float(np.exp(brentq(excess, low, high, xtol=1e-14, rtol=1e-14)))
