"""A folder's manifest: what its shards hold, and by whose rename they count.

Its last field is the SHA-256 of the rest, and its text is the one that its fields give: any
changed byte is noticed, also by another program. A well sealed manifest may still be hostile, so
its fields are checked before anything is made from them.
"""

import hashlib
import json
import math
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lightning_collapse.data.files import write_atomically

__all__ = [
    "DTYPES",
    "MAX_SHARD_ROWS",
    "Manifest",
    "Shard",
    "finite",
    "is_committed",
    "manifest_path",
    "read_manifest",
    "sealed",
    "unsealed",
    "write_manifest",
]

MAX_SHARD_ROWS = 4096
DTYPES = ("uint8", "float32")
_MAX_ROW_NUMBERS = 2**26


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

    def __post_init__(self) -> None:
        if not _matches(r"shard-\d{5}\.npy", self.file):
            raise ValueError(f"file = {self.file!r:.60}: must be a shard's name")
        if not _matches(r"[0-9a-f]{64}", self.sha256):
            raise ValueError(f"sha256 = {self.sha256!r:.60}: must be 64 hexadecimal digits")
        if not _whole(self.crc32, 0, 2**32) or not 1 <= len(self.crc32) <= MAX_SHARD_ROWS:
            raise ValueError(f"crc32: must be 1 to {MAX_SHARD_ROWS} checksums")
        if self.labels is not None and not (
            _whole(self.labels, 0, 2**31) and len(self.labels) == len(self.crc32)
        ):
            raise ValueError("labels: must be null, or a class of every row")


@dataclass(frozen=True)
class Manifest:
    """What a folder holds.

    Attributes:
        rows: in all shards.
        shape: of one row.
        dtype: `uint8` or `float32`.
        recipe: how the rows were made.
        record: the round's record, for a round's samples.
        shards: in the order of their rows.
    """

    rows: int
    shape: list[int]
    dtype: str
    recipe: dict[str, Any]
    record: dict[str, Any] | None
    shards: list[Shard]

    def __post_init__(self) -> None:
        if not _whole(self.shape, 1, _MAX_ROW_NUMBERS + 1) or not 1 <= len(self.shape) <= 4:
            raise ValueError(f"shape = {self.shape!r:.60}: must be 1 to 4 whole numbers >= 1")
        if math.prod(self.shape) > _MAX_ROW_NUMBERS:
            raise ValueError(f"shape = {self.shape}: a row has at most {_MAX_ROW_NUMBERS} numbers")
        if self.dtype not in DTYPES:
            raise ValueError(f"dtype = {self.dtype!r:.60}: must be {' or '.join(DTYPES)}")
        if not isinstance(self.recipe, dict) or not isinstance(self.record, (dict, type(None))):
            raise ValueError("recipe, record: must be tables")
        rows = sum(len(shard.crc32) for shard in self.shards)
        if type(self.rows) is not int or not 1 <= self.rows == rows:
            raise ValueError(f"rows = {self.rows!r:.60}: the shards hold {rows}")


def manifest_path(folder: Path) -> Path:
    """Gives the path of a folder's manifest."""
    return folder / "manifest.json"


def is_committed(folder: Path) -> bool:
    """Whether a folder is the store of rows, which its manifest makes count."""
    return manifest_path(folder).exists()


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Writes a folder's manifest."""
    text = sealed(finite(asdict(manifest)))
    write_atomically(manifest_path(folder), lambda file: file.write(text))


def read_manifest(folder: Path) -> Manifest:
    """Reads a folder's manifest.

    Raises:
        FileNotFoundError: there is none: nothing was committed there.
        ValueError: it is not, byte for byte, what was written, or not a manifest.
    """
    path = manifest_path(folder)
    text = path.read_bytes()
    fields = unsealed(text)
    if fields is None:
        raise ValueError(f"{path}: is damaged; see `lightning-collapse pool verify`")
    try:
        shards = [Shard(**shard) for shard in fields["shards"]]
        return Manifest(**{**fields, "shards": shards})
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path}: is not a manifest ({error!r:.80})") from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def sealed(fields: dict[str, Any]) -> bytes:
    """Gives fields as JSON whose last field, `sha256`, is the hash of the rest."""
    digest = hashlib.sha256(json.dumps(fields, allow_nan=False).encode()).hexdigest()
    return json.dumps(fields | {"sha256": digest}, allow_nan=False).encode()


def unsealed(text: bytes) -> dict[str, Any] | None:
    """Gives the fields of a sealed text; None for any other."""
    try:
        fields = json.loads(text)
        rest = {name: value for name, value in fields.items() if name != "sha256"}
        return rest if sealed(rest) == text else None
    except (ValueError, AttributeError, RecursionError):
        return None


def finite(value: Any) -> Any:
    """Gives a JSON value with null for every number that is not finite, which JSON lacks."""
    if isinstance(value, dict):
        return {name: finite(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _whole(values: Any, least: int, below: int) -> bool:
    """Whether these are whole numbers in [least, below)."""
    return isinstance(values, list) and all(type(v) is int and least <= v < below for v in values)


def _matches(pattern: str, value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(pattern, value, re.ASCII) is not None
