"""Samples' shards until they are committed, each with its description beside it.

    pool/0003/shard-00001.npy    the rows
    pool/0003/shard-00001.json   what the manifest will say of them, and how many were not finite
    pool/0003/micro_batch        samples made at a time, where memory did not do for more
    pool/0000/shared             the run that round 0 was linked from, if it was

A shard counts once its description is there: those that a killed process has finished are kept,
unread, and the commit reads none again. Descriptions and notes go after the commit.
"""

from dataclasses import asdict, dataclass, replace
from pathlib import Path

from torch import Tensor

from lightning_collapse.data.files import link_atomically, remove, write_atomically
from lightning_collapse.data.store.manifest import Shard, sealed, unsealed
from lightning_collapse.data.store.shards import (
    StoredRows,
    clear_uncommitted,
    read_shard,
    shard_path,
    write_shard,
)

__all__ = [
    "Described",
    "clear_notes",
    "clear_round",
    "described",
    "described_shards",
    "link_described",
    "note_micro_batch",
    "note_shared",
    "noted_micro_batch",
    "noted_shared",
    "read_described",
    "write_described",
]


@dataclass(frozen=True)
class Described:
    """A shard, as the manifest will describe it, that waits for its commit."""

    shard: Shard
    n_bytes: int  # of the file
    n_nonfinite: int  # of its samples


def write_described(
    folder: Path, index: int, rows: Tensor, labels: Tensor | None, n_nonfinite: int = 0
) -> None:
    """Writes a shard of rows (n, *), uint8 or float32, with labels (n,), then its description.

    `n_nonfinite` of the rows stand for samples that were not finite.
    """
    path = shard_path(folder, index)
    shard = write_shard(path, rows, labels)
    _describe(folder, index, Described(shard, path.stat().st_size, n_nonfinite))


def _describe(folder: Path, index: int, found: Described) -> None:
    text = sealed(asdict(found))
    write_atomically(_path_beside(folder, index), lambda file: file.write(text))


def described(folder: Path, index: int) -> Described | None:
    """Gives the description of a shard that is there; None where it is to be made (again).

    The shard is not read: whether it is cut shows in its size, and the rest when it is.
    """
    try:
        fields = unsealed(_path_beside(folder, index).read_bytes()) or {}
        found = Described(**{**fields, "shard": Shard(**fields["shard"])})
        whole = shard_path(folder, index).stat().st_size == found.n_bytes
    except (FileNotFoundError, LookupError, TypeError, ValueError):
        return None
    return found if whole and type(found.n_nonfinite) is int else None


def read_described(folder: Path, index: int) -> tuple[Tensor, int]:
    """Reads the rows (n, *) of a shard, and how many of its samples were not finite.

    Raises:
        OSError: it is gone, cut, or not what was written.
        ValueError: it is not a shard.
    """
    found = _description(folder, index)
    return read_shard(shard_path(folder, index), found.shard.sha256), found.n_nonfinite


def described_shards(folder: Path, n: int) -> list[Shard]:
    """Gives what the manifest is to say of n shards, unread; OSError for one gone, or cut."""
    return [_description(folder, index).shard for index in range(n)]


def _description(folder: Path, index: int) -> Described:
    if (found := described(folder, index)) is None:
        path = shard_path(folder, index)
        raise OSError(f"{path}: is gone, or cut; the same command makes it again")
    return found


def link_described(stored: StoredRows, folder: Path) -> None:
    """Links committed samples, all of them finite, as those of a round that is not measured yet.

    Raises:
        OSError: a shard is gone, or not what was written.
    """
    for index, shard in enumerate(stored.shards):
        path = shard_path(folder, index)
        link_atomically(stored.folder / shard.file, path)
        read_shard(path, shard.sha256)
        found = Described(replace(shard, file=path.name), path.stat().st_size, 0)
        _describe(folder, index, found)


def note_shared(folder: Path, run: str) -> None:
    """Notes the run from which a round's training, or all of the round, was linked."""
    write_atomically(folder / "shared", lambda file: file.write(f"{run}\n".encode()))


def noted_shared(folder: Path) -> str | None:
    """Gives the run from which a round was linked; None for one that was made here."""
    path = folder / "shared"
    return path.read_text(errors="replace").strip() if path.exists() else None


def note_micro_batch(folder: Path, micro_batch: int) -> None:
    """Notes the micro-batch of all the round's samples, of which there must be none yet."""
    path = folder / "micro_batch"
    write_atomically(path, lambda file: file.write(f"{micro_batch}\n".encode()))


def noted_micro_batch(folder: Path) -> int | None:
    """Gives the micro-batch that the round's samples are to have; None for the loop's.

    Raises:
        OSError: the note is damaged.
    """
    path = folder / "micro_batch"
    if not path.exists():
        return None
    text = path.read_bytes().strip()
    if not (text.isdigit() and len(text) <= 9 and int(text) > 0):
        raise OSError(f"{path}: is damaged; remove its folder, and the samples are made again")
    return int(text)


def clear_round(folder: Path) -> None:
    """Removes a round's samples and notes, unless they are committed."""
    # In this order: what is left of an attempt that is given up must not pass for a later one's.
    clear_uncommitted(folder)
    clear_notes(folder)


def clear_notes(folder: Path) -> None:
    """Removes descriptions and notes, which the manifest has taken over."""
    remove([*folder.glob("shard-*.json"), *folder.glob("micro_batch"), *folder.glob("shared")])


def _path_beside(folder: Path, index: int) -> Path:
    return shard_path(folder, index).with_suffix(".json")
