"""Writing to disk so that a crash leaves the old or the new, never something torn.

All that a run writes goes through here, W&B's files apart. What a function has returned from also
survives a power cut.
"""

import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

__all__ = [
    "RECIPE_FILE",
    "link_atomically",
    "make_folder",
    "remove",
    "sync_folder",
    "write_atomically",
    "write_folder_atomically",
    "write_once",
]

RECIPE_FILE = "recipe.json"
"""Of a folder of samples: how they were made."""


def write_atomically(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Replaces `path` by what `write(file)` writes.

    The temporary file is made in the same folder: a rename is atomic only within a file system.

    Raises:
        OSError: the disk is full or the folder cannot be written; `path` is then as it was.
    """
    with _temporary(path) as temporary:
        _write(temporary, write)
        os.replace(temporary, path)


def write_once(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Writes `path` unless it is there: of several processes the first one does."""
    if path.exists():
        return
    with _temporary(path) as temporary:
        _write(temporary, write)
        if not _linked(temporary, path) and not path.exists():
            os.replace(temporary, path)


def link_atomically(source: Path, target: Path) -> None:
    """Makes `target` another name, or a copy, of the file `source`, replacing what it was."""
    with _temporary(target) as temporary:
        if not _linked(source, temporary):
            with open(source, "rb") as old:
                _write(temporary, lambda new: shutil.copyfileobj(old, new))
        os.replace(temporary, target)


def make_folder(path: Path) -> None:
    """Makes a folder, and those above it, where there are none."""
    if not path.is_dir():
        make_folder(path.parent)
        with suppress(FileExistsError):  # another process's
            os.mkdir(path)
        sync_folder(path.parent)


def remove(paths: Iterable[Path]) -> None:
    """Removes files, if they are still there."""
    folders = set()
    for path in paths:
        _unlink(path)
        folders.add(path.parent)
    for folder in folders:
        sync_folder(folder)


def write_folder_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Makes the folder `path` with the files that `write(folder)` makes, all or none of them.

    Files are not synced one by one: what this is for, exports, can be made again.

    Raises:
        OSError: the disk is full, the folder cannot be written, or `path` holds files.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    os.mkdir(temporary)
    try:
        write(temporary)
        os.replace(temporary, path)
    except BaseException:
        shutil.rmtree(temporary)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Makes renames in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _temporary(path: Path) -> Iterator[Path]:
    """Gives a name beside `path`, of which nothing is left; errors name `path`."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        # A dead process with the same number may have left it, as a link to a file that counts.
        _unlink(temporary)
        yield temporary
        _unlink(temporary)
        sync_folder(path.parent)
    except BaseException as error:
        # The next start removes what is left.
        with suppress(OSError):
            _unlink(temporary)
        if isinstance(error, OSError) and error.errno is not None:
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


def _unlink(path: Path) -> None:
    with suppress(FileNotFoundError):
        os.unlink(path)


def _linked(source: Path, target: Path) -> bool:
    try:
        os.link(source, target)
    except OSError:  # FAT and some network file systems have no hard links
        return False
    return True


def _write(path: Path, write: Callable[[BinaryIO], object]) -> None:
    with open(path, "wb") as file:
        write(file)
        file.flush()
        os.fsync(file.fileno())
