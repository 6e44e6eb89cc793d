"""Closed forms that only tests compare with: of the toys' loops, and a sampler's bias."""

from collections import namedtuple

import numpy as np
import torch
from scipy.special import digamma, polygamma
from scipy.stats import invgauss

from lightning_collapse.theory import gaussian

SettledMix = namedtuple("SettledMix", "variance mean_error")


def first_order_std(mean_error, s2):
    """The standard deviation of v_t over replicas while E[(mu_t - mu)^2] is far below s2."""
    return np.sqrt(2 * s2 * np.asarray(mean_error, float))


def settled_mix(n, fraction, s2):
    """Where `Replace(fraction)` settles."""
    m = n - round(fraction * n)
    lam = 1 - m / n
    v = s2 * float(gaussian.ratio_to_population(m, n))
    return SettledMix(v, s2 / m + lam * v / (n * (1 - lam**2)))


def time_to_share(n, share=0.01):
    """Mean and quantiles of the first t at which v_t < share · s2, under full replacement.

    log v_t is a random walk with drift; the time is inverse Gaussian, with Siegmund's correction
    of 0.5826 standard deviations of a step for the overshoot.
    """
    drift, variance = digamma((n - 1) / 2) + np.log(2 / n), polygamma(1, (n - 1) / 2)
    barrier = -np.log(share) + 0.5826 * np.sqrt(variance)
    mean, shape = barrier / -drift, barrier**2 / variance
    q05, median, q95 = invgauss(mean / shape, scale=shape).ppf([0.05, 0.5, 0.95])
    return {"mean": float(mean), "q05": q05, "median": median, "q95": q95}


def same_inputs_error_std(error, dim, rows):
    """The standard deviation over replicas of a regression's error, all fits on the same inputs.

    Given X, w_n - w is normal with covariance proportional to (X'X)^-1, whose first two moments
    are an inverse Wishart matrix's; rows > dim + 3.
    """
    excess = rows - dim
    scale = excess * (excess - 1) * (excess - 3)
    traces = (2 * dim * (rows - 1) + (excess - 2) * dim**2 + 2 * dim) / scale
    relative = traces / (dim / (excess - 1)) ** 2 - 1
    return np.sqrt(relative) * np.asarray(error, float)


def gaussian_denoiser(mean, covariance):
    """The denoiser of a Gaussian, mean + C (C + sigma^2 I)^-1 (x - mean), for one sigma ().

    Args:
        mean: (*), of d elements in all.
        covariance: C (d, d), singular or not; or one variance for every dimension.
    """
    center = mean.double().flatten()
    C = torch.as_tensor(covariance, dtype=torch.float64)
    variances, axes = torch.linalg.eigh(C * torch.eye(len(center)).double() if C.ndim == 0 else C)
    variances = variances.clamp(min=0)

    def denoise(x, sigma):
        gain = variances / (variances + sigma.double() ** 2)
        rows = (x.double().flatten(1) - center) @ axes * gain
        return (rows @ axes.T + center).reshape(x.shape)

    return denoise


class SamplerBias:
    """Relative errors of a sampler's variance, one round with the exact denoiser of a Gaussian."""

    def __init__(self, sampler, sigmas, covariance):
        variances = torch.linalg.eigvalsh(covariance.double())
        self.variances = variances[variances > 1e-12 * variances.max()]
        denoise = gaussian_denoiser(torch.zeros(len(self.variances)), self.variances.diag())
        std = sampler(denoise, torch.eye(len(self.variances)), sigmas).norm(dim=1)
        self.std_errors = std / self.variances.sqrt() - 1
        self.variance_errors = (1 + self.std_errors) ** 2 - 1
        weighted = (self.variances * self.variance_errors).sum()
        self.total_variance_error = float(weighted / self.variances.sum())
