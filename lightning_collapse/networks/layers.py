"""Layers of the U-Nets and the MLP: embeddings, and convolutions that resample.

Initial weights are Glorot & Bengio's (uniform, variance 2 / (fan_in + fan_out)), biases zero, as
in Song et al., 2021, https://arxiv.org/abs/2011.13456.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = [
    "BlurredStridedConv",
    "Conv",
    "Dropout",
    "FourierEmbedding",
    "PositionalEmbedding",
    "UNetBlock",
    "class_vectors",
    "group_norm",
    "Linear",
    "with_labels",
    "without_some",
]


# Sums of two branches of equal variance keep that variance.
SKIP_SCALE = math.sqrt(0.5)

# Residual branches and the output start near zero: variance scale 1e-10 in Song et al.
NEAR_ZERO = 1e-5

# Song et al. start queries, keys and values at variance scale 0.1, in three C -> C maps; Xavier
# on one C -> 3C map divides by (C + 3C)/2 instead of C, hence twice as much.
QKV_GAIN = math.sqrt(0.2)


class PositionalEmbedding(nn.Module):
    """Embeds scalars (B,) as sines and cosines (B, channels) of geometric frequencies 1..1e-4."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.waves = channels // 2

    def forward(self, c_noise: Tensor) -> Tensor:
        # Computed at each call: a buffer would be an entry that checkpoints do not have.
        exponents = torch.arange(self.waves, dtype=torch.float32, device=c_noise.device)
        freqs = (1 / 10000) ** (exponents / (self.waves - 1))
        return _waves(c_noise, freqs)


class FourierEmbedding(nn.Module):
    """Embeds scalars (B,) as sines and cosines (B, channels) of random, fixed frequencies."""

    def __init__(self, channels: int, scale: float = 16.0) -> None:
        super().__init__()
        self.scale = scale
        self.freqs: Tensor
        self.register_buffer("freqs", torch.empty(channels // 2))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draws the frequencies anew."""
        nn.init.normal_(self.freqs, std=self.scale)

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
        self.gain = gain  # before torch's constructor, which draws the weights
        super().__init__(in_channels, out_channels, kernel, padding=kernel // 2)
        self.resample = resample
        self.box = tuple(resample_filter) == (1, 1)
        self.resample_filter: Tensor
        if resample:
            self.register_buffer("resample_filter", _outer(resample_filter))

    def reset_parameters(self) -> None:
        _glorot(self, self.gain)

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
        rows = F.pad(self.weight, (1, 1, 1, 1)).flip(2, 3).transpose(0, 1)
        rows = rows[:, :, 1:] + rows[:, :, :-1]
        kernel = rows[..., 1:] + rows[..., :-1]
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
        self.resample_filter: Tensor
        self.register_buffer("resample_filter", _outer(resample_filter))

    def reset_parameters(self) -> None:
        _glorot(self)

    def forward(self, x: Tensor) -> Tensor:
        kernel = self.resample_filter.expand(x.shape[1], -1, -1, -1)
        pad = (kernel.shape[-1] - 1) // 2 + 1  # the blur's own, and that of the 3x3 kernel
        return super().forward(F.conv2d(x, kernel, padding=pad, groups=x.shape[1]))


class Linear(nn.Linear):
    """A linear map with Glorot's initial weights, times `gain`, and no initial bias."""

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, gain: float = 1.0
    ) -> None:
        self.gain = gain  # before torch's constructor, which draws the weights
        super().__init__(in_features, out_features, bias)

    def reset_parameters(self) -> None:
        _glorot(self, self.gain)


class Dropout(nn.Module):
    """Zeroes each element with probability `p` in training, and scales the others up."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        if not (self.training and self.p) or x.device.type != "cpu":
            return F.dropout(x, self.p, self.training)
        # On a CPU, torch's Bernoulli numbers cost a tenth of a training step; uniform ones do not.
        kept = torch.rand_like(x, dtype=torch.float32).ge_(self.p)
        return x * kept.mul_(1 / (1 - self.p)).to(x.dtype)


class UNetBlock(nn.Module):
    """A residual block with an additive noise embedding, resampling and self-attention."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        emb_channels: int,
        dropout: float,
        attention: bool,
        resample: str,
        resample_filter: Sequence[int],
    ) -> None:
        super().__init__()
        self.dropout = Dropout(dropout)
        self.norm0 = group_norm(in_channels)
        self.conv0 = Conv(in_channels, out_channels, 3, resample, resample_filter)
        self.affine = Linear(emb_channels, out_channels)
        self.norm1 = group_norm(out_channels)
        self.conv1 = Conv(out_channels, out_channels, 3, gain=NEAR_ZERO)
        self.skip: Conv | None = None
        if in_channels != out_channels or resample:
            self.skip = Conv(in_channels, out_channels, 1, resample, resample_filter)
        self.norm2: nn.GroupNorm | None = None
        if attention:
            self.norm2 = group_norm(out_channels)
            self.qkv = Conv(out_channels, 3 * out_channels, 1, gain=QKV_GAIN)
            self.proj = Conv(out_channels, out_channels, 1, gain=NEAR_ZERO)

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        h = self.conv0(F.silu(self.norm0(x)))
        # A convolution's own output is not kept for the gradient: sums into it are free.
        h = F.silu(self.norm1(h.add_(self.affine(emb)[:, :, None, None])))
        h = self.conv1(self.dropout(h))
        x = h.add_(x if self.skip is None else self.skip(x)).mul_(SKIP_SCALE)
        if self.norm2 is not None:
            h = self.proj(self._attend(self.qkv(self.norm2(x))))
            x = h.add_(x).mul_(SKIP_SCALE)
        return x

    @staticmethod
    def _attend(qkv: Tensor) -> Tensor:
        """Attends over pixels with one head; q, k and v interleave along the channels."""
        b, c, height, width = qkv.shape
        # (3, B, 1, H W, C), copied because the fused kernels want C to be the fastest.
        qkv = qkv.view(b, 1, c // 3, 3, height * width).permute(3, 0, 1, 4, 2).contiguous()
        out = F.scaled_dot_product_attention(qkv[0], qkv[1], qkv[2])
        # Copied, or else a channels-last view would slow down every layer that follows.
        return out.transpose(2, 3).contiguous().view(b, c // 3, height, width)


def class_vectors(class_labels: Tensor | None, label_dim: int, like: Tensor) -> Tensor:
    """Gives class labels as float32 vectors (B, label_dim), for B = len(like) on its device.

    Args:
        class_labels: indices (B,), vectors (B, label_dim), or None for "no class": zeros.
        label_dim: number of classes.
        like: the rows to be labelled (B, *).
    """
    if class_labels is None:
        return like.new_zeros(len(like), label_dim, dtype=torch.float32)
    if class_labels.ndim == 1:
        class_labels = F.one_hot(class_labels.long(), label_dim)
    return class_labels.to(like.device, torch.float32)


def without_some(vectors: Tensor, share: float) -> Tensor:
    """Gives class vectors (B, label_dim), each made "no class" with the probability `share`."""
    return vectors * (torch.rand(len(vectors), 1, device=vectors.device) >= share)


def with_labels(
    network: Any,
    emb: Tensor,
    x: Tensor,
    class_labels: Tensor | None,
    augment_labels: Tensor | None,
) -> Tensor:
    """Adds to an embedding (B, *) what an image network maps its rows' labels to, if it takes any.

    Args:
        network: with `label_dim`, `map_label`, `label_dropout`, `augment_dim` and `map_augment`.
        emb: of the noise level.
        x: the rows (B, C, H, W).
        class_labels: as for `class_vectors`.
        augment_labels: (B, augment_dim); None is "not augmented".
    """
    if network.label_dim:
        labels = class_vectors(class_labels, network.label_dim, x)
        if network.training and network.label_dropout:
            labels = without_some(labels, network.label_dropout)
        # One-hot vectors have mean square 1/label_dim; this makes it 1.
        emb = emb + network.map_label(labels * math.sqrt(network.label_dim))
    if network.augment_dim:
        # Zeros, not nothing: DDP wants a gradient for every parameter.
        if augment_labels is None:
            augment_labels = x.new_zeros(len(x), network.augment_dim)
        emb = emb + network.map_augment(augment_labels)
    return emb


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
