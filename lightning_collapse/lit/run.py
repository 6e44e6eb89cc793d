"""The folder of a run: who may write to it, what it was started with, where it goes on from."""

import fcntl
import os
import secrets
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from lightning_collapse.data.files import make_folder, remove, write_once
from lightning_collapse.lit.config_file import ConfigFile

__all__ = ["RunFolder"]


class RunFolder:
    """A run's folder, held by one process at a time.

    Attributes:
        path: of the folder.
    """

    def __init__(self, path: Path) -> None:
        """Makes the folder.

        Raises:
            OSError: the folder cannot be written.
        """
        self.path = Path(path)
        try:
            make_folder(self.path / "checkpoints")
            with tempfile.TemporaryFile(dir=self.path) as probe:
                probe.write(b"probe")
                os.fsync(probe.fileno())
        except OSError as error:
            raise OSError(
                f"run = {self.path}: cannot be written ({error.strerror}); choose another --run"
            ) from error

    @property
    def config(self) -> ConfigFile:
        """What the run was started with."""
        return ConfigFile(self.path / "config.yaml")

    @property
    def last_checkpoint(self) -> Path | None:
        """Where an earlier start left off, if it got so far."""
        path = self.path / "checkpoints" / "last.ckpt"
        return path if path.exists() else None

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps other processes out until the context, or this process, ends.

        Raises:
            OSError: another process has the folder.
        """
        # Opened without truncation: the holder's name is read when the lock is refused.
        with open(self.path / ".lock", "a+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                lock.seek(0)
                raise OSError(
                    f"run = {self.path}: in use by {lock.read().strip() or 'another process'}; "
                    "wait for it to end, or choose another --run"
                ) from error
            lock.truncate(0)
            now = datetime.now().isoformat(timespec="seconds")
            lock.write(f"process {os.getpid()} on {socket.gethostname()} since {now}\n")
            lock.flush()
            self._clear()
            yield

    def _clear(self) -> None:
        """Removes what writes that were killed have left behind."""
        remove(self.path.glob(".*.tmp"))
        for folder in ("checkpoints", "pool"):
            remove((self.path / folder).rglob(".*.tmp"))

    @property
    def id(self) -> str:
        """A random name that the run keeps, in whichever folder it lies."""
        path = self.path / ".id"
        name = secrets.token_hex(8).encode()
        write_once(path, lambda file: file.write(name))
        return path.read_text()
