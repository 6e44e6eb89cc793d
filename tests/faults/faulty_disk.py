"""A disk that fails when told to: every action under one folder is counted, and one goes wrong.

The functions of `os` and `open` are replaced in this process, so install it in one that is about
to end. What can go wrong at an action:

    kill    the process is killed before it
    torn    a write is half done, bytes that were not synced are lost in part, then killed
    power   the same, and names that were not synced are lost: new ones, renames, removals
    ENOSPC  the disk is full from here on
    EIO     the action fails, once
"""

import builtins
import errno
import io
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

FAULTS = ("kill", "torn", "power", "ENOSPC", "EIO")
ALLOCATING = ("open", "write", "fsync", "replace", "link", "mkdir")

_real = {name: getattr(os, name) for name in ("open", "fsync", "link", "unlink", "replace")}
_real_open = builtins.open


class FaultyDisk:
    """Counts the actions under `root`, as (what, file), and fails at one of them.

    Attributes:
        actions: those so far.
    """

    def __init__(self, root: Path, fault: str = "", at: int = -1) -> None:
        self.root, self.fault, self.at = str(root.absolute()), fault, at
        self.actions: list[tuple[str, str]] = []
        self.grave = root.absolute().with_name(f"{root.name}.{os.getpid()}.grave")
        self.full = False
        self.paths: dict[int, str] = {}  # by inode: of open files and folders
        self.unsynced_bytes: dict[int, int] = {}  # inode -> descriptor
        self.unsynced_names: list[tuple[int, Callable[[], object]]] = []  # folder -> how undone

    def install(self) -> None:
        self.grave.mkdir()
        for name in ("replace", "rename", "link"):
            setattr(os, name, self._two(name, getattr(os, name)))
        for name in ("unlink", "remove", "mkdir", "rmdir"):
            setattr(os, name, self._one(name, getattr(os, name)))
        os.fsync, os.open = self._fsync, self._os_open
        builtins.open = io.open = self._open

    def act(self, what: str, path: Any, do: Callable[[], Any], half: Any = None) -> Any:
        """Does it, or fails."""
        self.actions.append((what, os.path.relpath(path, self.root)))
        if self.full and what in ALLOCATING:
            raise OSError(errno.ENOSPC, "No space left on device")
        if len(self.actions) - 1 != self.at:
            return do()
        if self.fault == "ENOSPC":
            self.full = True
            return self.act(what, path, do) if what in ALLOCATING else do()
        if self.fault == "EIO":
            raise OSError(errno.EIO, "Input/output error")
        if self.fault in ("torn", "power"):
            if half is not None:
                half()
            self._lose()
        return os.kill(os.getpid(), signal.SIGKILL)

    def _lose(self) -> None:
        for descriptor in self.unsynced_bytes.values():
            os.ftruncate(descriptor, os.fstat(descriptor).st_size // 2)
        if self.fault == "power":
            for _, undo in reversed(self.unsynced_names):
                undo()

    def _under(self, path: Any) -> bool:
        return isinstance(path, (str, os.PathLike)) and (
            os.path.abspath(path) == self.root or os.path.abspath(path).startswith(f"{self.root}/")
        )

    def _named(self, path: Any, undo: Callable[[], object]) -> None:
        folder = os.stat(os.path.dirname(os.path.abspath(path))).st_ino
        self.unsynced_names.append((folder, undo))

    def _bury(self, path: Any) -> Callable[[], object]:
        """Keeps a file that is about to go; gives how to bring it back."""
        if not os.path.exists(path):
            return lambda: None
        grave = self.grave / str(len(self.actions))
        _real["link"](path, grave)
        return lambda: _real["replace"](grave, path)

    def _two(self, name: str, real: Any) -> Any:
        def patched(source: Any, target: Any) -> None:
            if not self._under(target):
                real(source, target)
                return

            def do() -> None:
                back = self._bury(target)
                real(source, target)
                if name == "link":
                    self._named(target, lambda: _real["unlink"](target))
                else:
                    self._named(target, lambda: (_real["replace"](target, source), back()))

            self.act(name, target, do)

        return patched

    def _one(self, name: str, real: Any) -> Any:
        def patched(path: Any, *args: Any, **kwargs: Any) -> None:
            here = self._under(path) and (name == "mkdir") != os.path.lexists(path)
            if not here:
                real(path, *args, **kwargs)
                return

            def do() -> None:
                undo = shutil.rmtree if name == "mkdir" else None
                back = self._bury(path) if name in ("unlink", "remove") else None
                real(path, *args, **kwargs)
                self._named(path, back or (lambda: undo and undo(path, ignore_errors=True)))

            self.act(name, path, do)

        return patched

    def _fsync(self, descriptor: int) -> None:
        inode = os.fstat(descriptor).st_ino
        if inode not in self.paths:
            _real["fsync"](descriptor)
            return

        def do() -> None:
            _real["fsync"](descriptor)
            self.unsynced_names = [entry for entry in self.unsynced_names if entry[0] != inode]
            if inode in self.unsynced_bytes:
                os.close(self.unsynced_bytes.pop(inode))

        self.act("fsync", self.paths[inode], do)

    def _os_open(self, path: Any, flags: int, *args: Any, **kwargs: Any) -> int:
        def do() -> int:
            descriptor = _real["open"](path, flags, *args, **kwargs)
            if self._under(path):
                self.paths[os.fstat(descriptor).st_ino] = os.path.abspath(path)
            return descriptor

        writes = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        return self.act("open", path, do) if writes and self._under(path) else do()

    def _open(self, path: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        ours = self._under(path) and "opener" not in kwargs  # of a file without a name
        if not (ours and set(mode) & set("wax+")):
            return _real_open(path, mode, *args, **kwargs)

        def do() -> Any:
            new = not os.path.exists(path)
            raw = _Raw(self, str(path), mode.replace("b", "").replace("t", ""))
            self.paths[os.fstat(raw.fileno()).st_ino] = os.path.abspath(path)
            if new:
                self._named(path, lambda: os.path.exists(path) and _real["unlink"](path))
            if "b" in mode:
                return _Binary(io.BufferedWriter(raw))
            return io.TextIOWrapper(io.BufferedRandom(raw))

        return self.act("open", path, do)


class _Raw(io.FileIO):
    """A file whose writes are actions."""

    def __init__(self, disk: FaultyDisk, path: str, mode: str) -> None:
        super().__init__(path, mode)
        self.disk, self.where = disk, path

    def write(self, data: Any) -> int:
        inode = os.fstat(self.fileno()).st_ino
        if inode not in self.disk.unsynced_bytes:
            self.disk.unsynced_bytes[inode] = os.dup(self.fileno())
        some, write = bytes(data), super().write
        return self.disk.act(
            "write", self.where, lambda: write(some), lambda: write(some[: len(some) // 2])
        )


class _Binary:
    """Hides from numpy that this is a file, into which it would write from C."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *error: Any) -> None:
        self._file.close()
