"""Schedules: the noise levels that a sampler walks, decreasing from sigma_max to 0."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["check_levels", "given_sigmas", "karras_sigmas", "log_uniform_sigmas"]


def karras_sigmas(
    num_steps: int, sigma_min: float = 0.002, sigma_max: float = 80.0, rho: float = 7.0
) -> "Tensor":
    """Gives noise levels that are evenly spaced in sigma^(1/rho), then 0 (Karras et al., Eq. 5).

    Returns:
        Decreasing levels (num_steps + 1,), float64.
    """
    import torch

    check_levels(num_steps, sigma_min, sigma_max, rho)
    root_max, root_min = sigma_max ** (1 / rho), sigma_min ** (1 / rho)
    levels = torch.linspace(root_max, root_min, num_steps, dtype=torch.float64) ** rho
    return torch.cat([levels, levels.new_zeros(1)])


def log_uniform_sigmas(
    num_steps: int, sigma_min: float = 0.002, sigma_max: float = 80.0
) -> "Tensor":
    """Gives noise levels that are evenly spaced in ln sigma, then 0.

    Returns:
        Decreasing levels (num_steps + 1,), float64.
    """
    import torch

    check_levels(num_steps, sigma_min, sigma_max)
    log_max, log_min = math.log(sigma_max), math.log(sigma_min)
    levels = torch.linspace(log_max, log_min, num_steps, dtype=torch.float64).exp()
    return torch.cat([levels, levels.new_zeros(1)])


def given_sigmas(levels: Sequence[float]) -> "Tensor":
    """Gives those noise levels, then 0: (n + 1,), float64."""
    import torch

    return torch.tensor([*levels, 0.0], dtype=torch.float64)


def check_levels(num_steps: int, sigma_min: float, sigma_max: float, rho: float = 7.0) -> None:
    """Raises ValueError where there are no such noise levels."""
    if num_steps < 1:
        raise ValueError(f"num_steps must be at least 1, got {num_steps}")
    if not 0 < sigma_min < sigma_max < math.inf:
        raise ValueError(
            f"sigma_min and sigma_max must satisfy 0 < sigma_min < sigma_max, "
            f"got {sigma_min} and {sigma_max}"
        )
    if not rho > 0:
        raise ValueError(f"rho must be positive, got {rho}")
