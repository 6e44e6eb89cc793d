"""What is to be remembered of a round's samples until they are committed, beside the shards.

    pool/0003/shard-00001.nonfinite   how many of the shard's samples were not finite
    pool/0003/micro_batch             samples made at a time, where memory did not do for more

Most rounds have neither. A shard's note is written before the shard. The round's record and recipe
take over what notes say, and they are removed.
"""

from pathlib import Path

from lightning_collapse.data.files import remove, write_atomically
from lightning_collapse.data.store.shards import clear_uncommitted, shard_path

__all__ = [
    "clear_notes",
    "clear_round",
    "note_micro_batch",
    "note_nonfinite",
    "noted_micro_batch",
    "noted_nonfinite",
]


def note_nonfinite(folder: Path, shard: int, count: int) -> None:
    """Notes how many of a shard's samples were not finite."""
    _write(_nonfinite_path(folder, shard), count)


def noted_nonfinite(folder: Path, shard: int) -> int:
    """Gives how many of a shard's samples were not finite."""
    return _read(_nonfinite_path(folder, shard)) or 0


def note_micro_batch(folder: Path, micro_batch: int) -> None:
    """Notes the micro-batch of all the round's samples, of which there must be none yet."""
    _write(folder / "micro_batch", micro_batch)


def noted_micro_batch(folder: Path) -> int | None:
    """Gives the micro-batch that the round's samples are to have; None for the loop's."""
    return _read(folder / "micro_batch")


def clear_round(folder: Path) -> None:
    """Removes a round's samples and notes, unless they are committed."""
    # In this order: shards without their notes would be taken for sound ones.
    clear_uncommitted(folder)
    clear_notes(folder)


def clear_notes(folder: Path) -> None:
    """Removes a round's notes."""
    remove([*folder.glob("shard-*.nonfinite"), *folder.glob("micro_batch")])


def _nonfinite_path(folder: Path, shard: int) -> Path:
    return shard_path(folder, shard).with_suffix(".nonfinite")


def _write(path: Path, number: int) -> None:
    write_atomically(path, lambda file: file.write(f"{number}\n".encode()))


def _read(path: Path) -> int | None:
    if not path.exists():
        return None
    text = path.read_bytes().strip()
    if not (text.isdigit() and len(text) <= 9 and int(text) > 0):
        raise OSError(f"{path}: is damaged; remove its folder, and the samples are made again")
    return int(text)
