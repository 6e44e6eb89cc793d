"""A set of rows that a user names: a store, image files in a folder or a zip, or an array."""

import sys
from contextlib import closing
from pathlib import Path

import torch
from torch import Tensor

from lightning_collapse.data.foreign.archives import open_archive
from lightning_collapse.data.sources.arrays import ImageArray, is_array_file
from lightning_collapse.data.sources.images import Digits
from lightning_collapse.data.sources.imports import (
    ImageImport,
    Policy,
    RefusedSetError,
    import_notes,
)
from lightning_collapse.data.store.manifest import is_committed
from lightning_collapse.data.store.shards import StoredRows
from lightning_collapse.rows import Rows
from lightning_collapse.runs.layout import Run

__all__ = ["open_set"]


def open_set(
    field: str, path: Path, shape: tuple[int, ...] | None = None, follow_links: bool = False
) -> Rows:
    """Opens a store's images (n, C, H, W), uint8, or points (n, d); or images of files.

    Files must be square, of one size, and all gray or all in colour.

    Args:
        field: what the path was given as, for messages.
        path: the store's folder; a folder, a zip or parquet files of images; an npy or npz; or
            Digits, scikit-learn's.
        shape: that every row must have, if it must; checked before all are read.
        follow_links: follow links in a folder that lead to something in it.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: what is there are no rows, or not of that shape.
    """
    if str(path) == "Digits" and not path.exists():
        return Digits().read(0)[0]
    if not path.exists():
        raise FileNotFoundError(
            f"{field} = {path}: no such file or folder; name a store, images in a folder or zip, "
            "or an npy or npz of them"
        )
    try:
        if is_committed(path):
            return _stored(path, shape)
        if Run(path).pool.is_dir():
            round_0 = Run(path).round(0)
            raise ValueError(f"{path}: is a run; name one of its rounds, such as {round_0}")
        if is_array_file(path):
            return _read_array(path, shape)
        return _read_files(path, shape, follow_links)
    except RefusedSetError as error:
        raise ValueError(
            f"{field} = {error.told}; `lightning-collapse prepare {path} STORE` makes a store of "
            "what can be used, by --resolution, --on-bad-image convert or --on-bad-image skip"
        ) from error
    except (ValueError, FileNotFoundError) as error:
        raise ValueError(f"{field} = {str(error).removeprefix('path = ')}") from error


def _check_shape(path: Path, shape: tuple[int, ...], wanted: tuple[int, ...] | None) -> None:
    if wanted not in (None, shape):
        advice = "; `lightning-collapse prepare` resizes images" if len(shape) == 3 else ""
        raise ValueError(
            f"{path}: holds {'images' if len(shape) == 3 else 'points'} of {shape}; "
            f"must be of {wanted}, as the samples are{advice}"
        )


def _stored(path: Path, shape: tuple[int, ...] | None) -> StoredRows:
    try:
        rows = StoredRows(path)
    except (LookupError, TypeError, ValueError) as error:
        raise ValueError(f"{path}: its manifest cannot be read ({error!r})") from error
    if len(rows.shape) not in (1, 3):
        raise ValueError(f"{path}: holds neither points nor images, but {rows.shape}")
    _check_shape(path, rows.shape, shape)
    return rows


def _read_array(path: Path, shape: tuple[int, ...] | None) -> Tensor:
    rows, _ = ImageArray(path).read()
    height, width = rows.shape[2:]
    if height != width:
        raise RefusedSetError(f"{path}: the images are {width}x{height}, not square", "")
    _check_shape(path, tuple(rows.shape[1:]), shape)
    return rows


def _read_files(path: Path, shape: tuple[int, ...] | None, follow_links: bool) -> Tensor:
    with closing(open_archive(path, follow_links)) as archive:
        images = ImageImport(archive, None, Policy(mode=None))
        channels = 1 if images.mode == "L" else 3
        _check_shape(path, (channels, images.side, images.side), shape)
        rows = torch.cat([rows for rows, _ in images.parts()])
        for line in import_notes(images.recipe() | {"told": []}):  # of labels
            print(f"{path}: {line}", file=sys.stderr)
        return rows
