"""A set of rows that a user names: a store, or a folder or a zip of image files."""

from contextlib import closing
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from lightning_collapse.data.foreign.archives import open_archive
from lightning_collapse.data.foreign.decoding import decode
from lightning_collapse.data.sources.imports import ImageImport, Policy
from lightning_collapse.data.store.manifest import is_committed
from lightning_collapse.data.store.shards import StoredRows
from lightning_collapse.rows import Rows
from lightning_collapse.runs.layout import Run

__all__ = ["open_set"]

_SUFFIXES = (".png", ".jpg", ".jpeg")


def open_set(field: str, path: Path, shape: tuple[int, ...] | None = None) -> Rows:
    """Opens a store's images (n, C, H, W), uint8, or points (n, d); or the images of files.

    Files must be square, of one size, and all gray or all in colour.

    Args:
        field: what the path was given as, for messages.
        path: the store's folder; or a folder or a zip of images.
        shape: that every row must have, if it must; checked before all are read.

    Raises:
        FileNotFoundError: there is no such folder, or nothing in it.
        ValueError: what is there are no rows, or not of that shape.
    """
    if not path.exists():
        raise FileNotFoundError(
            f"{field} = {path}: no such file or folder; name a store, or images in a folder or zip"
        )
    if is_committed(path):
        stored = _stored(field, path)
        _check_shape(field, path, stored.shape, shape)
        return stored
    if Run(path).pool.is_dir():
        raise ValueError(
            f"{field} = {path}: is a run; name one of its rounds, such as {Run(path).round(0)}"
        )
    return _read_files(field, path, shape)


def _check_shape(
    field: str, path: Path, shape: tuple[int, ...], wanted: tuple[int, ...] | None
) -> None:
    if wanted not in (None, shape):
        advice = "; `lightning-collapse prepare` resizes images" if len(shape) == 3 else ""
        raise ValueError(
            f"{field} = {path}: holds {'images' if len(shape) == 3 else 'points'} of {shape}; "
            f"must be of {wanted}, as the samples are{advice}"
        )


def _stored(field: str, path: Path) -> StoredRows:
    try:
        rows = StoredRows(path)
    except (LookupError, TypeError, ValueError) as error:
        raise ValueError(f"{field} = {path}: its manifest cannot be read ({error!r})") from error
    if len(rows.shape) not in (1, 3):
        raise ValueError(f"{field} = {path}: holds neither points nor images, but {rows.shape}")
    return rows


def _read_files(field: str, path: Path, shape: tuple[int, ...] | None) -> Tensor:
    try:
        mode, side = _first_image(path)
    except ValueError as error:
        raise ValueError(f"{field} = {error}") from error
    _check_shape(field, path, (1 if mode == "L" else 3, side, side), shape)
    try:
        with closing(open_archive(path)) as archive:
            images = ImageImport(archive, None, Policy(mode=mode))
            return torch.cat([rows for rows, _ in images.parts()])
    except ValueError as error:
        raise ValueError(f"{field} = {error}") from error


def _first_image(path: Path) -> tuple[Literal["RGB", "L"], int]:
    """Gives the mode and the side of a set's first image, which all must have."""
    with closing(open_archive(path)) as archive:
        names = [name for name in archive.names if name.lower().endswith(_SUFFIXES)]
        if not names:
            raise ValueError(f"{path}: holds neither a store nor PNG or JPEG images")
        try:
            image = decode(archive.read(names[0]))
        except ValueError as error:
            raise ValueError(f"{path / names[0]}: cannot be read: {error}") from error
    if image.width != image.height:
        size = f"{image.width} x {image.height}"
        raise ValueError(f"{path / names[0]}: is {size}; images must be square")
    return "L" if image.mode == "L" else "RGB", image.width
