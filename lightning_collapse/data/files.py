"""Writing files so that a crash leaves the old one or the new one, never a torn one."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

__all__ = ["write_atomically", "sync_folder"]


def write_atomically(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Replaces `path` by what `write(file)` writes.

    The temporary file is made in the same folder: a rename is atomic only within a file system.

    Raises:
        OSError: the disk is full or the folder cannot be written; `path` is then as it was.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Makes renames in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
