"""From noise to samples: schedules of noise levels and the solvers that walk them.

A sampler solves the probability-flow equation dx/dsigma = (x - D(x; sigma)) / sigma from
sigma_max down to 0 for any denoiser D (Karras et al. 2022, https://arxiv.org/abs/2206.00364,
Eq. 1 and 3). With lambda = -ln sigma it reads dx/dlambda = D - x, which the multistep solvers of
Lu et al. 2022 (DPM-Solver++, https://arxiv.org/abs/2211.01095) integrate exactly for a D that is
polynomial in lambda. All samplers have a bias of their own: see `analysis/control.py`.
"""

import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor

__all__ = [
    "Denoiser",
    "Sampler",
    "Sampling",
    "dpmpp_2m_sampler",
    "dpmpp_3m_sampler",
    "euler_sampler",
    "heun_sampler",
    "karras_sigmas",
    "log_uniform_sigmas",
    "state_dtype",
]

Denoiser = Callable[[Tensor, Tensor], Tensor]
"""`denoise(x, sigma)`: the expected clean data, given `x` (B, *) at the noise level `sigma` ()."""

Sampler = Callable[[Denoiser, Tensor, Tensor], Tensor]
"""`sampler(denoise, noise, sigmas)`: samples (B, *) from unit normal noise (B, *)."""

History = Sequence[tuple[float, Tensor]]
"""Pairs (lambda, D) of the last steps, newest first."""


def karras_sigmas(
    num_steps: int, sigma_min: float = 0.002, sigma_max: float = 80.0, rho: float = 7.0
) -> Tensor:
    """Gives noise levels that are evenly spaced in sigma^(1/rho), then 0 (Karras et al., Eq. 5).

    Returns:
        Decreasing levels (num_steps + 1,), float64.
    """
    _check_schedule(num_steps, sigma_min, sigma_max)
    if not rho > 0:
        raise ValueError(f"rho must be positive, got {rho}")
    root_max, root_min = sigma_max ** (1 / rho), sigma_min ** (1 / rho)
    levels = torch.linspace(root_max, root_min, num_steps, dtype=torch.float64) ** rho
    return torch.cat([levels, levels.new_zeros(1)])


def log_uniform_sigmas(
    num_steps: int, sigma_min: float = 0.002, sigma_max: float = 80.0
) -> Tensor:
    """Gives noise levels that are evenly spaced in ln sigma, then 0.

    Returns:
        Decreasing levels (num_steps + 1,), float64.
    """
    _check_schedule(num_steps, sigma_min, sigma_max)
    log_max, log_min = math.log(sigma_max), math.log(sigma_min)
    levels = torch.linspace(log_max, log_min, num_steps, dtype=torch.float64).exp()
    return torch.cat([levels, levels.new_zeros(1)])


def state_dtype(device: torch.device) -> torch.dtype:
    """Gives the precision of a sampler's state: float64, or float32 on MPS, which lacks it.

    Early steps subtract numbers of size sigma_max; float32 would leave their rounding in the data.
    """
    return torch.float32 if device.type == "mps" else torch.float64


@torch.no_grad()
def euler_sampler(denoise: Denoiser, noise: Tensor, sigmas: Tensor) -> Tensor:
    """Euler steps, of first order; the same as deterministic DDIM. One network call a step.

    Args:
        denoise: see `Denoiser`; it gets the state in `state_dtype` and may return float32.
        noise: unit normal noise (B, *).
        sigmas: noise levels (num_steps + 1,), decreasing to 0.

    Returns:
        Samples (B, *), in `state_dtype`.
    """
    x, levels = _start(noise, sigmas)
    for sigma, sigma_next in pairwise(levels):
        x = x + (sigma_next - sigma) * _slope(denoise, x, sigma)
    return x


@torch.no_grad()
def heun_sampler(
    denoise: Denoiser,
    noise: Tensor,
    sigmas: Tensor,
    *,
    S_churn: float = 0.0,
    S_min: float = 0.0,
    S_max: float = math.inf,
    S_noise: float = 1.0,
    randn_like: Callable[[Tensor], Tensor] = torch.randn_like,
) -> Tensor:
    """Karras et al.'s Algorithm 2: Heun steps, of second order, after a little fresh noise.

    The last step, to 0, is an Euler step: 2 * num_steps - 1 network calls.

    Args:
        denoise: see `Denoiser`; it gets the state in `state_dtype` and may return float32.
        noise: unit normal noise (B, *).
        sigmas: noise levels (num_steps + 1,), decreasing to 0.
        S_churn: how much noise to add, over all steps; 0 makes the sampler deterministic.
        S_min: lowest level at which to add noise.
        S_max: highest level at which to add noise.
        S_noise: standard deviation of the added noise.
        randn_like: gives unit normal noise in the shape of its argument; key it by sample if
            samples are not to depend on their batch. Called only in steps that add noise.

    Returns:
        Samples (B, *), in `state_dtype`.
    """
    x, levels = _start(noise, sigmas)
    most = min(S_churn / (len(levels) - 1), math.sqrt(2) - 1)
    for sigma, sigma_next in pairwise(levels):
        gamma = most if S_min <= sigma <= S_max else 0.0
        raised = sigma * (1 + gamma)
        if gamma > 0:  # lines 4-6
            x = x + math.sqrt(raised**2 - sigma**2) * S_noise * randn_like(x).to(x)
        slope = _slope(denoise, x, raised)
        if sigma_next > 0:  # lines 9-11
            euler = x + (sigma_next - raised) * slope
            slope = (slope + _slope(denoise, euler, sigma_next)) / 2
        x = x + (sigma_next - raised) * slope
    return x


def dpmpp_2m_sampler(denoise: Denoiser, noise: Tensor, sigmas: Tensor) -> Tensor:
    """DPM-Solver++(2M) (Lu et al., Algorithm 2), of second order. One network call a step.

    Arguments and result are those of `euler_sampler`.
    """
    return _multistep(denoise, noise, sigmas, _increment_2m)


def dpmpp_3m_sampler(denoise: Denoiser, noise: Tensor, sigmas: Tensor) -> Tensor:
    """The multistep solver of third order: D as a quadratic in lambda. One network call a step.

    Several public implementations take half of its quadratic term and are of second order only.
    Arguments and result are those of `euler_sampler`.
    """
    return _multistep(denoise, noise, sigmas, _increment_3m)


@torch.no_grad()
def _multistep(
    denoise: Denoiser,
    noise: Tensor,
    sigmas: Tensor,
    increment: Callable[[float, History], Tensor],
) -> Tensor:
    x, levels = _start(noise, sigmas)
    history: deque[tuple[float, Tensor]] = deque(maxlen=3)
    for sigma, sigma_next in pairwise(levels[:-1]):
        history.appendleft((-math.log(sigma), _predict(denoise, x, sigma)))
        h = math.log(sigma / sigma_next)
        x = sigma_next / sigma * x + increment(h, list(history))
    # The step to 0 is infinitely long in lambda: only the first-order step survives, and it is D.
    return _predict(denoise, x, levels[-2])


def _increment_2m(h: float, history: History) -> Tensor:
    """Takes D at the middle of the step, extrapolated through two points."""
    lambda_0, D_0 = history[0]
    if len(history) == 1:
        return -math.expm1(-h) * D_0
    lambda_1, D_1 = history[1]
    slope = (D_0 - D_1) / (lambda_0 - lambda_1)
    return -math.expm1(-h) * (D_0 + h / 2 * slope)


def _increment_3m(h: float, history: History) -> Tensor:
    """Integrates exp(s - h) D(s) over s in [0, h], D being the quadratic through three points."""
    if len(history) < 3:
        return _increment_2m(h, history)
    (lambda_0, D_0), (lambda_1, D_1), (lambda_2, D_2) = history
    slope = (D_0 - D_1) / (lambda_0 - lambda_1)
    slope_before = (D_1 - D_2) / (lambda_1 - lambda_2)
    half_second = (slope - slope_before) / (lambda_0 - lambda_2)  # D'' / 2
    first = slope + half_second * (lambda_0 - lambda_1)  # D' at lambda_0
    phi_2 = math.expm1(-h) / h + 1
    phi_3 = phi_2 / h - 0.5
    return -math.expm1(-h) * D_0 + phi_2 * h * first - 2 * phi_3 * h**2 * half_second


def _start(noise: Tensor, sigmas: Tensor) -> tuple[Tensor, list[float]]:
    """Gives the state at the first level, and the levels as numbers."""
    levels: list[float] = sigmas.tolist()
    if len(levels) < 2:
        raise ValueError(f"sigmas must hold at least 2 levels, got {len(levels)}")
    if levels[-1] != 0:
        raise ValueError(f"sigmas must end in 0, got {levels[-1]}")
    if not (levels[0] < math.inf and all(a > b for a, b in pairwise(levels))):
        raise ValueError("sigmas must be finite and strictly decreasing")
    return noise.to(state_dtype(noise.device)) * levels[0], levels


def _predict(denoise: Denoiser, x: Tensor, sigma: float) -> Tensor:
    return denoise(x, x.new_tensor(sigma)).to(x.dtype)


def _slope(denoise: Denoiser, x: Tensor, sigma: float) -> Tensor:
    return (x - _predict(denoise, x, sigma)) / sigma  # Eq. 3


def _check_schedule(num_steps: int, sigma_min: float, sigma_max: float) -> None:
    if num_steps < 1:
        raise ValueError(f"num_steps must be at least 1, got {num_steps}")
    if not 0 < sigma_min < sigma_max < math.inf:
        raise ValueError(
            f"sigma_min and sigma_max must satisfy 0 < sigma_min < sigma_max, "
            f"got {sigma_min} and {sigma_max}"
        )


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
