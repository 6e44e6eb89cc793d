"""The Gaussian loop in closed form: fit a Gaussian, sample N rows, fit again.

Truth N(mu, s2) in one dimension; fits by maximum likelihood (divided by N) unless said otherwise.
t = 1, 2, … counts fits, t = 1 being the one on N real rows, so t = round + 1. Arguments named t
may be arrays. All formulas were derived or re-derived for this project and checked by simulation;
those in full replacement go back to Shumailov et al. 2023 (2305.17493) and Alemohammad et al. 2024
(2307.01850), those of accumulation to Kazdan et al. 2024 (2410.16713).

Every fit obeys E[v_t] + E[(mu_t - mu)^2] = s2: what variance loses, the mean's drift gains.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import digamma, gammaln, polygamma
from scipy.stats import gamma, invgamma, invgauss, norm

__all__ = [
    "Moments",
    "StationaryMix",
    "accumulate_limit",
    "accumulate_per_round_limit",
    "accumulate_per_round_variance",
    "accumulate_variance",
    "augment_mix",
    "band_real_rows",
    "fixed_mix",
    "fixed_mix_stationary",
    "first_order_band",
    "first_order_std",
    "fresh_mix",
    "fresh_mix_stationary",
    "mean_increment",
    "min_real_rows",
    "ratio_to_population",
    "ratio_to_subset",
    "replace_band",
    "replace_log_determinant",
    "replace_log_variance",
    "replace_mean_error",
    "replace_std",
    "replace_variance",
    "replace_variance_std",
    "replace_wasserstein",
    "subsample_variance",
    "time_to_share",
    "turnover_variance",
    "variance_floor",
]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Moments:
    """A loop's moments at t = 1 … T, averaged over replicas (T,)."""

    variance: Array
    """E[v_t]."""
    mean_error: Array
    """E[(mu_t - mu)^2]."""


def first_order_std(mean_error: ArrayLike, s2: float = 1.0) -> Array:
    """Gives the standard deviation of v_t over replicas while E[(mu_t - mu)^2] is far below s2.

    Two rows' squares are correlated as the rows are, with 2 s2^2 for s2, whatever the regime:
    Var v_t = 2 s2 E[(mu_t - mu)^2], up to higher orders of E[(mu_t - mu)^2] / s2.
    """
    return np.asarray(np.sqrt(2 * s2 * np.asarray(mean_error, float)))


def first_order_band(
    variance: ArrayLike, mean_error: ArrayLike, s2: float = 1.0, dim: int = 1
) -> tuple[Array, Array]:
    """Gives the 5 and 95 % quantiles of v_t over replicas, for v_t averaged over `dim` dimensions.

    They are those of the gamma law with mean E[v_t] and variance 2 E[v_t] E[(mu_t - mu)^2], which
    is exact at t = 1; NaN where E[(mu_t - mu)^2] is above s2/20.
    """
    mean, drift = np.asarray(variance, float), np.asarray(mean_error, float)
    scale = 2 * np.where(drift <= s2 / 20, drift, np.nan) / dim
    low, high = (gamma.ppf(q, mean / scale, scale=scale) for q in (0.05, 0.95))
    return np.asarray(low), np.asarray(high)


@dataclass(frozen=True)
class StationaryMix:
    """Where a loop with a share of real rows settles."""

    variance: float
    """E[v]."""
    mean_error: float
    """E[(mu_t - mu)^2]."""
    relaxation: float
    """Generations in which a deviation falls by a factor e: -1/ln λ."""


# Full replacement: mu' = mu + sqrt(v/N) Z, v' = v chi2_(N-1)/den, den = N, or N - 1 if unbiased.


def replace_variance(t: ArrayLike, n: int, s2: float = 1.0, unbiased: bool = False) -> Array:
    """Gives E[v_t] under full replacement: s2 (1 - 1/N)^t, or s2 for the unbiased estimator."""
    shrink = 1.0 if unbiased else 1 - 1 / n
    return s2 * shrink ** np.asarray(t, float)


def replace_variance_std(t: ArrayLike, n: int, s2: float = 1.0, unbiased: bool = False) -> Array:
    """Gives the standard deviation of v_t over replicas, which soon dwarfs its mean."""
    t = np.asarray(t, float)
    growth = 1 + 2 / (n - 1) if unbiased else 1 - 1 / n**2
    return np.sqrt(s2**2 * growth**t - replace_variance(t, n, s2, unbiased) ** 2)


def replace_log_variance(
    t: ArrayLike, n: int, s2: float = 1.0, unbiased: bool = False
) -> tuple[Array, Array]:
    """Gives mean and variance of log v_t; exp of the mean is the median, up to O(1/N)."""
    t = np.asarray(t, float)
    drift, variance = _log_step(n, unbiased)
    return np.log(s2) + t * drift, t * variance


def replace_band(t: ArrayLike, n: int, s2: float = 1.0) -> tuple[Array, Array]:
    """Gives the 5 and 95 % quantiles of v_t under full replacement, were log v_t normal.

    It is a sum of t independent terms, each of skewness about -sqrt(2/N).
    """
    mean, variance = replace_log_variance(t, n, s2)
    spread = norm.ppf(0.95) * np.sqrt(variance)
    return np.exp(mean - spread), np.exp(mean + spread)


def replace_log_determinant(t: ArrayLike, n: int, dim: int, s2: float = 1.0) -> Array:
    """Gives E[log det of the covariance] / d at t, for truth N(mu, s2 · I) in d < N dimensions."""
    drift = np.mean(digamma((n - np.arange(1, dim + 1)) / 2)) + np.log(2 / n)
    return np.asarray(np.log(s2) + np.asarray(t, float) * drift)


def replace_mean_error(t: ArrayLike, n: int, s2: float = 1.0, unbiased: bool = False) -> Array:
    """Gives E[(mu_t - mu)^2] under full replacement."""
    t = np.asarray(t, float)
    return s2 * t / n if unbiased else s2 * (1 - (1 - 1 / n) ** t)


def replace_std(t: ArrayLike, n: int, s2: float = 1.0, unbiased: bool = False) -> Array:
    """Gives E[sigma_t] = sigma c^t, c = sqrt(2/den) Γ(N/2) / Γ((N-1)/2)."""
    den = n - 1 if unbiased else n
    log_c = 0.5 * np.log(2 / den) + gammaln(n / 2) - gammaln((n - 1) / 2)
    return np.asarray(np.sqrt(s2) * np.exp(log_c * np.asarray(t, float)))


def replace_wasserstein(t: ArrayLike, n: int, s2: float = 1.0, unbiased: bool = False) -> Array:
    """Gives E[W2^2] between the fit at t and the truth."""
    spread = replace_variance(t, n, s2, unbiased) + s2
    cross = 2 * np.sqrt(s2) * replace_std(t, n, s2, unbiased)
    return np.asarray(spread - cross + replace_mean_error(t, n, s2, unbiased))


def time_to_share(n: int, share: float = 0.01, unbiased: bool = False) -> dict[str, float]:
    """Gives mean and quantiles of the first t at which v_t < share · s2.

    log v_t is a random walk with drift; the time is inverse Gaussian, with Siegmund's correction
    of 0.5826 standard deviations of a step for the overshoot.
    """
    drift, variance = _log_step(n, unbiased)
    barrier = -np.log(share) + 0.5826 * np.sqrt(variance)
    mean, shape = barrier / -drift, barrier**2 / variance
    law = invgauss(mean / shape, scale=shape)
    q05, median, q95 = law.ppf([0.05, 0.5, 0.95])
    return {"mean": float(mean), "q05": float(q05), "median": float(median), "q95": float(q95)}


def variance_floor(n: int, reg_covar: float = 1e-6) -> dict[str, float]:
    """Gives the stationary law of v under full replacement with `reg_covar` added to every fit.

    scikit-learn's mixtures add it: v' = v chi2/N + r settles at InvGamma(2, scale N r).
    """
    law = invgamma(2, scale=n * reg_covar)
    q05, median, q95 = law.ppf([0.05, 0.5, 0.95])
    return {
        "mean": float(law.mean()),
        "q05": float(q05),
        "median": float(median),
        "q95": float(q95),
    }


def _log_step(n: int, unbiased: bool) -> tuple[float, float]:
    """Mean and variance of log(chi2_(N-1) / den)."""
    den = n - 1 if unbiased else n
    drift = digamma((n - 1) / 2) + np.log(2 / den)
    return float(drift), float(polygamma(1, (n - 1) / 2))


# A share of real rows: N rows, n = λN synthetic, m = N - n real.


def fixed_mix(rounds: int, n: int, fraction: float, s2: float = 1.0) -> Moments:
    """Gives the moments under `Replace(fraction)`: the same m real rows in every round.

    Averaged over the real rows too. The first fit is on all N.
    """
    m = n - round(fraction * n)
    if m == 0:
        v = replace_variance(np.arange(1, rounds + 1), n, s2)
        return Moments(v, s2 - v)
    return _fixed_real(rounds, m, n - m, s2, s2 * (1 - 1 / n), s2 / n)


def augment_mix(rounds: int, n: int, samples: int, s2: float = 1.0) -> Moments:
    """Gives the moments under `Augment(samples / N)`: all N real rows and `samples` newest."""
    return _fixed_real(rounds, n, samples, s2, s2 * (1 - 1 / n), s2 / n)


def _fixed_real(
    rounds: int, m: int, samples: int, s2: float, variance: float, error: float
) -> Moments:
    """Moments with the same m real rows and `samples` newest rows in every round but the first.

    The first fit has the variance and mean error given; its rows include the m, whose mean is a.
    The recursion is that of E[v], E[(mu - a)^2] and E[(mu - a)(a - mu*)].
    """
    total = m + samples
    lam = samples / total
    v, d, cross = variance, s2 / m - error, error - s2 / m
    variances, errors = [], []
    for _ in range(rounds):
        variances.append(v)
        errors.append(d + 2 * cross + s2 / m)
        new_v = (1 - lam) * s2 * (1 - 1 / m) + lam * (1 - 1 / total) * v + lam * (1 - lam) * d
        v, d, cross = new_v, lam**2 * d + lam * v / total, lam * cross
    return Moments(np.array(variances), np.array(errors))


def fixed_mix_stationary(n: int, fraction: float, s2: float = 1.0) -> StationaryMix:
    """Gives where `Replace(fraction)`, 0 < fraction < 1, settles: the count m decides."""
    m = n - round(fraction * n)
    lam = 1 - m / n
    v = s2 * (1 - 1 / m) / (1 + lam / (m * (1 + lam)))
    return StationaryMix(v, s2 / m + lam * v / (n * (1 - lam**2)), -1 / np.log(lam))


def mix_temporal_std(n: int, fraction: float) -> float:
    """Gives the relative spread of v in time, around where `Replace(fraction)` has settled."""
    return float(np.sqrt(2 * fraction / (n * (1 - fraction**2))))


def fresh_mix(rounds: int, n: int, fraction: float, s2: float = 1.0) -> Moments:
    """Gives the moments under `Fresh(fraction, n)`: m new real rows in every round."""
    variance, error = [], []
    v, d = s2 * (1 - 1 / n), s2 / n
    for _ in range(rounds):
        variance.append(v)
        error.append(d)
        pooled = (1 - fraction) * s2 + fraction * v
        v = (1 - 1 / n) * pooled + fraction * (1 - fraction) * d
        d = pooled / n + fraction**2 * d
    return Moments(np.array(variance), np.array(error))


def fresh_mix_stationary(n: int, fraction: float, s2: float = 1.0) -> StationaryMix:
    """Gives where `Fresh(fraction, n)` settles."""
    c = 1 - 1 / (n * (1 + fraction))
    v = s2 * (1 - fraction) * c / (1 - fraction * c)
    return StationaryMix(v, s2 - v, -1 / np.log(fraction))


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


# Accumulation: t N rows at fit t.


def accumulate_variance(t: ArrayLike, n: int, s2: float = 1.0) -> Array:
    """Gives E[v_t] under `Accumulate()`: s2 times the product of 1 - 1/(N k^2), k = 1 … t."""
    t = np.asarray(t, int)
    k = np.arange(1, t.max() + 1)
    return np.asarray(s2 * np.cumprod(1 - 1 / (n * k**2))[t - 1])


def accumulate_limit(n: int, s2: float = 1.0) -> float:
    """Gives the limit of `accumulate_variance`: s2 sin(x)/x, x = π/sqrt(N)."""
    return float(s2 * np.sinc(1 / np.sqrt(n)))


def mean_increment(t: ArrayLike, n: int, s2: float = 1.0, per_round: int | None = None) -> Array:
    """Gives E[(mu_t - mu_(t-1))^2] under `Accumulate()`, t >= 2: E[v_(t-1)] / (N t^2).

    `per_round` rows are added each round, N if not given: n E[v_(t-1)] / M_t^2 for n on M_t.
    """
    t = np.asarray(t, int)
    new = n if per_round is None else per_round
    before = accumulate_per_round_variance(t - 1, n, new, s2)
    return np.asarray(new * before / (n + new * (t - 1.0)) ** 2)


def accumulate_per_round_variance(t: ArrayLike, n: int, per_round: int, s2: float = 1.0) -> Array:
    """Gives E[v_t] where `per_round` rows are added to N: `Accumulate(per_round / N)`."""
    t = np.asarray(t, int)
    size = n + per_round * np.arange(1, t.max())
    factors = np.concatenate([[1 - 1 / n], 1 - per_round / size**2.0])
    return np.asarray(s2 * np.cumprod(factors)[t - 1])


def accumulate_per_round_limit(n: int, per_round: int, s2: float = 1.0) -> float:
    """Gives the limit of `accumulate_per_round_variance`."""
    z, a = n / per_round, 1 / np.sqrt(per_round)
    log_limit = 2 * gammaln(1 + z) - gammaln(1 + z - a) - gammaln(1 + z + a)
    return float(s2 * (1 - 1 / n) * np.exp(log_limit))


def subsample_variance(
    t: int, n: int, size: int | None = None, s2: float = 1.0, per_round: int | None = None
) -> Array:
    """Gives E[v_1 … v_t] (t,) under `AccumulateSubsample(size)`.

    Args:
        t: number of fits.
        n: real rows.
        size: rows that a fit is made on; N if not given.
        s2: true variance.
        per_round: rows added a round; N if not given.
    """
    size = n if size is None else size
    new = n if per_round is None else per_round
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


def band_real_rows(n: int, tolerance: float) -> int:
    """Gives the least m at which 95 % of runs settle within ± tolerance · s2 of s2."""
    m = np.arange(1, n)
    lam = 1 - m / n
    spread = 2 * (1 + 2 * lam) / (m * (1 + lam))
    enough = np.flatnonzero(1.96 * np.sqrt(spread) <= tolerance)
    return int(m[enough[0]]) if len(enough) else n
