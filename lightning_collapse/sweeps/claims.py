"""Who runs what in a study: locks that end with their holders, and a list of events.

    .claims/regime=replace-lambda=0.5-seed=0-3dbfe8f4.lock   one run
    .claims/slot-HOST-cpu-0.lock                             one slot of one machine; of a GPU in
                                                             the folder for temporary files
    .claims/lock                                             whose turn it is to choose a run
    .claims/events.jsonl                                     every start and every end

A claim is a lock on an open file, which a child inherits: it lasts as long as the driver or the
child lives, whichever is killed. The locks alone count; the events tell what came of a run.
"""

import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import gettempdir
from typing import Any, Literal

from lightning_collapse.data.files import make_folder
from lightning_collapse.runs.layout import Run
from lightning_collapse.sweeps.study import PlannedRun, Study

__all__ = ["Claims", "Ending", "event_line", "noted"]

State = Literal["done", "running", "failed", "waiting"]
STATES: tuple[State, ...] = ("done", "running", "waiting", "failed")


@dataclass(frozen=True)
class Ending:
    """How a run has ended when it was last started.

    Attributes:
        how: `done`, `stopped`, `failed`; `started` while it runs, or if none saw its end; empty
            for a run that was never started.
        code: exit status, negative for a signal; None where none saw the end.
        line: the last that it has printed, of one that has failed.
    """

    how: str = ""
    code: int | None = None
    line: str = ""

    @property
    def failed(self) -> bool:
        """Whether it has ended with an error, and is left alone until that is forgiven."""
        return self.how == "failed"

    def __str__(self) -> str:
        return f"failed with status {self.code}: {self.line}" if self.failed else ""


class Claims:
    """The claims on a study's runs, as this process sees them."""

    def __init__(self, study: Study) -> None:
        """Looks at a study, whose folder need not be there yet."""
        self._study, self.folder = study, study.folder / ".claims"
        self.events = self.folder / "events.jsonl"
        self._read_to, self._endings = 0, dict[str, Ending]()

    @contextmanager
    def choosing(self) -> Iterator[None]:
        """Waits until no other driver is about to choose a run."""
        make_folder(self.folder)
        with open(self.folder / "lock", "a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def claim(self, run: PlannedRun) -> int | None:
        """Takes a run: gives a descriptor that holds it, None if another process has it."""
        # It may have been started by its command, without a driver.
        return None if _is_locked(Run(run.folder).lock_file) else self._take(run.name)

    def take_slot(self, slot: str) -> int | None:
        """Takes a device of this machine, likewise; a GPU from all studies of this user."""
        name = f"slot-{socket.gethostname()}-{slot}"
        if slot.startswith("cpu-"):
            return self._take(name)
        return self._take(name, Path(gettempdir(), f"lightning_collapse-{os.getuid()}"))

    def _take(self, name: str, folder: Path | None = None) -> int | None:
        make_folder(folder := folder or self.folder)
        held = os.open(folder / f"{name}.lock", os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(held)
            return None
        return held

    def is_held(self, run: PlannedRun) -> bool:
        """Whether a process has the run."""
        return any(map(_is_locked, (self.folder / f"{run.name}.lock", Run(run.folder).lock_file)))

    def state(self, run: PlannedRun) -> State:
        """Tells how a run stands."""
        if run.is_done:
            return "done"
        if self.is_held(run):
            return "running"
        return "failed" if self.ended(run).failed else "waiting"

    def counts(self) -> dict[State, int]:
        """Counts the runs of every state."""
        states = [self.state(run) for run in self._study.runs]
        return {state: states.count(state) for state in STATES}

    def line(self) -> str:
        """Tells how the study stands in one line."""
        return ", ".join(f"{n} {state}" for state, n in self.counts().items())

    def ended(self, run: PlannedRun) -> Ending:
        """Tells how a run has ended when it was last started."""
        if self.events.is_file():
            with open(self.events, "rb") as file:
                file.seek(self._read_to)
                for line in file.read().splitlines(keepends=True):
                    if line.endswith(b"\n"):
                        self._read_to += len(line)
                        self._note(line)
        return self._endings.get(run.name, Ending())

    def _note(self, line: bytes) -> None:
        try:
            event = json.loads(line)
            how = "started" if event["event"] == "start" else event["how"]
            ending = Ending(how, event.get("code"), event.get("line", ""))
            self._endings[event["run"]] = ending
        except (ValueError, LookupError, TypeError, AttributeError):
            return  # a line that a full disk has cut

    def tell_end(self, run: PlannedRun, how: str, code: int | None, line: str = "") -> None:
        """Notes the end of a run; only the process that has claimed the run may."""
        event = {"event": "end", "run": run.name, "how": how, "code": code, "line": line}
        make_folder(self.folder)
        append(self.events, event_line(event))

    def settle(self, run: PlannedRun) -> None:
        """Notes the end that none saw of a run which the caller has claimed, if there was one."""
        if self.ended(run).how == "started":
            self.tell_end(run, "done" if run.is_done else "stopped", None)

    def forgive(self, runs: list[PlannedRun]) -> None:
        """Lets runs be tried again that have failed."""
        for run in runs:
            if (held := self.claim(run)) is None:
                continue
            self.tell_end(run, "forgiven", None)
            os.close(held)


@contextmanager
def noted(study: Path, run: str) -> Iterator[None]:
    """Notes the start and the end of a run that no driver has started, such as an agent's.

    Args:
        study: folder of the study; nothing is noted where none was started there.
        run: name of its folder.
    """
    if not (folder := study / ".claims").is_dir():
        yield
        return
    end: dict[str, Any] = {"how": "failed", "code": 1}
    append(folder / "events.jsonl", event_line({"event": "start", "run": run}))
    try:
        yield
        end = {"how": "done", "code": 0}
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        how = "failed" if 0 < code <= 128 else "stopped" if code else "done"
        end = {"how": how, "code": code}
        raise
    finally:
        line = {"event": "end", "run": run, **end, "line": "see what the agent has printed"}
        append(folder / "events.jsonl", event_line(line))


def event_line(event: dict[str, Any]) -> bytes:
    """Gives a line of the list of events, with the time."""
    now = datetime.now().astimezone().isoformat(timespec="milliseconds")
    return (json.dumps({"time": now, **event}) + "\n").encode()


def append(path: Path, line: bytes) -> None:
    """Adds a line to a file in one write, between those of other processes."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        os.write(descriptor, line)
    finally:
        os.close(descriptor)


def _is_locked(path: Path) -> bool:
    if not path.exists():
        return False
    with open(path) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
