"""A run's checkpoints as files: sealed, so that any damage shows, and read as tensors only.

A seal follows the archive: the SHA-256 of what is before it. `torch.load` reads such a file as any
other.
"""

import hashlib
import io
import os
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import torch

__all__ = ["is_sealed", "read_checkpoint", "write_checkpoint"]

_SEAL = b"sha256 "
_SEAL_BYTES = len(_SEAL) + 64


def read_checkpoint(path: Path, *, sealed: bool = True) -> dict[str, Any]:
    """Reads a run's checkpoint: tensors and plain values, on the CPU.

    Args:
        path: the file.
        sealed: whether it must bear a seal. One that a plain Trainer wrote bears none: then the
            archive's own checksums show damage.

    Raises:
        ValueError: it is damaged, or something else.
        OSError: it cannot be read.
    """
    intact = is_sealed(path)
    if not intact and (sealed or _has_seal(path)):
        raise ValueError(
            f"{path}: is not a checkpoint of a run, or damaged; see `lightning-collapse pool "
            "repair`, or name another"
        )
    try:
        _check_archive(path, summed=not intact)
        checkpoint: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        checkpoint["round_progress"]
    except Exception as error:  # of many kinds, for files that are something else
        raise ValueError(
            f"{path}: is not a checkpoint of a run that can be read; name one in the run's folder "
            "checkpoints"
        ) from error
    return checkpoint


def is_sealed(path: Path) -> bool:
    """Whether there is a checkpoint, just as it was written."""
    if not path.is_file():
        return False
    with open(path, "rb") as file:
        left = os.fstat(file.fileno()).st_size - _SEAL_BYTES
        digest = hashlib.sha256()
        while left > 0 and (block := file.read(min(left, 2**20))):
            digest.update(block)
            left -= len(block)
        return file.read() == _SEAL + digest.hexdigest().encode()


def _has_seal(path: Path) -> bool:
    """Whether a seal follows the archive, be it the right one."""
    with open(path, "rb") as file:
        file.seek(max(os.fstat(file.fileno()).st_size - _SEAL_BYTES, 0))
        return file.read(len(_SEAL)) == _SEAL


def write_checkpoint(checkpoint: dict[str, Any], file: BinaryIO) -> None:
    """Writes a checkpoint and its seal to a file that is open."""
    hashing: Any = _Hashing(file)
    try:
        torch.save(checkpoint, hashing)
    except RuntimeError as error:
        # torch hides the disk's error behind one of its own.
        if isinstance(error.__context__, OSError):
            raise error.__context__ from None
        raise
    file.write(_SEAL + hashing.digest.hexdigest().encode())


class _Hashing(io.RawIOBase):
    """Passes on what is written, which it hashes."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self.digest = file, hashlib.sha256()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.digest.update(data)
        return self._file.write(data)


def _check_archive(path: Path, summed: bool) -> None:
    """Refuses what torch never writes: members that unpack to more than the file holds.

    With `summed`, members must be of the checksums that the archive has of them.
    """
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if any(member.compress_type for member in members):
            raise ValueError("a member is compressed")
        if sum(member.file_size for member in members) > path.stat().st_size:
            raise ValueError("members overlap")
        if summed and archive.testzip() is not None:
            raise ValueError("a member is damaged")
