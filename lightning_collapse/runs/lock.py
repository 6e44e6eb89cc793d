"""The folder of a run as it is written to: by whom, under which name, from where it goes on."""

import fcntl
import os
import re
import secrets
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime

from lightning_collapse.data.files import make_folder, remove, write_atomically, write_once
from lightning_collapse.runs.layout import Run
from lightning_collapse.runs.rewriting import finish_rewriting

__all__ = ["RunFolder"]


class RunFolder(Run):
    """A run's folder that is written to, by one process at a time."""

    def __init__(self, path: str | os.PathLike[str], make: bool = True) -> None:
        """Makes the folder, but in a process for which another does; OSError where it cannot."""
        super().__init__(path)
        self._is_new = make and not self.path.exists()
        if not make:
            return
        try:
            make_folder(self.checkpoints)
            # What every later write does; ".tmp" lets the next start clear it away.
            probe = self.path / f".probe.{os.getpid()}.tmp"
            write_atomically(probe, lambda file: file.write(b"probe"))
            remove([probe])
        except OSError as error:
            raise OSError(
                f"run = {self.path}: cannot be written ({error.strerror}); choose another folder"
            ) from error

    def discard_if_empty(self) -> None:
        """Removes the folder if this object made it, nobody has it, and no run is in it."""
        if not self._is_new:
            return
        # Another process may have started at the same time, and hold the lock.
        with suppress(OSError), self.locked():
            names = {path.name for path in self.path.iterdir()}
            own = (self.checkpoints, self.lock_file, self.id_file, self.wandb)
            if names <= {path.name for path in own} and not any(self.checkpoints.iterdir()):
                shutil.rmtree(self.path)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps other processes out until the context, or this process, ends.

        Raises:
            OSError: another process has the folder.
            ValueError: records that an earlier start was about to put in place are damaged.
        """
        # Opened without truncation: the holder's name is read when the lock is refused.
        with open(self.lock_file, "a+", errors="replace") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                lock.seek(0)
                raise OSError(
                    f"run = {self.path}: in use by {_line(lock.read(200)) or 'another process'}; "
                    "wait for it to end, or choose another folder"
                ) from error
            # Processes that read data would hold it for seconds after this one was killed.
            os.register_at_fork(after_in_child=lock.close)
            lock.truncate(0)
            now = datetime.now().isoformat(timespec="seconds")
            lock.write(f"process {os.getpid()} on {socket.gethostname()} since {now}\n")
            lock.flush()
            # What writes that were killed have left behind.
            remove(self.path.glob(".*.tmp"))
            for folder in (self.checkpoints, self.pool):
                remove(folder.rglob(".*.tmp"))
            finish_rewriting(self)
            yield

    @property
    def id(self) -> str:
        """A random name that the run keeps, in whichever folder it lies."""
        path, name = self.id_file, secrets.token_hex(8).encode()
        write_once(path, lambda file: file.write(name))
        kept = path.read_bytes()
        if not re.fullmatch(rb"[0-9a-f]{16}", kept):
            raise ValueError(f"{path}: is not the id of a run; remove it for a new one")
        return kept.decode()


def _line(text: str) -> str:
    """Gives a text as one line that a terminal may show."""
    return "".join(letter if letter.isprintable() else " " for letter in text).strip()
