"""Denoisers made of raw networks, and their loss.

    D(x; sigma) = c_skip x + c_out F(c_in x; c_noise)                              (Eq. 7)
    loss        = E[ lambda(sigma) |D(y + sigma n; sigma) - y|^2 ]                   (Eq. 2)

Karras et al., "Elucidating the Design Space of Diffusion-Based Generative Models", 2022,
https://arxiv.org/abs/2206.00364. The coefficients are a `Preconditioning`, the distribution of
sigma in training `NoiseLevels`. Nothing here depends on the shape of a row: images (B, C, H, W)
and points (B, d) are treated alike.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lightning_collapse.networks.noise import LogNormal, NoiseLevels
from lightning_collapse.networks.preconditioning import EDM, Preconditioning

__all__ = ["DenoisingLoss", "EDMLoss", "EDMPrecond", "Precond"]


class Precond(nn.Module):
    """Makes a denoiser D(x, sigma) of a network F(x, c_noise).

    The arithmetic is in float32 whatever the precision of `x`; the network itself runs in
    whatever autocast asks for.

    Args:
        network: a `Network`; it becomes the attribute `model`, which gives parameters NVIDIA's
            names.
        preconditioning: the coefficients.
        sigma_min: smallest noise level that the network was trained at.
        sigma_max: largest noise level that the network was trained at.

    Attributes:
        sigma_min: smallest noise level that it serves, which the preconditioning may raise; kept
            for the caller, not enforced.
        sigma_max: largest noise level that it serves; likewise.
        row_shape: shape of the rows (C, H, W) or (d,), of the network's own accord or set by who
            knows its data; None while nobody does.
    """

    def __init__(
        self,
        network: nn.Module,
        preconditioning: Preconditioning,
        sigma_min: float = 0.0,
        sigma_max: float = math.inf,
    ) -> None:
        super().__init__()
        self.model = network
        self.preconditioning = preconditioning
        lowest, highest = preconditioning.levels
        self.sigma_min, self.sigma_max = max(sigma_min, lowest), min(sigma_max, highest)
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
        c_noise = self.preconditioning.c_noise(sigma).expand(len(x))
        c_skip, c_out, c_in = self.preconditioning.scales(sigma.reshape(-1, *[1] * (x.ndim - 1)))
        raw: Tensor = self.model(c_in * x, c_noise, class_labels, augment_labels)
        return c_skip * x + c_out * raw


class EDMPrecond(Precond):
    """EDM's denoiser, by NVIDIA's arguments; `sigma_data` is the data's standard deviation."""

    def __init__(
        self,
        network: nn.Module,
        sigma_data: float = 0.5,
        sigma_min: float = 0.0,
        sigma_max: float = math.inf,
    ) -> None:
        super().__init__(network, EDM(sigma_data), sigma_min, sigma_max)


@dataclass(frozen=True)
class DenoisingLoss:
    """Weighted squared error at random noise levels (Table 1, "Training").

    Randomness is drawn apart from its use, so that it can be drawn once for a global batch and
    sliced among processes.

    Attributes:
        noise: the distribution of noise levels.
        preconditioning: the denoiser's, which has the weight.
    """

    noise: NoiseLevels
    preconditioning: Preconditioning

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
        sigma = self.noise.draw(shape[0], generator, device)
        return sigma, torch.randn(shape, generator=generator, device=device)

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
        return self.preconditioning.weight(level) * (denoised - x).square()


class EDMLoss(DenoisingLoss):
    """EDM's loss; `sigma_data` is the denoiser's, ln sigma normal of mean P_mean and P_std."""

    def __init__(self, P_mean: float = -1.2, P_std: float = 1.2, sigma_data: float = 0.5) -> None:
        super().__init__(LogNormal(P_mean, P_std), EDM(sigma_data))
