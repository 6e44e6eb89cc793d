"""Preconditioning: how a raw network F becomes a denoiser D, and how its errors are weighted.

    D(x; sigma) = c_skip x + c_out F(c_in x; c_noise)                                    (Eq. 7)

The columns "VP", "VE" and "Ours (EDM)" of Karras et al., "Elucidating the Design Space of
Diffusion-Based Generative Models", 2022, https://arxiv.org/abs/2206.00364, Table 1; the first two
are Song et al.'s, 2021, https://arxiv.org/abs/2011.13456. In all of them the loss is the squared
error of F itself: lambda = 1 / c_out^2 (Appendix B.6).
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["EDM", "VE", "VP", "Preconditioning", "vp_level"]


@dataclass(frozen=True)
class Preconditioning(ABC):
    """What a network is wrapped in. A subclass, a frozen dataclass, has `scales` and `c_noise`."""

    @abstractmethod
    def scales(self, sigma: Tensor) -> tuple[Tensor | float, Tensor, Tensor | float]:
        """Gives c_skip, c_out and c_in, in the shape of sigma (*), float32, or one for all."""

    @abstractmethod
    def c_noise(self, sigma: Tensor) -> Tensor:
        """Gives what the network is told of the noise level, in the shape of sigma (*)."""

    def weight(self, sigma: Tensor) -> Tensor:
        """Gives lambda, the weight of the squared error of D, in the shape of sigma (*)."""
        return self.scales(sigma)[1].square().reciprocal()

    @property
    def levels(self) -> tuple[float, float]:
        """Lowest and highest noise level at which the denoiser can be asked."""
        return 0.0, math.inf


@dataclass(frozen=True)
class EDM(Preconditioning):
    """Karras et al.'s own.

    Attributes:
        sigma_data: standard deviation of the data.
    """

    sigma_data: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.sigma_data < math.inf:
            raise ValueError(f"sigma_data = {self.sigma_data}: must be a number > 0")

    def scales(self, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        total = sigma.square() + self.sigma_data**2
        c_skip = self.sigma_data**2 / total
        return c_skip, sigma * self.sigma_data * total.rsqrt(), total.rsqrt()

    def c_noise(self, sigma: Tensor) -> Tensor:
        return sigma.log() / 4

    def weight(self, sigma: Tensor) -> Tensor:
        return (sigma.square() + self.sigma_data**2) / (sigma * self.sigma_data).square()


@dataclass(frozen=True)
class VP(Preconditioning):
    """The variance-preserving one: F predicts the unit noise, given the time in 0..M - 1.

    Attributes:
        beta_d: growth of the noise's rate over the time.
        beta_min: its rate at time 0.
        M: steps of the discrete time that the network was made for.
        epsilon_t: earliest time, in (0, 1), which is the lowest noise level.
    """

    beta_d: float = 19.9
    beta_min: float = 0.1
    M: int = 1000
    epsilon_t: float = 1e-5

    def __post_init__(self) -> None:
        check_time(self.beta_d, self.beta_min, self.epsilon_t)
        if not 2 <= self.M <= 2**24:
            raise ValueError(f"M = {self.M}: must lie in 2..{2**24}")

    def scales(self, sigma: Tensor) -> tuple[float, Tensor, Tensor]:
        return 1.0, -sigma, (sigma.square() + 1).rsqrt()

    def c_noise(self, sigma: Tensor) -> Tensor:
        # sigma^-1(sigma); log1p since sigma^2 may be small beside 1 in float32.
        root = (self.beta_min**2 + 2 * self.beta_d * sigma.square().log1p()).sqrt()
        return (self.M - 1) * (root - self.beta_min) / self.beta_d

    @property
    def levels(self) -> tuple[float, float]:
        ends = torch.tensor([self.epsilon_t, 1.0], dtype=torch.float64, device="cpu")
        lowest, highest = vp_level(ends, self.beta_d, self.beta_min).tolist()
        return lowest, highest


@dataclass(frozen=True)
class VE(Preconditioning):
    """The variance-exploding one: F predicts minus the unit noise, given ln of half its level.

    Attributes:
        sigma_min: lowest noise level.
        sigma_max: highest noise level.
    """

    sigma_min: float = 0.02
    sigma_max: float = 100.0

    def __post_init__(self) -> None:
        check_ends(self.sigma_min, self.sigma_max)

    def scales(self, sigma: Tensor) -> tuple[float, Tensor, float]:
        return 1.0, sigma, 1.0

    def c_noise(self, sigma: Tensor) -> Tensor:
        return (sigma / 2).log()

    @property
    def levels(self) -> tuple[float, float]:
        return self.sigma_min, self.sigma_max


def vp_level(t: Tensor, beta_d: float, beta_min: float) -> Tensor:
    """Gives sigma(t) of the variance-preserving schedule (Table 1, "Schedule")."""
    return (beta_d * t.square() / 2 + beta_min * t).expm1().sqrt()


def check_time(beta_d: float, beta_min: float, epsilon_t: float) -> None:
    """Raises ValueError where there is no such variance-preserving schedule."""
    # The highest level is about e^(beta_d / 4 + beta_min / 2), and its square a float32.
    if not (beta_d > 0 and beta_min > 0 and beta_d / 4 + beta_min / 2 <= 40):
        raise ValueError(
            f"beta_d, beta_min = {beta_d}, {beta_min}: must be > 0, and beta_d / 4 + beta_min / 2 "
            "at most 40"
        )
    if not 0 < epsilon_t < 1:
        raise ValueError(f"epsilon_t = {epsilon_t}: must lie in (0, 1)")


def check_ends(sigma_min: float, sigma_max: float) -> None:
    """Raises ValueError where there are no noise levels between these two."""
    if not 0 < sigma_min < sigma_max < math.inf:
        raise ValueError(
            f"sigma_min = {sigma_min}: must be > 0, and below sigma_max = {sigma_max}"
        )
