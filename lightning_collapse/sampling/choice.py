"""A sampler as configurations, commands and recipes name it: a solver and its schedule."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from lightning_collapse.sampling.schedules import karras_sigmas, log_uniform_sigmas
from lightning_collapse.sampling.solvers import (
    Denoiser,
    dpmpp_2m_sampler,
    dpmpp_3m_sampler,
    euler_sampler,
    heun_sampler,
)

__all__ = ["Sampling"]


@dataclass(frozen=True)
class Sampling:
    """A solver and its schedule, chosen by name.

    Attributes:
        solver: which sampler; network calls are `num_steps`, for Heun 2 * num_steps - 1.
        schedule: how the noise levels are spaced.
        num_steps: number of noise levels above 0.
        sigma_min: lowest level above 0.
        sigma_max: highest level.
        rho: exponent of the Karras schedule; the other ignores it.
        S_churn: fresh noise, over all steps; only Heun takes it, as the three below.
        S_min: lowest level at which to add noise.
        S_max: highest level at which to add noise.
        S_noise: standard deviation of the added noise.
    """

    solver: Literal["dpmpp_3m", "dpmpp_2m", "heun", "euler"] = "dpmpp_3m"
    schedule: Literal["log_uniform", "karras"] = "log_uniform"
    num_steps: int = 35
    sigma_min: float = 0.002
    sigma_max: float = 80.0
    rho: float = 7.0
    S_churn: float = 0.0
    S_min: float = 0.0
    S_max: float = math.inf
    S_noise: float = 1.0

    def __post_init__(self) -> None:
        if self.S_churn and self.solver != "heun":
            raise ValueError(f"S_churn = {self.S_churn}: only solver heun takes fresh noise")
        if not self.S_churn >= 0:  # NaN too
            raise ValueError(f"S_churn = {self.S_churn}: must be at least 0")
        _ = self.sigmas

    @classmethod
    def recorded(cls, options: Mapping[str, Any]) -> "Sampling":
        """Makes what a recipe holds, in which infinity is null."""
        values: dict[str, Any] = {k: math.inf if v is None else v for k, v in options.items()}
        return cls(**values)

    @property
    def sigmas(self) -> Tensor:
        """Noise levels (num_steps + 1,), float64."""
        if self.schedule == "karras":
            return karras_sigmas(self.num_steps, self.sigma_min, self.sigma_max, self.rho)
        return log_uniform_sigmas(self.num_steps, self.sigma_min, self.sigma_max)

    def __call__(
        self,
        denoise: Denoiser,
        noise: Tensor,
        randn_like: Callable[[Tensor], Tensor] = torch.randn_like,
    ) -> Tensor:
        """Gives samples (B, *) from unit normal noise (B, *); see the samplers."""
        if self.solver == "heun":
            return heun_sampler(
                denoise,
                noise,
                self.sigmas,
                S_churn=self.S_churn,
                S_min=self.S_min,
                S_max=self.S_max,
                S_noise=self.S_noise,
                randn_like=randn_like,
            )
        solvers = {
            "dpmpp_3m": dpmpp_3m_sampler,
            "dpmpp_2m": dpmpp_2m_sampler,
            "euler": euler_sampler,
        }
        return solvers[self.solver](denoise, noise, self.sigmas)
