"""Rows on disk: immutable .npy shards and a manifest, whose rename is the commit.

    pool/0003/shard-00000.npy   at most 4,096 rows each, written whole, never changed
    pool/0003/manifest.json     names the shards, with SHA-256 and a CRC-32 for every row

Rows are read with plain reads, not mmap: a truncated map kills the process with SIGBUS.
"""

import hashlib
import io
import json
import math
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from isal.isal_zlib import crc32  # zlib's CRC-32, ten times as fast
from numpy.typing import NDArray
from torch import Tensor

from lightning_collapse.data.files import link_atomically, write_atomically

__all__ = [
    "MAX_SHARD_ROWS",
    "Shard",
    "StoredRows",
    "clear_uncommitted",
    "commit",
    "describe_shard",
    "link_rows",
    "open_rows",
    "read_shard",
    "shard_path",
    "write_rows",
    "write_shard",
]

MAX_SHARD_ROWS = 4096
_DTYPES = ("uint8", "float32")


@dataclass(frozen=True)
class Shard:
    """One shard as the manifest describes it.

    Attributes:
        file: name within the folder.
        sha256: of the whole file.
        crc32: of each row's bytes.
        labels: class of each row, or None.
    """

    file: str
    sha256: str
    crc32: list[int]
    labels: list[int] | None = None


def shard_path(folder: Path, index: int) -> Path:
    """Gives the path of a folder's shard."""
    return folder / f"shard-{index:05d}.npy"


def write_shard(path: Path, rows: Tensor) -> None:
    """Writes rows (n, *), uint8 or float32, as one shard."""
    array = np.ascontiguousarray(rows.numpy())
    if array.dtype.name not in _DTYPES or not 1 <= len(array) <= MAX_SHARD_ROWS:
        raise ValueError(
            f"a shard holds 1 to {MAX_SHARD_ROWS} rows of {' or '.join(_DTYPES)}, "
            f"got {array.dtype} {array.shape}"
        )
    write_atomically(path, lambda file: np.save(file, array, allow_pickle=False))


def read_shard(path: Path) -> Tensor:
    """Reads all rows (n, *) of a shard that is not committed yet, and so has no CRC to check."""
    return torch.from_numpy(np.load(path, allow_pickle=False))


def describe_shard(path: Path, labels: Tensor | None = None) -> Shard:
    """Describes a shard on disk, as the manifest will.

    Args:
        path: the shard.
        labels: class of each row (n,), or None.
    """
    data = path.read_bytes()
    array = np.load(io.BytesIO(data), allow_pickle=False)
    return Shard(
        file=path.name,
        sha256=hashlib.sha256(data).hexdigest(),
        crc32=[crc32(row) for row in array],
        labels=None if labels is None else labels.tolist(),
    )


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

    Args:
        folder: where the shards are.
        shards: in the order of their rows.
        shape: of one row.
        dtype: `uint8` or `float32`.
        recipe: how the rows were made.
        record: the round's record, for a round's samples.
    """
    manifest = {
        "rows": sum(len(shard.crc32) for shard in shards),
        "shape": list(shape),
        "dtype": dtype,
        "recipe": recipe,
        "record": record,
        "shards": [asdict(shard) for shard in shards],
    }
    text = json.dumps(finite(manifest), allow_nan=False)
    write_atomically(folder / "manifest.json", lambda file: file.write(text.encode()))


def clear_uncommitted(folder: Path) -> None:
    """Removes the shards of a folder in which nothing was committed."""
    if not (folder / "manifest.json").exists():
        for shard in folder.glob("shard-*.npy"):
            shard.unlink()


def write_rows(
    folder: Path,
    parts: Iterable[tuple[Tensor, Tensor | None]],
    recipe: Callable[[], dict[str, Any]],
) -> None:
    """Makes a folder the store of rows, in the place of any that it held.

    Args:
        folder: of the store, made if it is not there.
        parts: rows (n, *) and their labels (n,), a shard each; no shard stays if they raise.
        recipe: says how the rows were made, once all are written.
    """
    _uncommit(folder)
    shards = []
    try:
        for i, (rows, labels) in enumerate(parts):
            write_shard(shard_path(folder, i), rows)
            shards.append(describe_shard(shard_path(folder, i), labels))
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
        if describe_shard(path).sha256 != shard.sha256:
            raise ValueError(f"{stored.folder / shard.file}: is damaged; make the store again")
        shards.append(replace(shard, file=path.name))
    _remove_from(folder, len(shards))
    commit(folder, shards, shape=stored.shape, dtype=stored.dtype.name, recipe=recipe)


def _uncommit(folder: Path) -> None:
    """Makes a folder one whose shards do not count, to be replaced one by one."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "manifest.json").unlink(missing_ok=True)


def _remove_from(folder: Path, index: int) -> None:
    """Removes what an earlier store has more of shards."""
    while (path := shard_path(folder, index)).exists():
        path.unlink()
        index += 1


def open_rows(folder: Path) -> "StoredRows":
    """Opens a store that a user named.

    Raises:
        FileNotFoundError: there is none.
        ValueError: its manifest cannot be read.
    """
    manifest = folder / "manifest.json"
    if not manifest.is_file():
        raise FileNotFoundError(f"{folder}: holds no store, for want of a manifest.json")
    try:
        return StoredRows(folder)
    except (ValueError, LookupError, TypeError, AttributeError, OSError) as error:
        raise ValueError(f"{manifest}: cannot be read ({error!r})") from error


class StoredRows:
    """The committed rows (n, *) of one folder; reads any of them, checking each row's CRC."""

    def __init__(self, folder: Path) -> None:
        """Opens a folder.

        Raises:
            FileNotFoundError: nothing was committed there.
        """
        self.folder = folder
        manifest = json.loads((folder / "manifest.json").read_text())
        self.recipe: dict[str, Any] = manifest["recipe"]
        self.record: dict[str, Any] | None = manifest["record"]
        self.shape: tuple[int, ...] = tuple(manifest["shape"])
        self.dtype = np.dtype(manifest["dtype"])
        self.shards = [Shard(**shard) for shard in manifest["shards"]]
        counts = [len(shard.crc32) for shard in self.shards]
        self._ends = np.cumsum(counts)
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
        rows: NDArray[Any] = np.empty((len(wanted), *self.shape), self.dtype)
        flat = rows.reshape(len(wanted), int(np.prod(self.shape))).view(np.uint8)
        shard_of = np.searchsorted(self._ends, wanted, side="right")
        for shard in np.unique(shard_of):
            where = np.flatnonzero(shard_of == shard)
            self._read(int(shard), wanted[where], where, flat)
        return torch.from_numpy(rows)

    def _read(
        self, shard: int, wanted: NDArray[Any], where: NDArray[Any], out: NDArray[np.uint8]
    ) -> None:
        path = self.folder / self.shards[shard].file
        start = int(self._ends[shard]) - len(self.shards[shard].crc32)
        descriptor = os.open(path, os.O_RDONLY)
        try:
            # The header's length is what the rows do not fill; less than nothing in a cut file.
            n_bytes = self._row_bytes * len(self.shards[shard].crc32)
            header = max(0, os.fstat(descriptor).st_size - n_bytes)
            for row, target in zip(wanted.tolist(), where.tolist(), strict=True):
                view = out[target]
                got = os.preadv(descriptor, [view], header + (row - start) * self._row_bytes)
                if got != self._row_bytes or crc32(view) != self._crc32[row]:
                    raise OSError(f"{path}: row {row - start} is damaged")
        finally:
            os.close(descriptor)


def _all_labels(shards: Sequence[Shard]) -> Tensor | None:
    labels = [shard.labels for shard in shards]
    if any(part is None for part in labels):
        return None
    return torch.tensor([label for part in labels if part is not None for label in part])


def finite(value: Any) -> Any:
    """Gives a JSON value with null for every number that is not finite, which JSON lacks."""
    if isinstance(value, dict):
        return {name: finite(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
