"""A sampler as configurations, commands and recipes name it: a solver and its schedule."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from lightning_collapse.sampling.schedules import (
    check_levels,
    karras_sigmas,
    log_uniform_sigmas,
)

if TYPE_CHECKING:  # The command line knows the options before torch is there.
    from torch import Tensor

    from lightning_collapse.sampling.solvers import Denoiser

__all__ = ["Sampling"]


@dataclass(frozen=True)
class Sampling:
    """A solver and its schedule, chosen by name.

    Attributes:
        solver: which sampler; Heun calls the network twice a level but for the last, the others
            once.
        schedule: how the noise levels are spaced.
        num_steps: number of noise levels above 0.
        sigma_min: lowest level above 0.
        sigma_max: highest level.
        rho: exponent of the Karras schedule; the other ignores it.
        S_churn: fresh noise, over all steps; only Heun takes it, as the three below.
        S_min: lowest level at which to add noise.
        S_max: highest level at which to add noise; .inf is no limit.
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
        check_levels(self.num_steps, self.sigma_min, self.sigma_max, self.rho)

    @classmethod
    def recorded(cls, options: Mapping[str, Any]) -> "Sampling":
        """Makes what a recipe holds, in which infinity is null."""
        values: dict[str, Any] = {k: math.inf if v is None else v for k, v in options.items()}
        return cls(**values)

    @property
    def sigmas(self) -> "Tensor":
        """Noise levels (num_steps + 1,), float64."""
        if self.schedule == "karras":
            return karras_sigmas(self.num_steps, self.sigma_min, self.sigma_max, self.rho)
        return log_uniform_sigmas(self.num_steps, self.sigma_min, self.sigma_max)

    def __call__(
        self,
        denoise: "Denoiser",
        noise: "Tensor",
        randn_like: "Callable[[Tensor], Tensor] | None" = None,
    ) -> "Tensor":
        """Makes samples (B, *) of unit normal noise (B, *).

        Args:
            denoise: the denoiser D(x, sigma).
            noise: unit normal noise (B, *).
            randn_like: draws fresh noise (B, *) for churn; default: from torch's own generator.
        """
        from lightning_collapse.sampling import solvers

        if self.solver == "heun":
            churn: dict[str, Any] = {} if randn_like is None else {"randn_like": randn_like}
            for name in ("S_churn", "S_min", "S_max", "S_noise"):
                churn[name] = getattr(self, name)
            return solvers.heun_sampler(denoise, noise, self.sigmas, **churn)
        solver = {
            "dpmpp_3m": solvers.dpmpp_3m_sampler,
            "dpmpp_2m": solvers.dpmpp_2m_sampler,
            "euler": solvers.euler_sampler,
        }[self.solver]
        return solver(denoise, noise, self.sigmas)
