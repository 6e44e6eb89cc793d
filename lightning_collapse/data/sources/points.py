"""Sources of real points: float32 rows (n, d), in network units."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_collapse.data.sources.images import Digits
from lightning_collapse.data.sources.source import Source
from lightning_collapse.seeds import generator

__all__ = ["DigitComponents", "Mixture", "Ring"]


@dataclass(frozen=True)
class Mixture(Source):
    """Points from an equal mixture of Gaussians of one spherical variance; labels name the mode.

    The default is three modes at (-4, -4), (0, 4) and (4, -4) with covariance 0.5·I, divided by 8:
    the spread is then near `sigma_data` = 0.5, as EDM's preconditioning expects.

    Attributes:
        n: points to draw.
        means: of every mode, K lists of d numbers.
        variance: of every mode, along every axis.
    """

    n: int = 2000
    means: tuple[tuple[float, ...], ...] = ((-0.5, -0.5), (0.0, 0.5), (0.5, -0.5))
    variance: float = 0.5 / 64

    def __post_init__(self) -> None:
        if self.n < 1:
            raise ValueError(f"n = {self.n}: must be at least 1")
        if len({len(mean) for mean in self.means}) != 1 or not self.means[0]:
            raise ValueError(f"means = {self.means}: must give every mode as many numbers")
        if not self.variance > 0 or not math.isfinite(self.variance):
            raise ValueError(f"variance = {self.variance}: must be a number > 0")

    def read(self, seed: int) -> tuple[Tensor, Tensor | None]:
        random = generator(seed, "mixture")
        means = torch.tensor(self.means)
        labels = torch.randint(len(means), (self.n,), generator=random)
        noise = torch.randn(self.n, means.shape[1], generator=random)
        return means[labels] + math.sqrt(self.variance) * noise, labels


@dataclass(frozen=True)
class Ring(Source):
    """Points in the plane about a circle: a line, with noise along the radius.

    The default is the ring of Chandwani 2026, of radius 2.5 and standard deviation 0.05, divided
    by 3.5: the spread is then near `sigma_data` = 0.5. Angles are uniform, and noise is Gaussian.

    Attributes:
        n: points to draw.
        radius: of the circle.
        std: of the distance from the origin.
    """

    n: int = 2000
    radius: float = 2.5 / 3.5
    std: float = 0.05 / 3.5

    def __post_init__(self) -> None:
        if self.n < 1:
            raise ValueError(f"n = {self.n}: must be at least 1")
        for name in ("radius", "std"):
            if not getattr(self, name) > 0 or not math.isfinite(getattr(self, name)):
                raise ValueError(f"{name} = {getattr(self, name)}: must be a number > 0")

    def read(self, seed: int) -> tuple[Tensor, Tensor | None]:
        random = generator(seed, "ring")
        angles = 2 * torch.pi * torch.rand(self.n, generator=random)
        lengths = self.radius + self.std * torch.randn(self.n, generator=random)
        return lengths[:, None] * torch.stack([angles.cos(), angles.sin()], 1), None


@dataclass(frozen=True)
class DigitComponents(Source):
    """scikit-learn's digits as points: in their first principal components, with labels 0..9.

    All components together have a standard deviation of 1/2 an axis, as `sigma_data` expects.

    Attributes:
        dim: components, 1 to 64.
        classes: the digits that there are.
        rarer: by how much the last of these is rarer than in the set, at least 1.
    """

    dim: int = 32
    classes: tuple[int, ...] = tuple(range(10))
    rarer: float = 1.0

    def __post_init__(self) -> None:
        if not 1 <= self.dim <= 64:
            raise ValueError(f"dim = {self.dim}: must be 1 to 64 components")
        if not self.classes or not {*self.classes} <= {*range(10)}:
            raise ValueError(f"classes = {self.classes}: must be digits, 0 to 9")
        if not 1 <= self.rarer < math.inf:
            raise ValueError(f"rarer = {self.rarer}: must be a number >= 1")

    def read(self, seed: int) -> tuple[Tensor, Tensor | None]:
        images, labels = Digits().read(seed)
        assert labels is not None
        last = labels == self.classes[-1]
        few = last & (last.cumsum(0) <= round(int(last.sum()) / self.rarer))
        chosen = torch.isin(labels, torch.tensor(self.classes)) & (~last | few)
        rows = images[chosen].flatten(1).double()
        rows -= rows.mean(0)
        rows = rows @ torch.linalg.svd(rows, full_matrices=False).Vh[: self.dim].mT
        return (rows / (2 * rows.square().mean().sqrt())).float(), labels[chosen]
