"""What a sampler alone does to the data's variance, were the network perfect.

In a loop of sampling and retraining the sampler's bias compounds every round, and then looks like
collapse or hides it. For a Gaussian the exact denoiser is known and linear, and so is a sampler in
all the noise that it takes in: along every principal axis it multiplies the noise of its start by
one number, and fresh noise of each step by another. The root of the sum of their squares is the
standard deviation of its samples.
"""

import torch
from torch import Tensor

from lightning_collapse.data.store.shards import StoredRows
from lightning_collapse.rows import network_units
from lightning_collapse.sampling.choice import Sampling

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
