"""Parquet files of images, as the Hugging Face Hub keeps data sets: a row is an image file.

A column is `struct<bytes, path>`, or plain binary; one of whole numbers may hold the class. They
are read by pyarrow, which is installed by `pip install 'lightning-collapse[parquet]'`.
"""

import io
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path
from typing import IO, Any

from lightning_collapse.data.foreign.archives import MAX_FILE_BYTES, Archive, Folder
from lightning_collapse.data.foreign.hidden import is_hidden

__all__ = ["Parquet", "parquet_files"]

_MAGIC = b"PAR1"
_LABELS = ("label", "labels", "class", "fine_label")
# Of a Hub file's name, such as train-00000-of-00032.parquet.
_SPLIT = re.compile(r"(train|test|validation|val|dev)(?![a-z])", re.IGNORECASE)
_MAX_RATIO, _FREE_BYTES = 100, 2**26
_ROWS_AT_ONCE = 8


def parquet_files(path: Path, folder: Folder | None) -> list[Path]:
    """Gives the parquet files that a path is, or that its `folder` holds, in order of names."""
    if folder is None:
        return [path] if path.is_file() and _is_parquet(path) else []
    named = [n for n in folder.names if n.lower().endswith(".parquet") and not is_hidden(n)]
    return [path / name for name in named if _is_parquet(path / name)]


def _is_parquet(path: Path) -> bool:
    with open(path, "rb") as file:
        return file.read(4) == _MAGIC


class Parquet(Archive):
    """The images of one or several parquet files; image 12 of a.parquet is a/00000012.

    Beside them stand the other files of their folder, such as a README.
    """

    def __init__(self, path: Path, files: Sequence[Path], folder: Folder | None) -> None:
        """Reads how many images there are, and their labels.

        Raises:
            ValueError: pyarrow is missing, a file is damaged, has no column of images, or would
                take far more memory than it has bytes; or there are several splits.
        """
        self.path, self._folder = path, folder
        _refuse_splits(path, files)
        self._tables = {_stem(file, path): _Table(file) for file in files}
        tables = {file.relative_to(path).as_posix() for file in files} if folder else set()
        self._others = set(folder.names) - tables if folder else set()
        self._rows = {
            f"{stem}/{i:08d}": (stem, i)
            for stem, table in self._tables.items()
            for i in range(table.rows)
        }
        self.images = self._rows.keys()
        self.names = sorted({*self._rows, *self._others})
        self.faults = folder.faults if folder else {}
        self.labels = {
            f"{stem}/{i:08d}": label
            for stem, table in self._tables.items()
            for i, label in enumerate(table.labels())
            if label is not None and label >= 0
        }
        self.classes = next(iter(self._tables.values())).classes
        self._reading: Iterator[tuple[int, bytes]] | None = None
        self._at = "", -1
        self._held: tuple[str, bytes] = "", b""

    def open(self, name: str) -> IO[bytes]:
        if name in self._others and self._folder is not None:
            return self._folder.open(name)
        return io.BytesIO(self._bytes(name))

    def size(self, name: str) -> int:
        if name in self._others and self._folder is not None:
            return self._folder.size(name)
        return len(self._bytes(name))

    def _bytes(self, name: str) -> bytes:
        """Reads one image: rows are read once each, as long as they are asked for in order."""
        if self._held[0] == name:
            return self._held[1]
        stem, wanted = self._rows[name]
        if self._reading is None or self._at[0] != stem or self._at[1] >= wanted:
            self._reading = self._tables[stem].images(wanted)
        for i, data in self._reading:
            self._at = stem, i
            if i == wanted:
                self._held = name, data
                return data
        raise ValueError("is not in its file")


class _Table:
    """One parquet file.

    Attributes:
        rows: images in it.
        classes: their names, of the Hub's description of the label column.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._file = path, _opened(path)
        with _damaged(path):
            schema, about = self._file.schema_arrow, self._file.metadata
            self.rows: int = about.num_rows
            groups = [about.row_group(i) for i in range(about.num_row_groups)]
            self._starts = [0, *accumulate(group.num_rows for group in groups)]
            claimed = sum(group.total_byte_size for group in groups)
        if claimed > max(_FREE_BYTES, _MAX_RATIO * path.stat().st_size) or self.rows > 2**28:
            raise ValueError(f"{path}: unpacks to more than {_MAX_RATIO} times its size")
        kinds = {name: str(schema.field(name).type) for name in schema.names}
        names = [n for n in _LABELS if re.fullmatch(r"u?int\d+", kinds.get(n, ""))]
        self._label = names[0] if names else None
        self._image = _image_column(path, kinds)
        self.classes = _class_names(schema.metadata or {}, self._label)

    def labels(self) -> list[int | None]:
        """The class of every row; none where the file has no such column."""
        if self._label is None:
            return []
        with _damaged(self._path):
            table = self._file.read(columns=[self._label])
            labels: list[int | None] = table.column(self._label).to_pylist()
            return labels

    def images(self, first: int) -> Iterator[tuple[int, bytes]]:
        """Yields every row's number and bytes, from the row group on that holds row `first`."""
        group = max(i for i, start in enumerate(self._starts[:-1]) if start <= first)
        i = self._starts[group]
        groups = list(range(group, len(self._starts) - 1))
        with _damaged(self._path):
            # Few at a time: a row may be long, and many the same one.
            for batch in self._file.iter_batches(
                batch_size=_ROWS_AT_ONCE, row_groups=groups, columns=[self._image]
            ):
                for value in batch.column(0).to_pylist():
                    data = value.get("bytes") if isinstance(value, dict) else value
                    # A row may be a path alone, whose file is elsewhere.
                    yield i, b"" if data is None or len(data) > MAX_FILE_BYTES else data
                    i += 1


@contextmanager
def _damaged(path: Path) -> Iterator[None]:
    """Makes one line of what pyarrow raises, of many kinds, for a file that is not whole."""
    try:
        yield
    except Exception as error:
        line = " ".join(str(error).split())[:200]
        raise ValueError(f"{path}: cannot be read as parquet ({line})") from error


def _opened(path: Path) -> Any:
    try:
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise ValueError(
            f"{path}: is parquet, which pyarrow reads; pip install pyarrow"
        ) from error
    with _damaged(path):
        return ParquetFile(path)


def _image_column(path: Path, kinds: Mapping[str, str]) -> str:
    """Gives the column of images: the first of the Hub's kind, or else the first of bytes."""
    hubs = [name for name, kind in kinds.items() if re.match(r"struct<.*\bbytes: ", kind)]
    plain = [name for name, kind in kinds.items() if kind in ("binary", "large_binary")]
    if not (hubs or plain):
        raise ValueError(
            f"{path}: holds no column of images, struct<bytes, path> or binary, but "
            f"{', '.join(kinds) or 'none'}"
        )
    return (hubs or plain)[0]


def _class_names(metadata: Mapping[bytes, bytes], label: str | None) -> list[str]:
    """Reads the names of classes out of the Hub's description, where there is one."""
    try:
        features = json.loads(metadata[b"huggingface"])["info"]["features"]
        names = features[label]["names"]
        return names if all(isinstance(name, str) for name in names) else []
    except (KeyError, TypeError, ValueError, RecursionError):
        return []


def _stem(file: Path, root: Path) -> str:
    name = file.name if file == root else file.relative_to(root).as_posix()
    return name.removesuffix(file.suffix)


def _refuse_splits(path: Path, files: Sequence[Path]) -> None:
    names = [_SPLIT.match(part) for file in files for part in file.relative_to(path).parts]
    splits = Counter(name[1].lower() for name in names if name)
    if len(splits) > 1:
        raise ValueError(
            f"{path}: holds the splits {', '.join(splits)}; put the files of one into a folder"
        )
