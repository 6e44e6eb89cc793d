"""Rows of a store as PNG files in the layout of EDM's dataset zips, in a zip or in a folder.

Row 0 is 00000/img00000000.png; the folder is the number's first five of eight digits. A file
dataset.json has the labels, {"labels": [["00000/img00000000.png", 6], ...]}, or null.
"""

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import torch
from torch import Tensor
from tqdm import tqdm

from lightning_collapse.data.files import write_atomically, write_folder_atomically
from lightning_collapse.data.foreign.decoding import picture
from lightning_collapse.data.foreign.labels import LABELS_FILE
from lightning_collapse.data.store.shards import StoredRows

__all__ = ["export_folder", "export_zip"]

_ROWS_AT_A_TIME = 256


def export_zip(stored: StoredRows, path: Path) -> None:
    """Writes all images as one of EDM's dataset zips; the same rows give the same bytes.

    Raises:
        ValueError: the rows are not images of 1 or 3 channels.
    """

    def write(file: BinaryIO) -> None:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            for name, data in _files(stored):
                # A date of its own would make every export differ.
                archive.writestr(zipfile.ZipInfo(name), data)

    write_atomically(path, write)


def export_folder(stored: StoredRows, path: Path) -> None:
    """Writes all images below a folder, which may exist but must be empty.

    Raises:
        ValueError: the rows are not images of 1 or 3 channels.
        OSError: the folder is not empty.
    """

    def write(folder: Path) -> None:
        for name, data in _files(stored):
            file = folder / name
            file.parent.mkdir(exist_ok=True)
            file.write_bytes(data)

    write_folder_atomically(path, write)


def _files(stored: StoredRows) -> Iterator[tuple[str, bytes]]:
    """Gives name and content of every file of the export."""
    if stored.dtype != "uint8" or len(stored.shape) != 3 or stored.shape[0] not in (1, 3):
        raise ValueError(
            f"{stored.folder}: holds {stored.dtype} rows of shape {stored.shape}; only images of "
            "1 or 3 channels can be exported"
        )
    names = [f"{i // 1000:05d}/img{i:08d}.png" for i in range(len(stored))]
    bar = tqdm(total=len(names), desc="exporting", leave=False, disable=None)
    for part in torch.split(torch.arange(len(stored)), _ROWS_AT_A_TIME):
        for i, row in zip(part.tolist(), stored[part], strict=True):
            yield names[i], _png(row)
            bar.update()
    bar.close()
    labels = None
    if stored.labels is not None:
        labels = [list(pair) for pair in zip(names, stored.labels.tolist(), strict=True)]
    yield LABELS_FILE, json.dumps({"labels": labels}).encode()


def _png(row: Tensor) -> bytes:
    buffer = io.BytesIO()
    picture(row).save(buffer, format="PNG", compress_level=0)
    return buffer.getvalue()
