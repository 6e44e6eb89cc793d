"""The Gaussian loop in closed form: fit a Gaussian, sample N rows, fit again.

Truth N(mu, s2) in one dimension; fits by maximum likelihood (divided by N).
t = 1, 2, … counts fits, t = 1 being the one on N real rows, so t = round + 1. Arguments named t
may be arrays. All formulas were derived or re-derived for this project and checked by simulation;
those in full replacement go back to Shumailov et al. 2023 (2305.17493) and Alemohammad et al. 2024
(2307.01850), those of accumulation to Kazdan et al. 2024 (2410.16713).

Every fit obeys E[v_t] + E[(mu_t - mu)^2] = s2: what variance loses, the mean's drift gains.
"""

import numpy as np
import scipy  # whose parts, slow to import, are so when first asked for
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "accumulate_per_round_limit",
    "accumulate_per_round_variance",
    "augment_mix",
    "first_order_band",
    "fixed_mix",
    "fresh_mix",
    "fresh_mix_limit",
    "min_real_rows",
    "ratio_to_population",
    "ratio_to_subset",
    "replace_band",
    "replace_log_determinant",
    "replace_log_variance",
    "replace_variance",
    "subsample_variance",
    "turnover_variance",
]

Array = NDArray[np.float64]


def first_order_band(
    variance: ArrayLike, mean_error: ArrayLike, s2: float = 1.0, dim: int = 1
) -> tuple[Array, Array]:
    """Gives the 5 and 95 % quantiles of v_t over replicas, for v_t averaged over `dim` dimensions.

    They are those of the gamma law with mean E[v_t] and variance 2 E[v_t] E[(mu_t - mu)^2], which
    is exact at t = 1; NaN where E[(mu_t - mu)^2] is above s2/20.
    """
    mean, drift = np.asarray(variance, float), np.asarray(mean_error, float)
    scale = 2 * np.where(drift <= s2 / 20, drift, np.nan) / dim
    low, high = (scale * scipy.special.gammaincinv(mean / scale, q) for q in (0.05, 0.95))
    return low, high


# Full replacement: mu' = mu + sqrt(v/N) Z, v' = v chi2_(N-1) / N.


def replace_variance(t: ArrayLike, n: int, s2: float = 1.0) -> Array:
    """Gives E[v_t] under full replacement: s2 (1 - 1/N)^t."""
    return s2 * (1 - 1 / n) ** np.asarray(t, float)


def replace_log_variance(t: ArrayLike, n: int, s2: float = 1.0) -> tuple[Array, Array]:
    """Gives mean and variance of log v_t; exp of the mean is the median, up to O(1/N)."""
    t = np.asarray(t, float)
    drift = scipy.special.digamma((n - 1) / 2) + np.log(2 / n)
    return np.log(s2) + t * drift, t * scipy.special.polygamma(1, (n - 1) / 2)


def replace_band(t: ArrayLike, n: int, s2: float = 1.0) -> tuple[Array, Array]:
    """Gives the 5 and 95 % quantiles of v_t under full replacement, were log v_t normal.

    It is a sum of t independent terms, each of skewness about -sqrt(2/N).
    """
    mean, variance = replace_log_variance(t, n, s2)
    spread = scipy.special.ndtri(0.95) * np.sqrt(variance)
    return np.exp(mean - spread), np.exp(mean + spread)


def replace_log_determinant(t: ArrayLike, n: int, dim: int, s2: float = 1.0) -> Array:
    """Gives E[log det of the covariance] / d at t, for truth N(mu, s2 · I) in d < N dimensions."""
    drift = np.mean(scipy.special.digamma((n - np.arange(1, dim + 1)) / 2)) + np.log(2 / n)
    return np.asarray(np.log(s2) + np.asarray(t, float) * drift)


# A share of real rows: N rows, n = λN synthetic, m = N - n real.


def fixed_mix(rounds: int, n: int, fraction: float, s2: float = 1.0) -> Array:
    """Gives E[v_1 … v_T] (T,) under `Replace(fraction)`: the same m real rows in every round.

    Averaged over the real rows too. The first fit is on all N.
    """
    m = n - round(fraction * n)
    if m == 0:
        return replace_variance(np.arange(1, rounds + 1), n, s2)
    return _fixed_real(rounds, m, n - m, s2, n)


def augment_mix(rounds: int, n: int, samples: int, s2: float = 1.0) -> Array:
    """Gives E[v_1 … v_T] (T,) under `Augment(samples / N)`: all N real rows, `samples` newest."""
    return _fixed_real(rounds, n, samples, s2, n)


def _fixed_real(rounds: int, m: int, samples: int, s2: float, first: int) -> Array:
    """E[v_t] with the same m real rows and `samples` newest rows in every round but the first.

    The first fit is on `first` real rows, the m among them, whose mean is a. The recursion is that
    of E[v] and E[(mu - a)^2].
    """
    total = m + samples
    lam = samples / total
    v, d = s2 * (1 - 1 / first), s2 / m - s2 / first
    variances = []
    for _ in range(rounds):
        variances.append(v)
        new_v = (1 - lam) * s2 * (1 - 1 / m) + lam * (1 - 1 / total) * v + lam * (1 - lam) * d
        v, d = new_v, lam**2 * d + lam * v / total
    return np.array(variances)


def fresh_mix(rounds: int, n: int, fraction: float, s2: float = 1.0) -> Array:
    """Gives E[v_1 … v_T] (T,) under `Fresh(fraction, n)`: m new real rows in every round."""
    variances = []
    v, d = s2 * (1 - 1 / n), s2 / n
    for _ in range(rounds):
        variances.append(v)
        pooled = (1 - fraction) * s2 + fraction * v
        v = (1 - 1 / n) * pooled + fraction * (1 - fraction) * d
        d = pooled / n + fraction**2 * d
    return np.array(variances)


def fresh_mix_limit(n: int, fraction: float, s2: float = 1.0) -> float:
    """Gives where E[v_t] under `Fresh(fraction, n)` settles."""
    c = 1 - 1 / (n * (1 + fraction))
    return s2 * (1 - fraction) * c / (1 - fraction * c)


def turnover_variance(t: ArrayLike, n: int, fraction: float, s2: float = 1.0) -> Array:
    """Gives E[v_t] under `Turnover(fraction)`: it collapses as replacement does, but slower.

    s2 (1 - 1/N) (1 - w/N)^(t-1), where w = 1 - m(m - 1)/(N(N - 1)), about λ(2 - λ), is the share
    of pairs of rows that a round does not keep, and m = (1 - λ)N rows are kept. Derivation: let
    c_t be the mean covariance of two rows of the training set; E[(mu_t - mu)^2] =
    s2/N + (1 - 1/N) c_t is also that of a new row with any other row, so c_(t+1) = (1 - w) c_t +
    w E[(mu_t - mu)^2], and E[v_t] = s2 - E[(mu_t - mu)^2] as every row has variance s2.
    """
    m = n - round(fraction * n)
    w = 1 - m * (m - 1) / (n * (n - 1))
    return np.asarray(s2 * (1 - 1 / n) * (1 - w / n) ** (np.asarray(t, float) - 1))


# Accumulation: N rows and `per_round` a round.


def accumulate_per_round_variance(t: ArrayLike, n: int, per_round: int, s2: float = 1.0) -> Array:
    """Gives E[v_t] where `per_round` rows are added to N: `Accumulate(per_round / N)`."""
    t = np.asarray(t, int)
    size = n + per_round * np.arange(1, t.max())
    factors = np.concatenate([[1 - 1 / n], 1 - per_round / size**2.0])
    return np.asarray(s2 * np.cumprod(factors)[t - 1])


def accumulate_per_round_limit(n: int, per_round: int, s2: float = 1.0) -> float:
    """Gives the limit of `accumulate_per_round_variance`."""
    z, a = n / per_round, 1 / np.sqrt(per_round)
    gammaln = scipy.special.gammaln
    log_limit = 2 * gammaln(1 + z) - gammaln(1 + z - a) - gammaln(1 + z + a)
    return float(s2 * (1 - 1 / n) * np.exp(log_limit))


def subsample_variance(t: int, n: int, size: int, new: int, s2: float = 1.0) -> Array:
    """Gives E[v_1 … v_t] (t,) under `AccumulateSubsample(size)`.

    Args:
        t: number of fits.
        n: real rows.
        size: rows that a fit is made on.
        new: rows added a round.
        s2: true variance.
    """
    pool = n + new * np.arange(t, dtype=float)
    unseen = (pool - size) / (size * (pool - 1))
    # E of the whole pool's variance; then of the new rows', and of the distance of their mean.
    beta = np.empty(t)
    beta[0] = 1 - 1 / n
    for i in range(1, t):
        fit = 1 - unseen[i - 1]
        apart = pool[i - 1] * new / pool[i] * (fit / new + unseen[i - 1]) if new else 0.0
        beta[i] = (
            beta[i - 1] * (pool[i - 1] + (new - 1) * fit + apart) / pool[i] if new else beta[0]
        )
    return np.asarray(s2 * beta * (1 - unseen))


# How many real rows keep the loop from collapsing, with `Replace` and m real rows of N.


def ratio_to_population(m: ArrayLike, n: int) -> Array:
    """Gives E[v]/s2 where the loop settles, with m fixed real rows of N."""
    m = np.asarray(m, float)
    return (1 - 1 / m) * ratio_to_subset(m, n)


def ratio_to_subset(m: ArrayLike, n: int) -> Array:
    """Gives E[v] where the loop settles over the variance of its own m real rows."""
    m = np.asarray(m, float)
    lam = 1 - m / n
    return 1 / (1 + lam / (m * (1 + lam)))


def min_real_rows(n: int, share: float, to_subset: bool = False) -> int:
    """Gives the least m of N rows at which the variance settles at `share` or more."""
    m = np.arange(1, n)
    ratio = ratio_to_subset(m, n) if to_subset else ratio_to_population(m, n)
    enough = np.flatnonzero(ratio >= share)
    return int(m[enough[0]]) if len(enough) else n
