"""CIFAR-10 and Fashion-MNIST to be imported like any images: found in a folder, or by name."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lightning_collapse.data.foreign.decoding import picture, resize
from lightning_collapse.data.sources.images import CIFAR10, FashionMNIST
from lightning_collapse.data.store.shards import MAX_SHARD_ROWS, write_rows

__all__ = ["find_set", "keep_set"]

_DOWNLOADS: dict[str, CIFAR10 | FashionMNIST] = {
    "cifar10": CIFAR10(download=True),
    "fashion-mnist": FashionMNIST(download=True),
}


def find_set(source: Path) -> CIFAR10 | FashionMNIST | None:
    """Gives the set that a folder holds as torchvision keeps it, or that a name downloads."""
    for local in (CIFAR10(source), FashionMNIST(source)):
        if local.is_there():
            return local
    return None if source.exists() else _DOWNLOADS.get(str(source))


def keep_set(
    published: CIFAR10 | FashionMNIST,
    folder: Path,
    resolution: int | None,
    mode: str | None,
    size: tuple[int, int] | None,
    recipe: dict[str, Any],
) -> None:
    """Makes a folder the store of a set, resized as files are.

    Args:
        published: the set.
        folder: of the store.
        resolution: side of the square to resize to, in pixels; None: as they are.
        mode: what the images were declared to be, if they were.
        size: likewise.
        recipe: goes into the manifest, with what was done under `import`.

    Raises:
        ValueError: the set is not whole, cannot be downloaded, or is not as declared.
    """
    rows, labels = published.read(seed=0)
    own, side = "L" if rows.shape[1] == 1 else "RGB", rows.shape[2]
    if mode not in (None, own) or size not in (None, (side, side)):
        raise ValueError(
            f"{published.root}: all images have mode {own} and size {side}x{side}, not as declared"
        )
    done = {
        "set": type(published).__name__,
        "mode": own,
        "size": [side, side],
        "resolution": resolution or side,
        "resize": "lanczos",
        "images": len(rows),
        "kept": len(rows),
        "sha256": hashlib.sha256(rows.numpy().tobytes()).hexdigest(),
    }
    parts = _parts(rows, labels, resolution or side)
    write_rows(folder, parts, lambda: recipe | {"import": done})


def _parts(
    rows: Tensor, labels: Tensor | None, side: int
) -> Iterator[tuple[Tensor, Tensor | None]]:
    for part in torch.split(torch.arange(len(rows)), MAX_SHARD_ROWS):
        squares = np.stack([resize(picture(row), side) for row in rows[part]])
        yield torch.from_numpy(squares), None if labels is None else labels[part]
