"""Preconditioning and loss of EDM: a raw network F becomes a denoiser D.

    D(x; sigma) = c_skip x + c_out F(c_in x; c_noise)                              (Eq. 7)
    loss        = E[ lambda(sigma) |D(y + sigma n; sigma) - y|^2 ], ln sigma normal  (Eq. 2)

Karras et al., "Elucidating the Design Space of Diffusion-Based Generative Models", 2022,
https://arxiv.org/abs/2206.00364, Table 1, column "Ours". Nothing here depends on the shape of
a row: images (B, C, H, W) and points (B, d) are treated alike.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

__all__ = ["EDMLoss", "EDMPrecond"]


class EDMPrecond(nn.Module):
    """Makes a denoiser D(x, sigma) of a network F(x, c_noise).

    The arithmetic is in float32 whatever the precision of `x`; the network itself runs in
    whatever autocast asks for.

    Args:
        network: a `Network`; it becomes the attribute `model`, which gives parameters NVIDIA's
            names.
        sigma_data: standard deviation of the data.
        sigma_min: smallest noise level that the network serves; kept for the caller, not enforced.
        sigma_max: largest noise level that the network serves; likewise.

    Attributes:
        row_shape: shape of the rows (C, H, W) or (d,), of the network's own accord or set by who
            knows its data; None while nobody does.
    """

    def __init__(
        self,
        network: nn.Module,
        sigma_data: float = 0.5,
        sigma_min: float = 0.0,
        sigma_max: float = math.inf,
    ) -> None:
        super().__init__()
        self.model = network
        self.sigma_data = sigma_data
        self.sigma_min = sigma_min
        self.sigma_max = sigma_max
        self.row_shape: tuple[int, ...] | None = getattr(network, "row_shape", None)

    @property
    def label_dim(self) -> int:
        """Number of classes that the network is conditioned on; 0 for none."""
        return int(getattr(self.model, "label_dim", 0))

    @property
    def augment_dim(self) -> int:
        """Width of the augmentation labels that the network takes; 0 for none."""
        return int(getattr(self.model, "augment_dim", 0))

    def forward(
        self,
        x: Tensor,
        sigma: Tensor | float,
        class_labels: Tensor | None = None,
        augment_labels: Tensor | None = None,
    ) -> Tensor:
        """Estimates the clean rows.

        Args:
            x: noisy rows (B, *).
            sigma: noise level, one for all or one per row (B,).
            class_labels: class indices (B,) or one-hot vectors (B, label_dim).
            augment_labels: what augmentation did to each row (B, augment_dim).

        Returns:
            The denoised rows (B, *), float32.
        """
        x = x.to(torch.float32)
        sigma = torch.as_tensor(sigma, dtype=torch.float32, device=x.device)
        c_noise = (sigma.log() / 4).expand(len(x))
        sigma = sigma.reshape(-1, *[1] * (x.ndim - 1))
        total = sigma.square() + self.sigma_data**2
        c_skip = self.sigma_data**2 / total
        c_out = sigma * self.sigma_data * total.rsqrt()
        c_in = total.rsqrt()
        raw: Tensor = self.model(c_in * x, c_noise, class_labels, augment_labels)
        return c_skip * x + c_out * raw


@dataclass(frozen=True)
class EDMLoss:
    """Weighted squared error at log-normal noise levels (Table 1, "Training").

    Randomness is drawn apart from its use, so that it can be drawn once for a global batch and
    sliced among processes.

    Args:
        P_mean: mean of ln sigma.
        P_std: standard deviation of ln sigma.
        sigma_data: standard deviation of the data, the same as the denoiser's.
    """

    P_mean: float = -1.2
    P_std: float = 1.2
    sigma_data: float = 0.5

    def draw(
        self,
        shape: tuple[int, ...],
        generator: torch.Generator | None = None,
        device: torch.device | str = "cpu",
    ) -> tuple[Tensor, Tensor]:
        """Draws noise levels, then unit noise, for rows of `shape` (B, *).

        Returns:
            sigma (B,) and unit normal noise (B, *).
        """
        log_sigma = torch.randn(shape[0], generator=generator, device=device)
        noise = torch.randn(shape, generator=generator, device=device)
        return (log_sigma * self.P_std + self.P_mean).exp(), noise

    def __call__(
        self,
        denoise: Callable[..., Tensor],
        x: Tensor,
        sigma: Tensor,
        noise: Tensor,
        class_labels: Tensor | None = None,
        augment_labels: Tensor | None = None,
    ) -> Tensor:
        """Gives the weighted squared error of every element.

        Args:
            denoise: called as `denoise(x, sigma, class_labels, augment_labels)`.
            x: clean rows (B, *).
            sigma: noise levels (B,).
            noise: unit normal noise (B, *).
            class_labels: passed on.
            augment_labels: passed on.

        Returns:
            The errors (B, *). EDM's training loss is their sum divided by B.
        """
        level = sigma.reshape(-1, *[1] * (x.ndim - 1))
        denoised = denoise(x + level * noise, sigma, class_labels, augment_labels)
        weight = (level.square() + self.sigma_data**2) / (level * self.sigma_data).square()
        return weight * (denoised - x).square()
