"""Feature spaces in which sets of samples are compared, each with the name its metrics carry.

A Fréchet distance is called FID in Inception-v3 features only; here it is `fd_<name>`.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from lightning_collapse.rows import network_units

__all__ = ["Features", "Pixels", "Points"]


class Features(ABC):
    """Maps rows to feature vectors."""

    @property
    @abstractmethod
    def name(self) -> str:
        """The name of the feature space, as in `fd_<name>`."""

    @abstractmethod
    def __call__(self, rows: Tensor) -> Tensor:
        """Gives one feature vector a row.

        Args:
            rows: images (N, C, H, W), uint8 or float in [-1, 1]; or points (N, d), float.

        Returns:
            Features (N, d), float32 or float64.
        """


@dataclass(frozen=True)
class Pixels(Features):
    """The pixels themselves, in network units, averaged down to side x side where that is given.

    Few features make a Fréchet distance less biased at small n: by d (d + 5) / 4n for n samples of
    a unit Gaussian of d features.
    """

    side: int | None = None

    @property
    def name(self) -> str:
        return "pixels" if self.side is None else f"pixels{self.side}"

    def __call__(self, rows: Tensor) -> Tensor:
        if rows.ndim != 4:
            raise ValueError(f"{self.name} takes images (N, C, H, W), got {tuple(rows.shape)}")
        images = network_units(rows)
        if self.side is None:
            return images.flatten(1)
        if not 1 <= self.side <= min(images.shape[-2:]):
            raise ValueError(
                f"side must lie in 1..{min(images.shape[-2:])} for images of "
                f"{tuple(images.shape[-2:])}, got {self.side}"
            )
        return F.adaptive_avg_pool2d(images, self.side).flatten(1)


@dataclass(frozen=True)
class Points(Features):
    """Points as they are."""

    @property
    def name(self) -> str:
        return "points"

    def __call__(self, rows: Tensor) -> Tensor:
        if rows.ndim != 2 or not rows.is_floating_point():
            raise ValueError(
                f"points takes float rows (N, d), got {rows.dtype} {tuple(rows.shape)}"
            )
        return rows
