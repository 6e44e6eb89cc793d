"""Noise levels in training: from which distribution each row's sigma is drawn.

The columns "Ours", "VP" and "VE" of Karras et al., 2022, https://arxiv.org/abs/2206.00364,
Table 1, "Training", "Noise distribution".
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from statistics import NormalDist

import torch
from torch import Tensor

from lightning_collapse.networks.preconditioning import check_ends, check_time, vp_level

__all__ = ["LogNormal", "LogUniform", "NoiseLevels", "UniformTime"]


@dataclass(frozen=True)
class NoiseLevels(ABC):
    """A distribution of sigma. A subclass, a frozen dataclass, has `ln_quantile`."""

    @abstractmethod
    def ln_quantile(self, share: Tensor) -> Tensor:
        """Gives the values of ln sigma below which these shares (*), in [0, 1], of all lie."""

    def draw(
        self,
        n: int,
        generator: torch.Generator | None = None,
        device: torch.device | str = "cpu",
    ) -> Tensor:
        """Draws noise levels (n,), float32."""
        share = torch.rand(n, generator=generator, device=device)
        return self.ln_quantile(share).exp()

    @property
    def levels(self) -> tuple[float, float]:
        """Lowest and highest noise level."""
        ends = torch.tensor([0.0, 1.0], dtype=torch.float64, device="cpu")
        lowest, highest = self.ln_quantile(ends).exp().tolist()
        return lowest, highest


@dataclass(frozen=True)
class LogNormal(NoiseLevels):
    """ln sigma is normal (EDM).

    Attributes:
        P_mean: mean of ln sigma.
        P_std: standard deviation of ln sigma.
    """

    P_mean: float = -1.2
    P_std: float = 1.2

    def __post_init__(self) -> None:
        if not math.isfinite(self.P_mean):
            raise ValueError(f"P_mean = {self.P_mean}: must be finite")
        if not 0 <= self.P_std < math.inf:
            raise ValueError(f"P_std = {self.P_std}: must be at least 0, and finite")

    def ln_quantile(self, share: Tensor) -> Tensor:
        normal, ends = NormalDist(), {0.0: -math.inf, 1.0: math.inf}
        of = (ends[u] if u in ends else normal.inv_cdf(u) for u in share.tolist())
        return torch.tensor([self.P_mean + self.P_std * z for z in of], dtype=torch.float64)

    def draw(
        self,
        n: int,
        generator: torch.Generator | None = None,
        device: torch.device | str = "cpu",
    ) -> Tensor:
        # From normal numbers, as NVIDIA does: the same seed gives their levels.
        log_sigma = torch.randn(n, generator=generator, device=device)
        return (log_sigma * self.P_std + self.P_mean).exp()

    @property
    def levels(self) -> tuple[float, float]:
        return 0.0, math.inf


@dataclass(frozen=True)
class UniformTime(NoiseLevels):
    """The time of the variance-preserving schedule is uniform (VP).

    Attributes:
        beta_d: growth of the noise's rate over the time.
        beta_min: its rate at time 0.
        epsilon_t: earliest time, in (0, 1).
    """

    beta_d: float = 19.9
    beta_min: float = 0.1
    epsilon_t: float = 1e-5

    def __post_init__(self) -> None:
        check_time(self.beta_d, self.beta_min, self.epsilon_t)

    def ln_quantile(self, share: Tensor) -> Tensor:
        t = self.epsilon_t + (1 - self.epsilon_t) * share
        return vp_level(t, self.beta_d, self.beta_min).log()


@dataclass(frozen=True)
class LogUniform(NoiseLevels):
    """ln sigma is uniform (VE).

    Attributes:
        sigma_min: lowest noise level.
        sigma_max: highest noise level.
    """

    sigma_min: float = 0.02
    sigma_max: float = 100.0

    def __post_init__(self) -> None:
        check_ends(self.sigma_min, self.sigma_max)

    def ln_quantile(self, share: Tensor) -> Tensor:
        lowest, highest = math.log(self.sigma_min), math.log(self.sigma_max)
        return lowest + (highest - lowest) * share

    @property
    def levels(self) -> tuple[float, float]:
        return self.sigma_min, self.sigma_max
