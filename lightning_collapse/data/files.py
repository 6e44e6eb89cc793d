"""Writing files so that a crash leaves the old one or the new one, never a torn one."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

__all__ = ["link_atomically", "sync_folder", "write_atomically", "write_folder_atomically"]


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


def write_folder_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Makes the folder `path` with the files that `write(folder)` makes, all or none of them.

    Files are not synced one by one: what this is for, exports, can be made again.

    Raises:
        OSError: the disk is full, the folder cannot be written, or `path` holds files.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.mkdir()
    try:
        write(temporary)
        os.replace(temporary, path)
    except BaseException:
        shutil.rmtree(temporary)
        raise
    sync_folder(path.parent)


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


def sync_folder(folder: Path) -> None:
    """Makes renames in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
