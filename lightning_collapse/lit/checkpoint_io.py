"""Checkpoints that a crash leaves whole, that show any damage, and that load as tensors only.

Lightning's own writer goes through $TMPDIR without fsync: across file systems a kill or a full
disk can destroy the previous checkpoint. A seal follows the archive: the SHA-256 of what is before
it. `torch.load` reads such a file as any other.
"""

import hashlib
import io
import os
import shutil
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import torch
from lightning_fabric.plugins.io import TorchCheckpointIO

from lightning_collapse.data.files import sync_folder, write_atomically

__all__ = [
    "AtomicCheckpointIO",
    "is_sealed",
    "link_atomically",
    "read_checkpoint",
    "round_checkpoint",
]

_SEAL = b"sha256 "
_SEAL_BYTES = len(_SEAL) + 64


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes to a temporary file in the same folder, then renames it into place."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None
    ) -> None:
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, lambda file: _write_sealed(checkpoint, file))

    def load_checkpoint(
        self, path: Any, map_location: Any = "cpu", weights_only: bool | None = None
    ) -> dict[str, Any]:
        try:
            return read_checkpoint(Path(path))
        except ValueError as error:
            raise ValueError(f"ckpt_path = {error}") from error


def round_checkpoint(folder: Path, round: int) -> Path:
    """Gives the path of a round's checkpoint in the run's folder `checkpoints`."""
    return folder / f"round-{round:04d}.ckpt"


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Reads a run's checkpoint: tensors and plain values, on the CPU.

    Raises:
        ValueError: it is damaged, or something else.
        OSError: it cannot be read.
    """
    if not is_sealed(path):
        raise ValueError(
            f"{path}: is not a checkpoint of a run, or damaged; see `lightning-collapse pool "
            "repair`, or name another"
        )
    try:
        _check_archive(path)
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


def _write_sealed(checkpoint: dict[str, Any], file: BinaryIO) -> None:
    hashing: Any = _Hashing(file)
    torch.save(checkpoint, hashing)
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


def _check_archive(path: Path) -> None:
    """Refuses what torch never writes: members that unpack to more than the file holds."""
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    if any(member.compress_type for member in members):
        raise ValueError("a member is compressed")
    if sum(member.file_size for member in members) > path.stat().st_size:
        raise ValueError("members overlap")


def link_atomically(source: Path, target: Path) -> None:
    """Makes `target` another name, or a copy, of the file `source`, replacing what it was."""
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    temporary.unlink(missing_ok=True)
    try:
        os.link(source, temporary)
    except OSError:  # FAT and some network file systems have no hard links
        shutil.copyfile(source, temporary)
    os.replace(temporary, target)
    sync_folder(target.parent)
