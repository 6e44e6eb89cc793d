"""Layers of the U-Nets and the MLP: embeddings, and convolutions that resample.

Initial weights are Glorot & Bengio's (uniform, variance 2 / (fan_in + fan_out)), biases zero, as
in Song et al., 2021, https://arxiv.org/abs/2011.13456.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = [
    "BlurredStridedConv",
    "Conv",
    "Dropout",
    "FourierEmbedding",
    "PositionalEmbedding",
    "group_norm",
    "linear",
]


class PositionalEmbedding(nn.Module):
    """Embeds scalars (B,) as sines and cosines (B, channels) of geometric frequencies 1..1e-4."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.half = channels // 2

    def forward(self, c_noise: Tensor) -> Tensor:
        # Computed at each call: a buffer would be an entry that checkpoints do not have.
        exponents = torch.arange(self.half, dtype=torch.float32, device=c_noise.device)
        freqs = (1 / 10000) ** (exponents / (self.half - 1))
        return _waves(c_noise, freqs)


class FourierEmbedding(nn.Module):
    """Embeds scalars (B,) as sines and cosines (B, channels) of random, fixed frequencies."""

    def __init__(self, channels: int, scale: float = 16.0) -> None:
        super().__init__()
        self.freqs: Tensor
        self.register_buffer("freqs", torch.randn(channels // 2) * scale)

    def forward(self, c_noise: Tensor) -> Tensor:
        return _waves(c_noise, 2 * math.pi * self.freqs)


def _waves(c_noise: Tensor, freqs: Tensor) -> Tensor:
    phases = torch.outer(c_noise.to(torch.float32), freqs)
    return torch.cat([phases.sin(), phases.cos()], dim=1)


class Conv(nn.Conv2d):
    """A convolution of odd kernel that keeps the size, after optional resampling by two.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel: side of the kernel, in pixels.
        resample: `up`, `down` or nothing.
        resample_filter: one-dimensional filter of the resampling.
        gain: factor on the initial weights.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        resample: str = "",
        resample_filter: Sequence[int] = (1, 1),
        gain: float = 1.0,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel, padding=kernel // 2)
        _glorot(self, gain)
        self.resample = resample
        self.box = tuple(resample_filter) == (1, 1)
        self.resample_filter: Tensor
        if resample:
            self.register_buffer("resample_filter", _outer(resample_filter))

    def forward(self, x: Tensor) -> Tensor:
        if self.resample == "up":
            return self._up(x)
        if self.resample == "down":
            x = F.avg_pool2d(x, 2) if self.box else self._filter_down(x)
        return super().forward(x)

    def _up(self, x: Tensor) -> Tensor:
        if not self.box:
            return super().forward(self._filter_up(x))
        if self.kernel_size == (1, 1):
            # Repeating pixels commutes with a map of each pixel: four times fewer products.
            return F.interpolate(super().forward(x), scale_factor=2.0, mode="nearest")
        # Repeating pixels and then convolving is one transposed convolution of stride 2, whose
        # 4x4 kernel gathers the taps that meet the same pixel: 4 products for each output, not 9.
        taps = F.pad(self.weight, (1, 1, 1, 1)).unfold(2, 2, 1).unfold(3, 2, 1).sum((4, 5))
        kernel = taps.transpose(0, 1).flip(2, 3)
        return F.conv_transpose2d(x, kernel, self.bias, stride=2, padding=1)

    def _filter_up(self, x: Tensor) -> Tensor:
        # Three of four pixels are zeros in between, hence the factor 4.
        kernel = (4 * self.resample_filter).expand(x.shape[1], -1, -1, -1)
        pad = (kernel.shape[-1] - 1) // 2
        return F.conv_transpose2d(x, kernel, stride=2, padding=pad, groups=x.shape[1])

    def _filter_down(self, x: Tensor) -> Tensor:
        kernel = self.resample_filter.expand(x.shape[1], -1, -1, -1)
        pad = (kernel.shape[-1] - 1) // 2
        return F.conv2d(x, kernel, stride=2, padding=pad, groups=x.shape[1])


class BlurredStridedConv(nn.Conv2d):
    """Halves the side by a blur and a 3x3 convolution of stride 2 (NCSN++'s input pyramid)."""

    def __init__(
        self, in_channels: int, out_channels: int, resample_filter: Sequence[int]
    ) -> None:
        super().__init__(in_channels, out_channels, 3, stride=2)
        _glorot(self)
        self.resample_filter: Tensor
        self.register_buffer("resample_filter", _outer(resample_filter))

    def forward(self, x: Tensor) -> Tensor:
        kernel = self.resample_filter.expand(x.shape[1], -1, -1, -1)
        pad = (kernel.shape[-1] - 1) // 2 + 1  # the blur's own, and that of the 3x3 kernel
        return super().forward(F.conv2d(x, kernel, padding=pad, groups=x.shape[1]))


class Dropout(nn.Module):
    """Zeroes each element with probability `p` in training, and scales the others up."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        if not (self.training and self.p) or x.is_cuda:
            return F.dropout(x, self.p, self.training)
        # On a CPU, torch's Bernoulli numbers cost a tenth of a training step; uniform ones do not.
        kept = torch.rand_like(x, dtype=torch.float32).ge_(self.p)
        return x * kept.mul_(1 / (1 - self.p)).to(x.dtype)


def linear(in_features: int, out_features: int, bias: bool = True) -> nn.Linear:
    """Gives a linear map with Glorot's initial weights and no initial bias."""
    module = nn.Linear(in_features, out_features, bias)
    _glorot(module)
    return module


def group_norm(channels: int) -> nn.GroupNorm:
    """Gives a normalisation over groups of at least four channels, at most 32 groups."""
    return nn.GroupNorm(min(32, channels // 4), channels, eps=1e-6)


def _glorot(module: nn.Linear | nn.Conv2d, gain: float = 1.0) -> None:
    nn.init.xavier_uniform_(module.weight, gain)
    if module.bias is not None:
        nn.init.zeros_(module.bias)


def _outer(resample_filter: Sequence[int]) -> Tensor:
    taps = torch.tensor(resample_filter, dtype=torch.float32)
    return (torch.outer(taps, taps) / taps.sum() ** 2)[None, None]
