"""Sets that are arrays already, to be imported like any images: found by path, or by name."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lightning_collapse.data.foreign.decoding import picture, resize
from lightning_collapse.data.sources.arrays import ImageArray, is_array_file
from lightning_collapse.data.sources.images import CIFAR10, FashionMNIST
from lightning_collapse.data.store.shards import MAX_SHARD_ROWS, write_rows

__all__ = ["find_set", "keep_set"]

_DOWNLOADS: dict[str, CIFAR10 | FashionMNIST] = {
    "cifar10": CIFAR10(download=True),
    "fashion-mnist": FashionMNIST(download=True),
}


def find_set(source: Path) -> CIFAR10 | FashionMNIST | ImageArray | None:
    """Gives the set that a folder holds as torchvision keeps it, a file as an array, or a name."""
    if is_array_file(source):
        return ImageArray(source)
    for local in (CIFAR10(source), FashionMNIST(source)):
        if local.is_there():
            return local
    return None if source.exists() else _DOWNLOADS.get(str(source))


def keep_set(
    published: CIFAR10 | FashionMNIST | ImageArray,
    folder: Path,
    resolution: int | None,
    mode: str | None,
    size: tuple[int, int] | None,
    recipe: dict[str, Any],
) -> None:
    """Makes a folder the store of a set, resized as files are to a side of `resolution` pixels.

    Mode and size are what the images were declared to be, if they were. The recipe goes into the
    manifest, with what was done under `import`.

    Raises:
        ValueError: the set is not whole, cannot be downloaded, or is not as declared.
    """
    rows, labels = published.read(seed=0)
    where = published.path if isinstance(published, ImageArray) else published.root
    own, (height, width) = "L" if rows.shape[1] == 1 else "RGB", rows.shape[2:]
    if mode not in (None, own) or size not in (None, (width, height)):
        raise ValueError(
            f"{where}: all images have mode {own} and size {width}x{height}, not as declared"
        )
    if resolution is None and width != height:
        raise ValueError(f"{where}: the images are {width}x{height}, not square; set a resolution")
    done = {
        "set": type(published).__name__,
        "mode": own,
        "size": [width, height],
        "resolution": resolution or height,
        "resize": "lanczos",
        "images": len(rows),
        "kept": len(rows),
        "sha256": hashlib.sha256(rows.numpy().tobytes()).hexdigest(),
    }
    parts = _parts(rows, labels, resolution or height)
    write_rows(folder, parts, lambda: recipe | {"import": done})


def _parts(
    rows: Tensor, labels: Tensor | None, side: int
) -> Iterator[tuple[Tensor, Tensor | None]]:
    for part in torch.split(torch.arange(len(rows)), MAX_SHARD_ROWS):
        squares = np.stack([resize(picture(row), side) for row in rows[part]])
        yield torch.from_numpy(squares), None if labels is None else labels[part]
