"""What a sampler alone does to the data's variance, were the network perfect.

In a loop of sampling and retraining the sampler's bias compounds every round, and then looks like
collapse or hides it. For a Gaussian the exact denoiser is known and linear, and so is a sampler
that adds no noise: along every principal axis it multiplies the noise by one number, the standard
deviation of its samples.
"""

import torch
from torch import Tensor

from lightning_collapse.data.store.shards import StoredRows
from lightning_collapse.rows import network_units
from lightning_collapse.sampling.solvers import Sampler

__all__ = ["compounded_std", "principal_std", "sampled_std"]

_MAX_ROWS = 4096


def principal_std(stored: StoredRows) -> Tensor:
    """Gives the standard deviations (k,) of a store's first rows along their principal axes.

    In network units; axes along which they do not vary are left out, and may be all.
    """
    rows = stored[torch.arange(min(len(stored), _MAX_ROWS))]
    rows = network_units(rows.flatten(1), torch.float64)
    std: Tensor = torch.linalg.svdvals(rows - rows.mean(0)) / len(rows) ** 0.5
    return std[std > 1e-6 * std.max()]


def sampled_std(sampler: Sampler, sigmas: Tensor, std: Tensor) -> Tensor:
    """Gives the standard deviation of samples along axes (k,) where the data's is `std` (k,)."""
    variances = std.double() ** 2

    def denoise(x: Tensor, sigma: Tensor) -> Tensor:
        gain: Tensor = variances / (variances + sigma**2)  # along each principal axis
        return gain * x

    return sampler(denoise, torch.ones_like(variances)[None], sigmas)[0].abs()


def compounded_std(sampler: Sampler, sigmas: Tensor, std: Tensor, rounds: int) -> Tensor:
    """Gives the standard deviations (rounds + 1, k) of data sampled from itself round after round.

    Args:
        sampler: a sampler that adds no noise (no churn).
        sigmas: its noise levels (num_steps + 1,), decreasing to 0.
        std: of the real data, along axes (k,).
        rounds: how many times the samples become the data.
    """
    course = [std.double()]
    for _ in range(rounds):
        course.append(sampled_std(sampler, sigmas, course[-1]))
    return torch.stack(course)
