"""A residual network on points, for experiments in a few dimensions: F(x, c_noise)."""

import torch.nn.functional as F
from torch import Tensor, nn

from lightning_collapse.networks.layers import (
    Linear,
    PositionalEmbedding,
    class_vectors,
    without_some,
)

__all__ = ["SigmaMLP"]


class SigmaMLP(nn.Module):
    """Predicts EDM's training target from scaled noisy points.

    Args:
        dim: dimensions of a point.
        width: hidden features.
        depth: residual blocks.
        label_dim: number of classes; 0 ignores class labels.
        label_dropout: probability of training a row without its class label.
    """

    def __init__(
        self,
        dim: int,
        width: int = 128,
        depth: int = 3,
        label_dim: int = 0,
        label_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.dim, self.width, self.depth, self.label_dim = dim, width, depth, label_dim
        self.label_dropout = label_dropout
        self.row_shape = (dim,)
        self.map_noise = PositionalEmbedding(width)
        self.map_label = Linear(label_dim, width, bias=False) if label_dim else None
        self.map_layer = Linear(width, width)
        self.first = Linear(dim, width)
        self.blocks = nn.ModuleList(_Block(width) for _ in range(depth))
        self.last = Linear(width, dim, gain=0.0)

    def forward(
        self,
        x: Tensor,
        c_noise: Tensor,
        class_labels: Tensor | None = None,
        augment_labels: Tensor | None = None,
    ) -> Tensor:
        """Gives the raw prediction (B, dim).

        Args:
            x: scaled noisy points (B, dim).
            c_noise: condition on the noise level (B,).
            class_labels: class indices (B,) or vectors (B, label_dim); None is "no class".
            augment_labels: ignored, as points are not augmented.
        """
        # EDM's c_noise is a few units wide: this spreads it over the embedding's frequencies.
        emb = self.map_noise(100 * c_noise)
        if self.map_label is not None:
            labels = class_vectors(class_labels, self.label_dim, x)
            if self.training and self.label_dropout:
                labels = without_some(labels, self.label_dropout)
            emb = emb + self.map_label(labels)
        emb = F.silu(self.map_layer(emb))
        h = self.first(x)
        for block in self.blocks:
            h = block(h, emb)
        out: Tensor = self.last(F.silu(h))
        return out


class _Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.affine = Linear(width, width)
        self.layer0 = Linear(width, width)
        self.layer1 = Linear(width, width)

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        h = self.layer0(F.silu(x)) + self.affine(emb)
        out: Tensor = x + self.layer1(F.silu(h))
        return out
