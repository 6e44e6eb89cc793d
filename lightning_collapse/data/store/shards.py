"""Rows on disk: immutable .npy shards and a manifest, whose rename is the commit.

    pool/0003/shard-00000.npy   at most 4,096 rows each, written whole, never changed
    pool/0003/manifest.json     names the shards, with SHA-256 and a CRC-32 for every row

Rows are read with plain reads, not mmap: a truncated map kills the process with SIGBUS.
"""

import hashlib
import io
import math
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from isal.isal_zlib import crc32  # zlib's CRC-32, ten times as fast
from numpy.typing import NDArray
from torch import Tensor

from lightning_collapse.data.files import link_atomically, make_folder, remove, write_atomically
from lightning_collapse.data.store.manifest import (
    DTYPES,
    MAX_SHARD_ROWS,
    Manifest,
    Shard,
    is_committed,
    manifest_path,
    read_manifest,
    write_manifest,
)

__all__ = [
    "MAX_SHARD_ROWS",
    "Shard",
    "StoredRows",
    "clear_uncommitted",
    "commit",
    "encode_shard",
    "link_rows",
    "open_rows",
    "read_shard",
    "shard_index",
    "shard_path",
    "write_rows",
    "write_shard",
]


def shard_path(folder: Path, index: int) -> Path:
    """Gives the path of a folder's shard."""
    return folder / f"shard-{index:05d}.npy"


def shard_index(path: Path) -> int:
    """Gives which of its folder's shards this is."""
    return int(path.stem.removeprefix("shard-"))


def encode_shard(rows: Tensor) -> bytes:
    """Gives the bytes of the shard that holds rows (n, *), uint8 or float32."""
    array = np.ascontiguousarray(rows.numpy())
    if array.dtype.name not in DTYPES or not 1 <= len(array) <= MAX_SHARD_ROWS:
        raise ValueError(
            f"a shard holds 1 to {MAX_SHARD_ROWS} rows of {' or '.join(DTYPES)}, "
            f"got {array.dtype} {array.shape}"
        )
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def write_shard(path: Path, rows: Tensor, labels: Tensor | None = None) -> Shard:
    """Writes rows (n, *), uint8 or float32, as one shard; describes it for the manifest.

    Labels are the class of each row (n,), or None.
    """
    data = encode_shard(rows)
    write_atomically(path, lambda file: file.write(data))
    return Shard(
        file=path.name,
        sha256=hashlib.sha256(data).hexdigest(),
        crc32=[crc32(row) for row in np.ascontiguousarray(rows.numpy())],
        labels=None if labels is None else labels.tolist(),
    )


def read_shard(path: Path, sha256: str) -> Tensor:
    """Reads all rows (n, *) of a shard, once, and checks them by the hash of the whole file.

    Raises:
        OSError: it is gone, or not what was written.
        ValueError: it is not a shard.
    """
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != sha256:
        raise OSError(f"{path}: is damaged; remove it, and it is made again")
    return torch.from_numpy(_decode_shard(path, data))


def _decode_shard(path: Path, data: bytes) -> NDArray[Any]:
    file = io.BytesIO(data)
    try:
        if np.lib.format.read_magic(file) != (1, 0):
            raise ValueError("not of version 1.0")
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
    except Exception as error:  # of many kinds, for files that are something else
        raise ValueError(f"{path}: is not a shard of rows ({error})") from error
    n_bytes = len(data) - file.tell()
    # By the bytes there are: numpy would take memory for as many as the header claims.
    if (
        dtype.str not in ("|u1", "<f4")
        or fortran
        or len(shape) < 2
        or min(shape) < 1
        or n_bytes != dtype.itemsize * math.prod(shape)
    ):
        raise ValueError(f"{path}: is not a shard of rows ({dtype} {shape} in {n_bytes} bytes)")
    rows: NDArray[Any] = np.frombuffer(data, dtype, offset=file.tell()).reshape(shape).copy()
    return rows


def commit(
    folder: Path,
    shards: Sequence[Shard],
    *,
    shape: Sequence[int],
    dtype: str,
    recipe: dict[str, Any],
    record: dict[str, Any] | None = None,
) -> None:
    """Makes the shards of a folder count, by renaming its manifest into place.

    Shards are in the order of their rows; the rest is as in `Manifest`.
    """
    rows = sum(len(shard.crc32) for shard in shards)
    write_manifest(folder, Manifest(rows, list(shape), dtype, recipe, record, list(shards)))


def clear_uncommitted(folder: Path) -> None:
    """Removes the shards of a folder in which nothing was committed."""
    if not is_committed(folder):
        remove(folder.glob("shard-*.npy"))


def write_rows(
    folder: Path,
    parts: Iterable[tuple[Tensor, Tensor | None]],
    recipe: Callable[[], dict[str, Any]],
) -> None:
    """Makes a folder, new or not, the store of rows, in the place of any that it held.

    Parts are rows (n, *) and their labels (n,), a shard each; no shard stays if they raise. The
    recipe says how the rows were made, once all are written.
    """
    _uncommit(folder)
    shards = []
    try:
        for i, (rows, labels) in enumerate(parts):
            shards.append(write_shard(shard_path(folder, i), rows, labels))
    except BaseException:
        clear_uncommitted(folder)
        raise
    _remove_from(folder, len(shards))
    dtype = str(rows.dtype).removeprefix("torch.")
    commit(folder, shards, shape=rows.shape[1:], dtype=dtype, recipe=recipe())


def link_rows(stored: "StoredRows", folder: Path, recipe: dict[str, Any]) -> None:
    """Makes a folder the store of the same rows, which stay if the other folder is removed.

    The files are shared where the file system can, and copied where not.

    Raises:
        ValueError: a shard is not what its manifest says.
    """
    _uncommit(folder)
    shards = []
    for i, shard in enumerate(stored.shards):
        path = shard_path(folder, i)
        link_atomically(stored.folder / shard.file, path)
        if hashlib.sha256(path.read_bytes()).hexdigest() != shard.sha256:
            raise ValueError(f"{stored.folder / shard.file}: is damaged; make the store again")
        shards.append(replace(shard, file=path.name))
    _remove_from(folder, len(shards))
    commit(folder, shards, shape=stored.shape, dtype=stored.dtype.name, recipe=recipe)


def _uncommit(folder: Path) -> None:
    """Makes a folder one whose shards do not count, to be replaced one by one."""
    make_folder(folder)
    remove([manifest_path(folder)] if is_committed(folder) else [])


def _remove_from(folder: Path, index: int) -> None:
    """Removes what an earlier store has more of shards."""
    kept = {shard_path(folder, i) for i in range(index)}
    remove(path for path in folder.glob("shard-*.npy") if path not in kept)


def open_rows(folder: Path) -> "StoredRows":
    """Opens a store that a user named.

    Raises:
        FileNotFoundError: there is none.
        ValueError: its manifest is damaged, or not one.
    """
    if not is_committed(folder):
        raise FileNotFoundError(f"{folder}: holds no store, for want of a manifest.json")
    return StoredRows(folder)


class StoredRows:
    """The committed rows (n, *) of one folder; reads any of them, checking each row's CRC."""

    def __init__(self, folder: Path) -> None:
        """Opens a folder.

        Raises:
            FileNotFoundError: nothing was committed there.
            ValueError: the manifest is damaged, or not one.
        """
        self.folder = folder
        manifest = read_manifest(folder)
        self.recipe, self.record = manifest.recipe, manifest.record
        self.shape: tuple[int, ...] = tuple(manifest.shape)
        self.dtype = np.dtype(manifest.dtype)
        self.shards = manifest.shards
        counts = [len(shard.crc32) for shard in self.shards]
        self._ends = np.cumsum(counts)
        self._starts: list[int] = (self._ends - counts).tolist()
        self._crc32 = np.concatenate([np.array(s.crc32, np.uint32) for s in self.shards])
        self._row_bytes = self.dtype.itemsize * int(np.prod(self.shape))
        self.labels = _all_labels(self.shards)

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, indices: Tensor) -> Tensor:
        """Reads rows (n, *) in the order of `indices` (n,).

        Raises:
            OSError: a row does not match its CRC, or its file is gone or too short.
        """
        wanted = indices.numpy()
        shard_of = np.searchsorted(self._ends, wanted, side="right")
        touched = [(int(i), np.flatnonzero(shard_of == i)) for i in np.unique(shard_of)]
        for shard, where in touched:
            self._check_size(shard, wanted[where])
        rows: NDArray[Any] = np.empty((len(wanted), *self.shape), self.dtype)
        flat = rows.reshape(len(wanted), int(np.prod(self.shape))).view(np.uint8)
        for shard, where in touched:
            self._read(shard, wanted[where], where, flat)
        return torch.from_numpy(rows)

    def _path(self, shard: int) -> Path:
        return self.folder / self.shards[shard].file

    def _check_size(self, shard: int, wanted: NDArray[Any]) -> None:
        # Before memory is taken for the rows: a manifest may claim any number of any size.
        path, n_bytes = self._path(shard), self._row_bytes * len(self.shards[shard].crc32)
        if not path.exists():
            raise FileNotFoundError(f"{path}: is gone; see `lightning-collapse pool verify`")
        if path.stat().st_size < n_bytes:
            raise _damaged(path, int(wanted[0]) - self._starts[shard])

    def _read(
        self, shard: int, wanted: NDArray[Any], where: NDArray[Any], out: NDArray[np.uint8]
    ) -> None:
        path, start = self._path(shard), self._starts[shard]
        descriptor = os.open(path, os.O_RDONLY)
        try:
            # The header's length is what the rows do not fill; less than nothing in a cut file.
            n_bytes = self._row_bytes * len(self.shards[shard].crc32)
            header = max(0, os.fstat(descriptor).st_size - n_bytes)
            for row, target in zip(wanted.tolist(), where.tolist(), strict=True):
                view = out[target]
                got = os.preadv(descriptor, [view], header + (row - start) * self._row_bytes)
                if got != self._row_bytes or crc32(view) != self._crc32[row]:
                    raise _damaged(path, row - start)
        finally:
            os.close(descriptor)


def _damaged(path: Path, row: int) -> OSError:
    return OSError(f"{path}: row {row} is damaged; see `lightning-collapse pool verify`")


def _all_labels(shards: Sequence[Shard]) -> Tensor | None:
    labels = [shard.labels for shard in shards]
    if any(part is None for part in labels):
        return None
    return torch.tensor([label for part in labels if part is not None for label in part])
