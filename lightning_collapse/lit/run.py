"""The folder of a run: who may write to it, what it was started with, where it goes on from."""

import fcntl
import json
import os
import secrets
import socket
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from lightning_collapse.data.files import make_folder, remove, write_atomically, write_once

__all__ = ["RunFolder"]

# What a run may change when it is started again: none of these touches what is computed.
_FREE_KEYS = (
    "run",
    "config",
    "ckpt_path",
    "weights_only",
    "exit_code_on_stop",
    "trainer",
    "data.num_workers",
    "data.run",
    "loop.checkpoint_every",
)
# What of the trainer does.
_BOUND_KEYS = (
    "trainer.precision",
    "trainer.accumulate_grad_batches",
    "trainer.gradient_clip_val",
    "trainer.gradient_clip_algorithm",
)


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

    def check_config(self, config: Mapping[str, Any]) -> None:
        """Compares a configuration with the one the run was started with, if it was.

        Raises:
            ValueError: a key that results depend on has changed.
        """
        path = self.path / "config.yaml"
        if path.exists():
            self._compare(yaml.safe_load(path.read_text()), config)

    def record_config(self, config: Mapping[str, Any]) -> None:
        """Writes `config.yaml`."""
        text = yaml.safe_dump(dict(config), sort_keys=False)
        write_atomically(self.path / "config.yaml", lambda file: file.write(text.encode()))

    def _compare(self, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
        was, now = dict(_flatten(old)), dict(_flatten(new))
        changed = [
            f"{key} = {now.get(key)} (was {was[key]})"
            # A key that the file lacks is an option that did not exist when the run was started.
            for key in was
            if was[key] != now.get(key) and not _is_free(key)
        ]
        if changed:
            raise ValueError(
                f"{', '.join(changed)}: the run in {self.path} was started differently; "
                "restore what changed, or choose another --run"
            )


def _flatten(config: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(config, Mapping):
        for name, value in config.items():
            yield from _flatten(value, f"{prefix}.{name}" if prefix else str(name))
    else:
        yield prefix, json.dumps(config)


def _is_free(key: str) -> bool:
    under = (key == free or key.startswith(f"{free}.") for free in _FREE_KEYS)
    return key not in _BOUND_KEYS and any(under)
