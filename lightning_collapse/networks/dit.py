"""The diffusion transformer, on patches of pixels: F(x, c_noise).

Peebles & Xie, "Scalable Diffusion Models with Transformers", 2023,
https://arxiv.org/abs/2212.09748: blocks of self-attention and a perceptron (Section 3.2), whose
normalisations the noise level and the class shift, scale and gate ("adaLN-Zero", Figure 3). Gates
and the last layer start at zero. Theirs runs on a latent; this one on the image itself, behind
`EDMPrecond`, and predicts no variance.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_collapse.networks.layers import Linear, PositionalEmbedding, with_labels

__all__ = ["DiT"]

_NOISE_CHANNELS = 256


class DiT(nn.Module):
    """Predicts EDM's training target from a scaled noisy image; initially F = 0.

    The paper's sizes (Table 1), as depth, width and num_heads: S 12, 384, 6; B 12, 768, 12;
    L 24, 1024, 16; XL 28, 1152, 16. Cost grows with the square of the number of patches.

    Args:
        img_resolution: side of the image, in pixels.
        channels: channels of the image.
        patch_size: side of a patch, in pixels; it divides `img_resolution`.
        width: features of a patch, a multiple of 4 and of `num_heads`.
        depth: blocks.
        num_heads: heads of attention.
        mlp_ratio: hidden features of a block's perceptron, in `width`.
        label_dim: number of classes; 0 ignores class labels.
        augment_dim: width of augmentation labels; 0 ignores them.
        label_dropout: probability of training a row without its class label.

    Raises:
        ValueError: the sizes do not divide each other.
    """

    def __init__(
        self,
        img_resolution: int,
        channels: int,
        patch_size: int = 2,
        width: int = 384,
        depth: int = 12,
        num_heads: int = 6,
        mlp_ratio: int = 4,
        label_dim: int = 0,
        augment_dim: int = 0,
        label_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if patch_size < 1 or img_resolution % patch_size:
            raise ValueError(
                f"patch_size = {patch_size}: must divide img_resolution = {img_resolution}"
            )
        if num_heads < 1 or width % num_heads or width % 4 or width < 4:
            raise ValueError(
                f"width = {width}: must be a multiple of 4 and of num_heads = {num_heads}"
            )
        self.img_resolution, self.channels, self.patch_size = img_resolution, channels, patch_size
        self.width, self.depth, self.num_heads, self.mlp_ratio = width, depth, num_heads, mlp_ratio
        self.label_dim, self.augment_dim = label_dim, augment_dim
        self.label_dropout = label_dropout
        numbers = channels * patch_size**2
        self.map_noise = PositionalEmbedding(_NOISE_CHANNELS)
        self.map_layer0 = Linear(_NOISE_CHANNELS, width)
        self.map_layer1 = Linear(width, width)
        self.map_label = Linear(label_dim, width, bias=False) if label_dim else None
        self.map_augment = Linear(augment_dim, width, bias=False) if augment_dim else None
        self.first = Linear(numbers, width)
        self.blocks = nn.ModuleList(_Block(width, num_heads, mlp_ratio) for _ in range(depth))
        self.affine = Linear(width, 2 * width, gain=0.0)
        self.last = Linear(width, numbers, gain=0.0)

    @property
    def row_shape(self) -> tuple[int, int, int]:
        """Shape of an image (channels, img_resolution, img_resolution)."""
        return self.channels, self.img_resolution, self.img_resolution

    def forward(
        self,
        x: Tensor,
        c_noise: Tensor,
        class_labels: Tensor | None = None,
        augment_labels: Tensor | None = None,
    ) -> Tensor:
        """Gives the raw prediction.

        Args:
            x: scaled noisy images (B, channels, H, W), whose sides are multiples of `patch_size`.
            c_noise: condition on the noise level (B,).
            class_labels: class indices (B,) or vectors (B, label_dim); None is "no class".
            augment_labels: (B, augment_dim); None is "not augmented".

        Returns:
            The prediction (B, channels, H, W).
        """
        emb: Tensor = self.map_layer1(F.silu(self.map_layer0(self.map_noise(c_noise))))
        emb = F.silu(with_labels(self, emb, x, class_labels, augment_labels))
        patches = F.pixel_unshuffle(x, self.patch_size)  # (B, channels p^2, H / p, W / p)
        height, width = patches.shape[2:]
        h = self.first(patches.flatten(2).mT) + _places(height, width, self.width, x)
        for block in self.blocks:
            h = block(h, emb)
        shift, scale = self.affine(emb)[:, None].chunk(2, dim=-1)
        h = self.last(_modulated(h, shift, scale)).mT
        return F.pixel_shuffle(h.reshape(len(h), -1, height, width), self.patch_size)


class _Block(nn.Module):
    """Attention, then a perceptron, each behind a normalisation that `emb` modulates."""

    def __init__(self, width: int, num_heads: int, mlp_ratio: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.affine = Linear(width, 6 * width, gain=0.0)
        self.qkv = Linear(width, 3 * width)
        self.proj = Linear(width, width)
        self.layer0 = Linear(width, mlp_ratio * width)
        self.layer1 = Linear(mlp_ratio * width, width)

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        shift0, scale0, gate0, shift1, scale1, gate1 = self.affine(emb)[:, None].chunk(6, dim=-1)
        x = x + gate0 * self.proj(self._attend(self.qkv(_modulated(x, shift0, scale0))))
        h = F.gelu(self.layer0(_modulated(x, shift1, scale1)), approximate="tanh")
        out: Tensor = x + gate1 * self.layer1(h)
        return out

    def _attend(self, qkv: Tensor) -> Tensor:
        """Attends over patches; qkv (B, T, 3 width), the result (B, T, width)."""
        batch, patches, _ = qkv.shape
        q, k, v = qkv.view(batch, patches, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)
        return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


def _modulated(x: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    return F.layer_norm(x, x.shape[-1:], eps=1e-6) * (1 + scale) + shift


def _places(height: int, width: int, channels: int, like: Tensor) -> Tensor:
    """Gives the sines and cosines of patches' places (height * width, channels), rows first.

    Half of the channels are for each axis, at geometric frequencies 1..1e-4.
    """
    # Computed at each call: a buffer would be an entry of checkpoints.
    exponents = torch.arange(channels // 4, device=like.device) / (channels // 4)
    axes = [
        torch.outer(torch.arange(n, device=like.device), 1e-4**exponents) for n in (height, width)
    ]
    y, x = (torch.cat([phases.sin(), phases.cos()], dim=1) for phases in axes)
    y, x = y[:, None].expand(-1, width, -1), x[None].expand(height, -1, -1)
    return torch.cat([y, x], dim=2).flatten(0, 1)
