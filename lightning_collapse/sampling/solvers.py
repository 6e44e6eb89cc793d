"""From noise to samples: the solvers that walk a schedule of noise levels.

A sampler solves the probability-flow equation dx/dsigma = (x - D(x; sigma)) / sigma from
sigma_max down to 0, or to a level above it where it is to stop, for any denoiser D (Karras et al.
2022, https://arxiv.org/abs/2206.00364, Eq. 1 and 3). With lambda = -ln sigma it reads
dx/dlambda = D - x, which the multistep solvers of Lu et al. 2022 (DPM-Solver++,
https://arxiv.org/abs/2211.01095) integrate exactly for a D that is polynomial in lambda. All
samplers have a bias of their own: see `sampling/bias.py`.
"""

import math
from collections import deque
from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

__all__ = [
    "Denoiser",
    "Sampler",
    "around_mean",
    "dpmpp_2m_sampler",
    "dpmpp_3m_sampler",
    "euler_sampler",
    "heun_sampler",
    "state_dtype",
    "unipc_3m_sampler",
]

Denoiser = Callable[[Tensor, Tensor], Tensor]
"""`denoise(x, sigma)`: the expected clean data, given `x` (B, *) at the noise level `sigma` ()."""

Sampler = Callable[[Denoiser, Tensor, Tensor], Tensor]
"""`sampler(denoise, noise, sigmas)`: samples (B, *) from unit normal noise (B, *)."""

History = Sequence[tuple[float, Tensor]]
"""Pairs (lambda, D) of the last steps, newest first."""


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
        sigmas: noise levels (num_steps + 1,), decreasing to 0; or (num_steps,), to a level above
            it, at which the samples are then left.

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

    The last step, to 0, is an Euler step: 2 * num_steps - 1 network calls; where sampling stops
    above 0, there is none: 2 * (num_steps - 1).

    Args:
        denoise: see `Denoiser`; it gets the state in `state_dtype` and may return float32.
        noise: unit normal noise (B, *).
        sigmas: as in `euler_sampler`.
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
    num_steps = sum(level > 0 for level in levels)
    most = min(S_churn / num_steps, math.sqrt(2) - 1)
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


def unipc_3m_sampler(denoise: Denoiser, noise: Tensor, sigmas: Tensor) -> Tensor:
    """The solver of third order, each of whose steps is corrected once its end has been denoised.

    The corrector is UniC of Zhao et al. 2023 (UniPC, https://arxiv.org/abs/2302.04867, Eq. 9): it
    takes the step again, with D as the polynomial through the D found at the step's end, too. That
    D serves the next step, so there is no further network call: one a step. The last step above 0
    stays as it was predicted.

    Arguments and result are those of `euler_sampler`.
    """
    return _multistep(denoise, noise, sigmas, _increment_3m, corrected=True)


@torch.no_grad()
def around_mean(denoise: Denoiser, noise: Tensor, sigma: float) -> tuple[Tensor, Denoiser]:
    """Moves the noise that sampling starts from to around the data's mean.

    Data of noise sigma lie around their mean, unit noise times sigma around zero. At a sigma far
    above the data's deviation the denoiser's answer is that mean, nearly, whatever the noise.

    Args:
        denoise: see `Denoiser`.
        noise: unit normal noise (B, *), in `state_dtype`.
        sigma: the first level.

    Returns:
        The noise (B, *) for a sampler to take, and the denoiser with its first answer known.
    """
    first = _predict(denoise, noise * sigma, sigma)
    known = [first]

    def denoise_on(x: Tensor, sigma: Tensor) -> Tensor:
        return known.pop() if known else denoise(x, sigma)

    return noise + first / sigma, denoise_on


@torch.no_grad()
def _multistep(
    denoise: Denoiser,
    noise: Tensor,
    sigmas: Tensor,
    increment: Callable[[float, History], Tensor],
    corrected: bool = False,
) -> Tensor:
    x, levels = _start(noise, sigmas)
    history: deque[tuple[float, Tensor]] = deque(maxlen=4)
    above = [level for level in levels if level > 0]
    carried, h = x, 0.0  # what the last step has kept of the state before it; its length
    for sigma, sigma_next in pairwise(above):
        history.appendleft((-math.log(sigma), _predict(denoise, x, sigma)))
        if corrected and len(history) > 1:
            x = carried + _correction(h, list(history))
        h = math.log(sigma / sigma_next)
        carried = sigma_next / sigma * x
        x = carried + increment(h, list(history)[:3])
    if levels[-1] > 0:
        return x
    # The step to 0 is infinitely long in lambda: only the first-order step survives, and it is D.
    return _predict(denoise, x, above[-1])


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


def _correction(h: float, history: History) -> Tensor:
    """The same integral over the step of length h that has led to the newest of 2 to 4 points.

    D is the polynomial through all of them.
    """
    start = history[1][0]
    # Numbers, not tensors: some devices have no float64.
    places = np.array([(at - start) / h for at, _ in history])
    moments = [-math.expm1(-h)]  # of (s / h)^k, by parts
    for k in range(1, len(history)):
        moments.append(1 - k / h * moments[-1])
    weights = np.linalg.solve(np.vander(places, increasing=True).T, moments).tolist()
    return sum(
        (w * D for w, (_, D) in zip(weights, history, strict=True)), start=0 * history[0][1]
    )


def _start(noise: Tensor, sigmas: Tensor) -> tuple[Tensor, list[float]]:
    """Gives the state at the first level, and the levels as numbers."""
    levels: list[float] = sigmas.tolist()
    if len(levels) < 2:
        raise ValueError(f"sigmas must hold at least 2 levels, got {len(levels)}")
    if levels[-1] < 0:
        raise ValueError(f"sigmas must end in 0, or above it to stop there, got {levels[-1]}")
    if not (levels[0] < math.inf and all(a > b for a, b in pairwise(levels))):
        raise ValueError("sigmas must be finite and strictly decreasing")
    return noise.to(state_dtype(noise.device)) * levels[0], levels


def _predict(denoise: Denoiser, x: Tensor, sigma: float) -> Tensor:
    return denoise(x, x.new_tensor(sigma)).to(x.dtype)


def _slope(denoise: Denoiser, x: Tensor, sigma: float) -> Tensor:
    return (x - _predict(denoise, x, sigma)) / sigma  # Eq. 3
