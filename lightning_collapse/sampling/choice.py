"""A sampler as configurations, commands and recipes name it: a solver and its schedule."""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

from lightning_collapse.sampling.schedules import (
    check_levels,
    given_sigmas,
    karras_sigmas,
    log_uniform_sigmas,
)

if TYPE_CHECKING:  # The command line knows the options before torch is there.
    from torch import Tensor

    from lightning_collapse.sampling.solvers import Denoiser

__all__ = ["Sampling", "same_latents"]

# Than some recipes.
_YOUNGER = ("temperature", "start", "last", "latents", "levels")


@dataclass(frozen=True)
class Sampling:
    """A solver and its schedule, chosen by name.

    Attributes:
        solver: which sampler; Heun calls the network twice a level but for the last, the others
            once.
        schedule: how the noise levels are spaced; or `levels`, which are given.
        num_steps: number of noise levels above 0.
        sigma_min: lowest level above 0.
        sigma_max: highest level.
        rho: exponent of the Karras schedule; the others ignore it.
        S_churn: fresh noise, over all steps; only Heun takes it, as the three below.
        S_min: lowest level at which to add noise.
        S_max: highest level at which to add noise; .inf is no limit.
        S_noise: standard deviation of the added noise.
        temperature: variance of all noise that sampling takes in, that of the start and of churn,
            beside the usual; the score is left as it is. Samples of a Gaussian N(mu, C) get
            temperature times their covariance, exactly so for all solvers: the sampling bias
            lambda of Alemohammad et al. 2024 (https://arxiv.org/abs/2307.01850).
        start: whether sampling starts from noise around zero; or around the data's mean, as data
            of noise sigma_max lie: the denoiser's first answer is added to it, which is that mean
            but for (deviation / sigma_max)^2, at no further call. Around zero, samples along an
            axis of mean m and deviation s are off by m s / sigma_max.
        last: whether the last step is to noise level 0, which shrinks an axis of deviation s by
            s / sqrt(s^2 + sigma_min^2); or sampling stops at sigma_min, which leaves the noise of
            that level in the samples.
        latents: whether each round's samples have noise and classes of their own; or sample i of
            every round those that sample i of round 0 has.
        levels: for schedule `levels`, the num_steps noise levels, falling from sigma_max to
            sigma_min; `control --fit true` finds some for a data set.
    """

    solver: Literal["dpmpp_3m", "dpmpp_2m", "heun", "euler", "unipc_3m"] = "dpmpp_3m"
    schedule: Literal["log_uniform", "karras", "levels"] = "log_uniform"
    num_steps: int = 35
    sigma_min: float = 0.002
    sigma_max: float = 80.0
    rho: float = 7.0
    S_churn: float = 0.0
    S_min: float = 0.0
    S_max: float = math.inf
    S_noise: float = 1.0
    temperature: float = 1.0
    start: Literal["zero", "mean"] = "zero"
    last: Literal["denoise", "stop"] = "denoise"
    latents: Literal["fresh", "same"] = "fresh"
    levels: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        try:
            object.__setattr__(self, "levels", tuple(map(float, self.levels)))
        except TypeError:
            raise ValueError(f"levels = {self.levels}: must be a list of numbers") from None
        if self.S_churn and self.solver != "heun":
            raise ValueError(f"S_churn = {self.S_churn}: only solver heun takes fresh noise")
        if not self.S_churn >= 0:  # NaN too
            raise ValueError(f"S_churn = {self.S_churn}: must be at least 0")
        if not 0 < self.temperature < math.inf:  # NaN too
            raise ValueError(f"temperature = {self.temperature}: must be a number > 0")
        if self.last == "stop" and self.num_steps == 1:
            raise ValueError("last = stop: needs num_steps of at least 2; 1 would leave the noise")
        check_levels(self.num_steps, self.sigma_min, self.sigma_max, self.rho)
        self._check_given()

    def _check_given(self) -> None:
        if self.schedule != "levels":
            if self.levels:
                raise ValueError(f"levels: need schedule = levels, got {self.schedule}")
            return
        if len(self.levels) != self.num_steps:
            raise ValueError(
                f"levels: must be as many as num_steps = {self.num_steps}, got {len(self.levels)}"
            )
        ends = self.levels[0], self.levels[-1]
        if ends != (self.sigma_max, self.sigma_min if self.num_steps > 1 else self.sigma_max):
            raise ValueError(
                f"levels: must lead from sigma_max = {self.sigma_max} to sigma_min = "
                f"{self.sigma_min}, got {ends[0]} to {ends[1]}"
            )
        if not all(a > b for a, b in pairwise(self.levels)):
            raise ValueError(f"levels = {self.levels}: each must be below the one before")

    @classmethod
    def recorded(cls, options: Mapping[str, Any]) -> "Sampling":
        """Makes what a recipe holds, in which infinity is null and younger fields may be left out.

        Raises:
            TypeError: it holds what is no field.
            ValueError: a field is out of its range.
        """
        values: dict[str, Any] = {k: math.inf if v is None else v for k, v in options.items()}
        return cls(**values)

    @property
    def recipe(self) -> dict[str, Any]:
        """What `recorded` makes it of; the same as before for what could be said before."""
        usual = {field.name: field.default for field in fields(self) if field.name in _YOUNGER}
        told = {k: v for k, v in asdict(self).items() if k not in usual or v != usual[k]}
        # A recipe is compared with one read from JSON, which knows no tuples.
        return told | ({"levels": list(self.levels)} if self.levels else {})

    @property
    def sigmas(self) -> "Tensor":
        """Noise levels (num_steps + 1,), the last of them 0, or (num_steps,) without; float64."""
        if self.schedule == "levels":
            levels = given_sigmas(self.levels)
        elif self.schedule == "karras":
            levels = karras_sigmas(self.num_steps, self.sigma_min, self.sigma_max, self.rho)
        else:
            levels = log_uniform_sigmas(self.num_steps, self.sigma_min, self.sigma_max)
        return levels[:-1] if self.last == "stop" else levels

    @property
    def calls(self) -> int:
        """How often a sample calls the denoiser."""
        steps = self.num_steps - (self.last == "stop")
        return 2 * steps - (self.last == "denoise") if self.solver == "heun" else steps

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

        root = math.sqrt(self.temperature)
        noise = noise.to(solvers.state_dtype(noise.device)) * root
        if self.start == "mean":
            noise, denoise = solvers.around_mean(denoise, noise, float(self.sigmas[0]))
        if self.solver == "heun":
            churn: dict[str, Any] = {} if randn_like is None else {"randn_like": randn_like}
            for name in ("S_churn", "S_min", "S_max", "S_noise"):
                churn[name] = getattr(self, name)
            churn["S_noise"] *= root
            return solvers.heun_sampler(denoise, noise, self.sigmas, **churn)
        solver = {
            "dpmpp_3m": solvers.dpmpp_3m_sampler,
            "dpmpp_2m": solvers.dpmpp_2m_sampler,
            "euler": solvers.euler_sampler,
            "unipc_3m": solvers.unipc_3m_sampler,
        }[self.solver]
        return solver(denoise, noise, self.sigmas)


def same_latents(recipe: Mapping[str, Any]) -> bool:
    """Whether samples of that recipe share latents with those of every other round of the run."""
    sampling = recipe.get("sampling")
    return isinstance(sampling, Mapping) and sampling.get("latents") == "same"
