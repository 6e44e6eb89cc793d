"""Images in one array, as samplers and data set tools leave them: .npy and .npz files."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lightning_collapse.data.foreign.npz import Header, is_npz, read_array, read_headers
from lightning_collapse.data.sources.source import Source

__all__ = ["ImageArray", "is_array_file"]

_NPY_MAGIC = b"\x93NUMPY"
_LABELS = ("y", "labels", "label", "arr_1")
_LONGEST = 2**28
# Deflate reaches 1,032 for an array of zeros; images stay near 1.
_MAX_RATIO, _FREE_BYTES = 100, 2**28


def is_array_file(path: Path) -> bool:
    """Whether a file holds numpy's arrays, by its content."""
    if not path.is_file():
        return False
    with open(path, "rb") as file:
        start = file.read(len(_NPY_MAGIC))
    return start == _NPY_MAGIC or (start.startswith(b"PK") and is_npz(path))


@dataclass(frozen=True)
class ImageArray(Source):
    """The images of an array of uint8, (n, H, W, C) or (n, C, H, W) or gray (n, H, W).

    Of an npz it is the only such array, such as `arr_0`, `x` or `samples`. Labels are its array
    `y`, `labels` or `arr_1`, if that holds n whole numbers.

    Attributes:
        path: the .npy or .npz file.
    """

    path: Path

    def check(self) -> None:
        if not Path(self.path).is_file():
            raise FileNotFoundError(f"path = {self.path}: no such file; name an npy or npz file")

    def read(self, seed: int = 0) -> tuple[Tensor, Tensor | None]:
        self.check()
        path = Path(self.path)
        try:
            images, labels = _npy(path) if not is_npz(path) else _npz(path)
            rows = _channels_first(images)
        except ValueError as error:
            told = str(error)
            named = told if told.startswith(str(path)) else f"{path}: {told}"
            raise ValueError(f"path = {named}") from error
        return torch.from_numpy(rows), labels


def _npy(path: Path) -> tuple[NDArray[np.uint8], None]:
    with open(path, "rb") as file:
        start = file.read(len(_NPY_MAGIC))
    if start != _NPY_MAGIC:
        raise ValueError("is neither an npy nor an npz file")
    try:
        # Only what is looked at takes memory; nothing is written back.
        images = np.load(path, mmap_mode="c", allow_pickle=False)
    except Exception as error:  # of many kinds, for files that were cut or forged
        line = str(error).partition("\n")[0]
        raise ValueError(f"cannot be read as npy ({line:.200})") from error
    _check(images.dtype, images.shape)
    return images, None


def _npz(path: Path) -> tuple[NDArray[np.uint8], Tensor | None]:
    headers = read_headers(path)
    fitting = [name for name, header in headers.items() if _fits(header)]
    if len(fitting) != 1:
        told = ", ".join(f"{name} {h.dtype} {h.shape}" for name, h in list(headers.items())[:8])
        raise ValueError(
            f"holds {len(fitting)} arrays of images, must hold one, of type uint8 and shape "
            f"(n, H, W, C), (n, C, H, W) or (n, H, W); there are: {told or 'no arrays of numbers'}"
        )
    shape = headers[fitting[0]].shape
    if np.prod(shape, dtype=object) > max(_FREE_BYTES, _MAX_RATIO * path.stat().st_size):
        raise ValueError(f"unpacks to more than {_MAX_RATIO} times its size")
    images = read_array(path, fitting[0], shape)
    for name in _LABELS:
        header = headers.get(name)
        if header and header.shape == shape[:1] and header.dtype.kind in "iu":
            labels = read_array(path, name, shape[:1]).astype(np.int64)
            if not labels.size or labels.min() >= 0:
                return images, torch.from_numpy(labels)
    return images, None


def _fits(header: Header) -> bool:
    try:
        _check(header.dtype, header.shape)
    except ValueError:
        return False
    return True


def _check(dtype: np.dtype[np.uint8], shape: tuple[int, ...]) -> None:
    if dtype != np.uint8 or len(shape) not in (3, 4) or 0 in shape or shape[0] > _LONGEST:
        raise ValueError(
            f"holds {dtype} of shape {shape}; images are uint8, 0 to 255, of shape (n, H, W, C), "
            "(n, C, H, W) or (n, H, W)"
        )
    _axis(shape)


def _axis(shape: tuple[int, ...]) -> int | None:
    """Which axis of images has the channels; None for gray images without one."""
    if len(shape) == 3:
        if shape[2] in (1, 3, 4):
            raise ValueError(f"has shape {shape}, which is that of a single image")
        return None
    axes = [axis for axis in (3, 1) if shape[axis] in (1, 3)]
    if len(axes) == 2:  # a side of 1 or 3 pixels: squares decide
        axes = [axis for axis in axes if len({shape[i] for i in (1, 2, 3) if i != axis}) == 1]
    if len(axes) != 1:
        raise ValueError(f"has shape {shape}, of which no single axis is 1 or 3 channels")
    return axes[0]


def _channels_first(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    axis = _axis(images.shape)
    if axis is None:
        return images[:, None]
    return images if axis == 1 else np.ascontiguousarray(images.transpose(0, 3, 1, 2))
