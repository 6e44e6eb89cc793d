"""What a sampler alone does to the data's variance, were the network perfect.

In a loop of sampling and retraining the sampler's bias compounds every round, and then looks like
collapse or hides it. For a Gaussian the exact denoiser is known and linear, and so is a sampler in
all the noise that it takes in: along every principal axis it multiplies the noise of its start by
one number, and fresh noise of each step by another. The root of the sum of their squares is the
standard deviation of its samples.

Data of several classes or clusters bend the denoiser between them, and a sampler errs more on
them than on a Gaussian of the same covariance. `mixture_bias` tells that by samples.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_collapse.data.store.shards import StoredRows
from lightning_collapse.rows import network_units
from lightning_collapse.sampling.choice import Sampling
from lightning_collapse.sampling.oracles import Groups, grouped
from lightning_collapse.seeds import KeyedNormal, generator

__all__ = [
    "MixtureBias",
    "compounded_std",
    "data_bias",
    "data_groups",
    "exact_samples",
    "mixture_bias",
    "principal_std",
    "sampled_std",
]

_MAX_ROWS = 4096
_FINE_STEPS = 96
_MOST_NUMBERS = 256
"""In a row, for the denoiser of ten classes to take seconds."""


@dataclass(frozen=True)
class MixtureBias:
    """What a sampler alone does to the total variance of a mixture, in one round.

    Attributes:
        error: relative to the mixture's total variance.
        standard_error: of `error`, over samples.
        groups: what the mixture is made of, such as `10 classes`.
    """

    error: float
    standard_error: float
    groups: str

    def __str__(self) -> str:
        return f"{self.error:+.2%} ± {self.standard_error:.2%}"


def principal_std(stored: StoredRows) -> Tensor:
    """Gives the standard deviations (k,) of a store's first rows along their principal axes.

    In network units; axes along which they do not vary are left out, and may be all.
    """
    rows = stored[torch.arange(min(len(stored), _MAX_ROWS))]
    rows = network_units(rows.flatten(1), torch.float64)
    std: Tensor = torch.linalg.svdvals(rows - rows.mean(0)) / len(rows) ** 0.5
    return std[std > 1e-6 * std.max()]


def sampled_std(sampling: Sampling, std: Tensor) -> Tensor:
    """Gives the standard deviation of samples along axes (k,) where the data's is `std` (k,).

    Exact for every choice of solver, schedule, end, temperature and churn.
    """
    variances = std.double() ** 2

    def denoise(x: Tensor, sigma: Tensor) -> Tensor:
        gain: Tensor = variances / (variances + sigma**2)  # along each principal axis
        return gain * x

    drawn = 0

    def unit(x: Tensor) -> Tensor:
        """The noise of one step in one row, and none in the others."""
        nonlocal drawn
        drawn += 1
        noise = torch.zeros_like(x)
        noise[drawn] = 1
        return noise

    # The noise of the start in the first row.
    start = variances.new_zeros(1 + (sampling.num_steps if sampling.S_churn else 0), len(std))
    start[0] = 1
    found: Tensor = sampling(denoise, start, unit).norm(dim=0)
    return found


def compounded_std(sampling: Sampling, std: Tensor, rounds: int) -> Tensor:
    """Gives the standard deviations (rounds + 1, k) of data sampled from itself round after round.

    Args:
        sampling: solver and schedule.
        std: of the real data, along axes (k,).
        rounds: how many times the samples become the data.
    """
    course = [std.double()]
    for _ in range(rounds):
        course.append(sampled_std(sampling, course[-1]))
    return torch.stack(course)


def mixture_bias(sampling: Sampling, groups: Groups, n: int = 512) -> MixtureBias:
    """Tells what a sampler does to a mixture's total variance, with the mixture's exact denoiser.

    Its samples are paired with those of a much finer sampler of the same noise, which starts from
    the mixture's own mean and covariance at sigma_max, as the noisy data have them. The error is
    that of the difference, over the variance of the mixture in closed form: chance that both share
    cancels.

    Where the sampler starts at another level than 80, less chance is shared.

    Args:
        sampling: solver and schedule; noise of its own (`S_churn`) shares no chance.
        groups: the mixture.
        n: samples, at least 2.
    """
    d = len(groups.mean)
    noise = torch.randn(n, d, generator=generator(0, "mixture bias"), dtype=torch.float64)
    own = [generator(0, "mixture bias", "churn", i) for i in range(n)] if sampling.S_churn else []
    fresh = KeyedNormal(own)
    found = sampling(groups.denoiser, noise, lambda x: fresh((d,)).to(x))
    exact = exact_samples(groups, noise)
    squares = (found - found.mean(0)).square().sum(1) - (exact - exact.mean(0)).square().sum(1)
    total = float(groups.covariance.trace())
    error, spread = float(squares.mean()) / total, float(squares.std()) / total
    return MixtureBias(error, spread / math.sqrt(n), str(groups))


def data_groups(stored: StoredRows) -> Groups | None:
    """Gives the classes or clusters of a store's rows; see `grouped`.

    None where rows hold more than 256 numbers, which would take minutes, or are too much alike.
    """
    return grouped(stored) if math.prod(stored.shape) <= _MOST_NUMBERS else None


def data_bias(sampling: Sampling, stored: StoredRows) -> MixtureBias | None:
    """Gives `mixture_bias` for the classes or clusters of a store's rows, or None without them."""
    groups = data_groups(stored)
    return None if groups is None else mixture_bias(sampling, groups)


def exact_samples(groups: Groups, noise: Tensor) -> Tensor:
    """Gives the mixture's samples (n, d) that unit noise (n, d) flows to, nearly without error.

    At a noise level far above the mixture's deviation, where the flow starts, the noisy mixture is
    taken for a Gaussian of its own mean and covariance.
    """
    variances, axes = torch.linalg.eigh(groups.covariance)
    variances = variances.clamp(min=0)
    widest = float(variances[-1].sqrt())
    sigma_max = max(80.0, 80 * widest)
    scale = (1 + variances / sigma_max**2).sqrt()
    start = groups.mean / sigma_max + noise.double() @ (axes * scale) @ axes.T
    fine = Sampling(
        num_steps=_FINE_STEPS, sigma_max=sigma_max, sigma_min=min(0.002, 1e-3 * widest)
    )
    return fine(groups.denoiser, start)
