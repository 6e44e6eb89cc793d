"""Sources of real images: each reads a set into uint8 rows (n, C, H, W)."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from lightning_collapse.data.sources import Source

__all__ = ["Digits", "CIFAR10", "ImageFolder"]


@dataclass(frozen=True)
class Digits(Source):
    """scikit-learn's 1,797 handwritten digits, 8x8 gray, with labels 0..9. No download.

    Source: Alpaydin & Kaynak 1998, UCI repository.
    """

    def read(self, seed: int) -> tuple[Tensor, Tensor | None]:
        from sklearn.datasets import load_digits

        pixels, labels = load_digits(return_X_y=True)
        # 0..16 to 0..255, once, here.
        images = np.rint(pixels * (255 / 16)).astype(np.uint8).reshape(-1, 1, 8, 8)
        return torch.from_numpy(images), torch.from_numpy(labels)


@dataclass(frozen=True)
class CIFAR10(Source):
    """The 50,000 training images of CIFAR-10, 32x32 colour, with labels 0..9.

    Attributes:
        root: folder that holds, or will hold, `cifar-10-batches-py`.
        download: fetch the set if it is not there (170 MB).
    """

    root: Path = Path("data/cifar10")
    download: bool = False

    def check(self) -> None:
        if not self.download and not (Path(self.root) / "cifar-10-batches-py").is_dir():
            raise FileNotFoundError(
                f"data.source.root = {self.root}: has no folder cifar-10-batches-py; name the "
                "folder that holds it, or set data.source.download to true"
            )

    def read(self, seed: int) -> tuple[Tensor, Tensor | None]:
        from torchvision import datasets

        self.check()
        try:
            published = datasets.CIFAR10(str(self.root), train=True, download=self.download)
        except RuntimeError as error:  # a download that was cut short
            raise ValueError(f"data.source.root = {self.root}: {error}") from error
        images = torch.from_numpy(published.data).permute(0, 3, 1, 2).contiguous()
        return images, torch.tensor(published.targets)


@dataclass(frozen=True)
class ImageFolder(Source):
    """All PNG and JPEG images below a folder, in colour, resized to a square as NVIDIA does.

    Attributes:
        path: the folder; subfolders are searched too, and give no labels.
        resolution: side of the square, in pixels; resized by Lanczos, without a crop.
    """

    path: Path
    resolution: int

    def __post_init__(self) -> None:
        if self.resolution < 1:
            raise ValueError(f"data.source.resolution = {self.resolution}: must be at least 1")

    def check(self) -> None:
        if not Path(self.path).is_dir():
            raise FileNotFoundError(
                f"data.source.path = {self.path}: no such folder; name the folder of the images"
            )

    def read(self, seed: int) -> tuple[Tensor, Tensor | None]:
        self.check()
        files = sorted(
            file
            for file in Path(self.path).rglob("*")
            if file.suffix.lower() in (".png", ".jpg", ".jpeg")
        )
        if not files:
            raise FileNotFoundError(f"data.source.path = {self.path}: holds no PNG or JPEG image")
        images = np.empty((len(files), 3, self.resolution, self.resolution), np.uint8)
        for target, file in zip(images, files, strict=True):
            target[:] = self._read_image(file)
        return torch.from_numpy(images), None

    def _read_image(self, file: Path) -> NDArray[np.uint8]:
        side = (self.resolution, self.resolution)
        try:
            with Image.open(file, formats=("PNG", "JPEG")) as image:
                if image.mode != "RGB":
                    raise ValueError(f"mode is {image.mode}, not RGB")
                square = image.resize(side, Image.Resampling.LANCZOS)
        # Pillow raises SyntaxError for some damaged PNGs.
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise ValueError(f"data.source.path: {file} cannot be used: {error}") from error
        pixels: NDArray[np.uint8] = np.array(square, np.uint8)
        return np.transpose(pixels, (2, 0, 1))
