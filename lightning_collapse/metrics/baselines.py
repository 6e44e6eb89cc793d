"""Images that no model would be proud of: a worst case for a figure to stand against.

Every image's noise is keyed by its number, so that an image does not depend on which others are
read with it.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_collapse.rows import Rows
from lightning_collapse.seeds import generator

__all__ = ["MaskedNoise"]

_MEAN, _DEVIATION = 128, 60


@dataclass(frozen=True)
class MaskedNoise:
    """Images of which a share of the pixels, in all channels, is replaced by Gaussian noise.

    Noise has mean 128 and standard deviation 60 in every channel, cut to 0..255.

    Attributes:
        images: uint8 rows (n, C, H, W).
        fraction: share of each image's H·W pixels; 1 leaves noise alone.
        seed: keys the noise and the pixels' choice.
    """

    images: Rows
    fraction: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.fraction <= 1:
            raise ValueError(f"fraction = {self.fraction}: must lie in 0..1")

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, indices: Tensor) -> Tensor:
        images: Tensor = self.images[indices].clone()
        pixels = images.shape[2:].numel()
        for image, index in zip(images, indices.tolist(), strict=True):
            random = generator(self.seed, "noise baseline", index)
            noise = _MEAN + _DEVIATION * torch.randn(image.shape, generator=random)
            chosen = torch.randperm(pixels, generator=random)[: round(self.fraction * pixels)]
            image.flatten(1)[:, chosen] = noise.clamp(0, 255).to(image.dtype).flatten(1)[:, chosen]
        return images
