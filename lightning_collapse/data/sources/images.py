"""Sources of real images: each reads a set into uint8 rows (n, C, H, W)."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from lightning_collapse.data.foreign.archives import Folder, open_archive
from lightning_collapse.data.foreign.parquet import parquet_files
from lightning_collapse.data.sources.arrays import ImageArray
from lightning_collapse.data.sources.imports import ImageImport, Policy
from lightning_collapse.data.sources.source import Source
from lightning_collapse.data.store.shards import StoredRows, link_rows, open_rows, write_rows

__all__ = [
    "CIFAR10",
    "Digits",
    "FashionMNIST",
    "ImageArray",
    "ImageFolder",
    "ImageParquet",
    "ImageZip",
    "Patches",
    "Prepared",
]


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
class Patches(Source):
    """Patches of scikit-learn's two photographs, gray, side by side in order: no download.

    Of side 8 there are 8,480, a second domain of the digits' shape. Labels tell the photograph.

    Attributes:
        side: of a patch, in pixels, 2 to 64.
    """

    side: int = 8

    def __post_init__(self) -> None:
        if not 2 <= self.side <= 64:
            raise ValueError(f"side = {self.side}: must be 2 to 64 pixels")

    def read(self, seed: int) -> tuple[Tensor, Tensor | None]:
        from sklearn.datasets import load_sample_images

        parts = []
        for photograph in load_sample_images().images:
            gray = torch.from_numpy(np.rint(photograph.mean(-1)).astype(np.uint8))
            tiles = gray.unfold(0, self.side, self.side).unfold(1, self.side, self.side)
            parts.append(tiles.reshape(-1, 1, self.side, self.side))
        labels = [torch.full((len(part),), i) for i, part in enumerate(parts)]
        return torch.cat(parts), torch.cat(labels)


@dataclass(frozen=True)
class _Published(ABC):
    """A set that torchvision reads from a folder below the root, or downloads."""

    root: Path
    download: bool
    folder: ClassVar[str]
    packed: ClassVar[str]

    def is_there(self) -> bool:
        """Whether the set's folder is, whole or not."""
        return (Path(self.root) / self.folder).is_dir()

    def check(self) -> None:
        if not self.download and not self.is_there():
            raise FileNotFoundError(
                f"root = {self.root}: has no folder {self.folder}; name the folder that holds it, "
                "or set download to true, as --data.source.download true does"
            )

    def _loaded(self, kind: Callable[..., Any]) -> Any:
        self.check()
        try:
            return kind(str(self.root), train=True, download=self.download)
        except Exception as error:  # of many kinds, for a set that is not whole, or not to be had
            said = " ".join(str(error).split()) or repr(error)
            raise ValueError(
                f"root = {self.root}: {said}; where there is no network, put {self.packed} there: "
                "a download takes what is there"
            ) from error


@dataclass(frozen=True)
class CIFAR10(_Published, Source):
    """The 50,000 training images of CIFAR-10, 32x32 colour, with labels 0..9.

    Attributes:
        root: folder that holds, or will hold, `cifar-10-batches-py`.
        download: fetch the set if it is not there (170 MB); unpacks cifar-10-python.tar.gz if
            that is.
    """

    root: Path = Path("data/cifar10")
    download: bool = False

    folder: ClassVar[str] = "cifar-10-batches-py"
    packed: ClassVar[str] = "cifar-10-python.tar.gz"

    def read(self, seed: int) -> tuple[Tensor, Tensor | None]:
        from torchvision import datasets

        published = self._loaded(datasets.CIFAR10)
        images = torch.from_numpy(published.data).permute(0, 3, 1, 2).contiguous()
        return images, torch.tensor(published.targets)


@dataclass(frozen=True)
class FashionMNIST(_Published, Source):
    """The 60,000 training images of Fashion-MNIST, 28x28 gray, with labels 0..9.

    Attributes:
        root: folder that holds, or will hold, `FashionMNIST/raw`.
        download: fetch the set if it is not there (30 MB); unpacks .gz files that are.
    """

    root: Path = Path("data")
    download: bool = False

    folder: ClassVar[str] = "FashionMNIST/raw"
    packed: ClassVar[str] = "the four .gz files in FashionMNIST/raw"

    def read(self, seed: int) -> tuple[Tensor, Tensor | None]:
        from torchvision import datasets

        published = self._loaded(datasets.FashionMNIST)
        return published.data.unsqueeze(1), published.targets


@contextmanager
def _of_path() -> Iterator[None]:
    """Names the option that a refusal is of."""
    try:
        yield
    except (FileNotFoundError, ValueError) as error:
        kind = ValueError if isinstance(error, ValueError) else FileNotFoundError
        raise kind(f"path = {error}") from error


@dataclass(frozen=True)
class _ImageSet(ABC):
    """Image files that are imported as they are read, from an archive of either kind."""

    path: Path
    resolution: int | None
    policy: Policy

    def __post_init__(self) -> None:
        if self.resolution is not None and self.resolution < 1:
            raise ValueError(f"resolution = {self.resolution}: must be at least 1")

    @abstractmethod
    def check(self) -> None: ...

    def read(self, seed: int) -> tuple[Tensor, Tensor | None]:
        with self._importing() as images:
            rows, labels = zip(*images.parts(), strict=True)
        return torch.cat(rows), None if labels[0] is None else torch.cat(labels)

    def keep(self, folder: Path, seed: int, recipe: dict[str, Any]) -> None:
        with self._importing() as images:
            write_rows(folder, images.parts(), lambda: recipe | {"import": images.recipe()})

    @contextmanager
    def _importing(self) -> Iterator[ImageImport]:
        self.check()
        # Only a folder's links can be followed.
        links = getattr(self, "follow_links", False)
        with _of_path(), closing(open_archive(Path(self.path), links)) as archive:
            yield ImageImport(archive, self.resolution, self.policy)


@dataclass(frozen=True)
class ImageFolder(_ImageSet, Source):
    """All images below a folder, whatever their suffix, resized to a square as NVIDIA does.

    Labels come from its dataset.json, or else number its sorted subfolders, if there are several.

    Attributes:
        path: the folder; subfolders are searched too.
        resolution: side of the square, in pixels; resized by Lanczos, without a crop.
        policy: what the images must be.
        follow_links: follow links that lead to something in the folder.
    """

    path: Path
    resolution: int
    policy: Policy = Policy()
    follow_links: bool = False

    def __repr__(self) -> str:
        # A run compares it, and may have been started before there was the option.
        links = ", follow_links=True" if self.follow_links else ""
        return (
            f"ImageFolder(path={self.path!r}, resolution={self.resolution!r}, "
            f"policy={self.policy!r}{links})"
        )

    def check(self) -> None:
        if not Path(self.path).is_dir():
            raise FileNotFoundError(
                f"path = {self.path}: no such folder; name the folder of the images"
            )


@dataclass(frozen=True)
class ImageZip(_ImageSet, Source):
    """All images of a zip archive, such as EDM's dataset zips, read in place.

    Labels come as for `ImageFolder`.

    Attributes:
        path: the archive.
        resolution: side of the square to resize to, in pixels; default: the images are square.
        policy: what the images must be.
    """

    path: Path
    resolution: int | None = None
    policy: Policy = Policy()

    def check(self) -> None:
        if not Path(self.path).is_file():
            raise FileNotFoundError(
                f"path = {self.path}: no such file; name the zip of the images"
            )


@dataclass(frozen=True)
class ImageParquet(_ImageSet, Source):
    """All images of parquet files, as the Hugging Face Hub keeps them. Needs pyarrow.

    Their column is `struct<bytes, path>`, or binary; labels are the column `label`, if there is
    one.

    Attributes:
        path: one file, or the folder of several, which are of one split.
        resolution: side of the square to resize to, in pixels; default: the images are square.
        policy: what the images must be.
    """

    path: Path
    resolution: int | None = None
    policy: Policy = Policy()

    def check(self) -> None:
        path = Path(self.path)
        if not path.exists():
            raise FileNotFoundError(f"path = {path}: no such file or folder of parquet files")
        if not parquet_files(path, Folder(path) if path.is_dir() else None):
            raise ValueError(f"path = {path}: holds no parquet file")


@dataclass(frozen=True)
class Prepared(Source):
    """The rows of a store that `lightning-collapse prepare` made, or of any other folder of rows.

    Attributes:
        path: the store's folder.
    """

    path: Path

    def check(self) -> None:
        self._open()

    def read(self, seed: int) -> tuple[Tensor, Tensor | None]:
        stored = self._open()
        return stored[torch.arange(len(stored))], stored.labels

    def keep(self, folder: Path, seed: int, recipe: dict[str, Any]) -> None:
        stored = self._open()
        link_rows(stored, folder, recipe | {"import": stored.recipe})

    @_of_path()
    def _open(self) -> StoredRows:
        return open_rows(Path(self.path))
