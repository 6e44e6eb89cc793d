"""Noise levels that suit a data set: where few calls of a perfect network err least.

A schedule that is even in some power of sigma spends calls where the denoiser of the data hardly
bends. How a denoiser bends is known for a mixture of the data's own classes or clusters.
"""

import math
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lightning_collapse.sampling.bias import exact_samples
from lightning_collapse.sampling.choice import Sampling
from lightning_collapse.sampling.oracles import Groups
from lightning_collapse.seeds import generator

__all__ = ["fitted"]

_FINE_STEPS = 96
_FEW_NUMBERS = 16
"""In a row, for many tries to take less than a minute."""
_SHORTEST = -8.0
"""Least logarithm of a step's length over the longest's, so that levels stay apart."""


def fitted(sampling: Sampling, groups: Groups, n: int = 256) -> Sampling:
    """Gives the sampling with noise levels in place of its schedule's, fitted to a mixture.

    By least squares, with the mixture's exact denoiser: samples are to lie where 96 levels of
    `dpmpp_3m` take the same noise, and to vary along each principal axis as the mixture does. The
    ends, sigma_max and sigma_min, stay. A minimum near the schedule's own levels is found, of
    which there may be others. The noise is another than that of `mixture_bias`, which so tells
    what the levels are worth.

    Args:
        sampling: solver and number of levels, and a schedule to begin with; levels are fitted
            without its churn, temperature or stop.
        groups: the mixture.
        n: samples.

    Raises:
        ValueError: there are fewer than 3 levels, so that none is free.
    """
    from scipy.optimize import least_squares

    if sampling.num_steps < 3:
        raise ValueError(f"num_steps = {sampling.num_steps}: must be at least 3 to be fitted")
    plain = replace(sampling, S_churn=0.0, temperature=1.0, last="denoise")
    noise = torch.randn(
        n, len(groups.mean), generator=generator(0, "fitted levels"), dtype=torch.float64
    )
    fine = Sampling(
        num_steps=_FINE_STEPS,
        sigma_min=sampling.sigma_min,
        sigma_max=sampling.sigma_max,
        start=sampling.start,
    )
    axes = torch.linalg.eigh(groups.covariance)[1]

    def spread(rows: Tensor) -> Tensor:
        along: Tensor = (rows - rows.mean(0)) @ axes
        return along.square().mean(0).sqrt()

    wanted, varied = fine(groups.denoiser, noise), spread(exact_samples(groups, noise))

    def error(lengths: NDArray[np.float64]) -> NDArray[np.float64]:
        found = _spaced(plain, lengths)(groups.denoiser, noise)
        far = (found - wanted).flatten() / math.sqrt(n)
        return torch.cat([far, spread(found) - varied]).numpy()

    # Steps' lengths in ln sigma, whose own logarithms may be any numbers.
    start = np.log(-np.diff(plain.sigmas[:-1].log().numpy()))
    tries = 60 if len(groups.mean) <= _FEW_NUMBERS else 20
    found = least_squares(error, start, max_nfev=tries)
    return _spaced(sampling, found.x, digits=5)


def _spaced(sampling: Sampling, lengths: NDArray[np.float64], digits: int = 17) -> Sampling:
    shares = np.exp(np.maximum(lengths - lengths.max(), _SHORTEST))
    shares = np.cumsum(shares / shares.sum())[:-1]
    span = math.log(sampling.sigma_max / sampling.sigma_min)
    inner = [float(f"{sampling.sigma_max * math.exp(-span * at):.{digits}g}") for at in shares]
    levels = (sampling.sigma_max, *inner, sampling.sigma_min)
    return replace(sampling, schedule="levels", levels=levels)
