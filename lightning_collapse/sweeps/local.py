"""A study on this machine: one run at a time on each device, and no run twice.

A driver is a single thread that starts children and waits for them. It may be killed at any time,
and so may they: the system tells the children, which save and stop, and the same command goes on.
"""

import ctypes
import math
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning_collapse.runs.layout import Run
from lightning_collapse.sweeps.claims import Claims, event_line
from lightning_collapse.sweeps.kept import Kept
from lightning_collapse.sweeps.progress import Progress
from lightning_collapse.sweeps.study import PlannedRun, Study

__all__ = ["Driver", "Slot", "slots"]

TRIES = 3
"""How often a run may be killed before this driver leaves it alone."""

_PROGRAM = (sys.executable, "-m", "lightning_collapse")
_POLL_SECONDS = 0.5
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


@dataclass(frozen=True)
class Slot:
    """A device, or a share of the processor, on which one run at a time has its place.

    Attributes:
        name: of the slot: `0` for a GPU, `0.1` for its second share, `cpu-0` for the first of
            the processor.
        threads: that a run there may use; 0 for as many as it likes.
    """

    name: str
    threads: int = 0

    @property
    def environment(self) -> dict[str, str]:
        """What a run's environment says of the slot."""
        if not self.name.startswith("cpu"):
            return {"CUDA_VISIBLE_DEVICES": self.name.partition(".")[0]}
        return {
            "CUDA_VISIBLE_DEVICES": "",
            "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(self.threads)),
        }


def slots(devices: str | None) -> list[Slot]:
    """Gives the slots that `devices` names.

    Args:
        devices: numbers of GPUs, each as often as it shall have runs at a time, and any number of
            `cpu`, separated by commas. Default: every GPU that can be seen, or one `cpu` a core.

    Raises:
        ValueError: it names something else.
    """
    cores = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    if devices is None:
        names = _all_gpus() or ["cpu"] * cores
    elif re.fullmatch("(cpu|[0-9]+)(,(cpu|[0-9]+))*", devices):
        names = [name if name == "cpu" else str(int(name)) for name in devices.split(",")]
    else:
        raise ValueError(f"devices = {devices}: must be numbers of GPUs, or cpu, as in 0,1")
    threads, count = max(1, cores // max(1, names.count("cpu"))), Counter[str]()
    found = []
    for name in names:
        again = f".{count[name]}" if count[name] else ""
        found.append(Slot(f"cpu-{count[name]}", threads) if name == "cpu" else Slot(name + again))
        count[name] += 1
    return found


def _all_gpus() -> list[str]:
    if (seen := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        # Numbers, or names of GPUs and of parts of one.
        return [name for name in map(str.strip, seen.split(",")) if name and name != "-1"]
    return [str(i) for i in range(gpus_here())]


def gpus_here() -> int:
    """How many of NVIDIA's GPUs this machine has, by the driver's files.

    In a container files may have gaps, numbers do not. torch takes seconds to import.
    """
    return len(list(Path("/dev").glob("nvidia[0-9]*")))


@dataclass
class _Child:
    run: PlannedRun
    process: subprocess.Popen[bytes]
    claim: int
    slot: int
    told: int = 0


class Driver:
    """Carries a study through."""

    def __init__(
        self,
        study: Study,
        runs: Sequence[PlannedRun],
        slots: Sequence[Slot],
        program: Sequence[str] = _PROGRAM,
        kept: Kept | None = None,
        until: float | None = None,
    ) -> None:
        """Readies the driver.

        Args:
            study: whose runs they are.
            runs: those to be carried through.
            slots: where.
            program: what the words of a run's command follow.
            kept: where the records of each run are kept as it ends; None for nowhere else.
            until: when the runs save and stop, by `time.monotonic`; None for never.
        """
        self._study, self._runs, self._slots = study, list(runs), slots
        self._program, self._kept, self._until = program, kept, until
        self._claims = Claims(study)
        self._children: dict[str, _Child] = {}
        self._killed: Counter[str] = Counter()
        self._signal: int | None = None
        self._signals = 0

    def run(self) -> int:
        """Runs all, until each has ended.

        Returns:
            The exit status: 0, or 1 if a run has failed, 128 + n if a signal n has stopped all.
        """
        with self._listening() as woken, Progress(self._study, self._claims) as progress:
            while True:
                self._reap()
                if self._signal is None and time.monotonic() >= (self._until or math.inf):
                    self._stop(signal.SIGTERM, None)
                if self._signal is None:
                    self._start()
                self._pass_on()
                progress.tell()
                if not self._children and (self._signal is not None or not self._left()):
                    break
                select.select([woken], [], [], _POLL_SECONDS)
                with suppress(BlockingIOError):
                    os.read(woken, 4096)
        if self._signal is not None:
            print("stopped; the same command goes on", flush=True)
            return 128 + self._signal
        self._settle_done()
        return int(self._tell_failures())

    def _left(self) -> list[PlannedRun]:
        """The runs that are to be started, here or by another driver."""
        return [run for run in self._runs if not self._is_over(run)]

    def _is_over(self, run: PlannedRun) -> bool:
        failed = self._killed[run.name] >= TRIES or self._claims.ended(run).failed
        return failed or run.is_done

    def _start(self) -> None:
        """Starts as many runs as there are free slots for."""
        taken = {child.slot for child in self._children.values()}
        free = len(self._slots) - len(taken)
        if not free or not (left := self._left()):
            return
        with self._claims.choosing():
            for slot in self._slots:
                if (held := self._claims.take_slot(slot.name)) is None:
                    continue
                if (run := self._choose(left)) is None:
                    os.close(held)
                    return
                left.remove(run[0])
                self._start_one(*run, slot, held)

    def _choose(self, left: Sequence[PlannedRun]) -> tuple[PlannedRun, int] | None:
        """Claims the first run that nobody has and that need not wait for another's round 0."""
        first, making = set[str](), set[str]()
        for run in self._study.runs:
            if run.checked and (shared := run.checked.round_zero):
                if Run(run.folder).rounds:
                    first.add(shared)
                elif self._claims.is_held(run):
                    making.add(shared)
        for run in left:
            shared = run.checked.round_zero if run.checked else ""
            if shared and shared in making - first and not run.rounds_done:
                continue
            if (claim := self._claims.claim(run)) is None:
                continue
            self._claims.settle(run)
            # Another driver may have ended it since it was found left.
            if not self._is_over(run):
                return run, claim
            os.close(claim)
        return None

    def _start_one(self, run: PlannedRun, claim: int, slot: Slot, held: int) -> None:
        me = os.getpid()
        events = os.open(self._claims.events, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)

        def ready() -> None:  # in the child, before it becomes the program
            if hasattr(_libc, "prctl"):  # Linux
                _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
            if os.getppid() != me:
                os._exit(1)
            event = {"event": "start", "run": run.name, "slot": slot.name, "pid": os.getpid()}
            os.write(events, event_line({**event, "driver": me}))

        try:
            with open(run.log, "ab") as log:
                process = subprocess.Popen(
                    [*self._program, *run.words],
                    env={**os.environ, **slot.environment},
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    pass_fds=(claim, held),
                    preexec_fn=ready,
                    # Ctrl-C comes to the driver alone, which tells each child once.
                    start_new_session=True,
                )
        finally:
            os.close(events)
        self._children[run.name] = _Child(run, process, claim, held)

    def _reap(self) -> None:
        """Takes note of the children that have ended."""
        for name, child in list(self._children.items()):
            if (code := child.process.poll()) is None:
                continue
            how = self._how(child.run, code)
            line = last_line(child.run.log) if how == "failed" else ""
            self._claims.tell_end(child.run, how, code, line)
            if how == "stopped" and self._signal is None:
                self._killed[name] += 1
            os.close(child.claim)
            os.close(child.slot)
            del self._children[name]
            if how == "done" and self._kept is not None:
                self._kept.keep(child.run)

    def _settle_done(self) -> None:
        """Notes the ends of runs that were done only after their driver had been killed."""
        for run in self._study.runs:
            if not run.is_done or self._claims.ended(run).how != "started":
                continue
            if (claim := self._claims.claim(run)) is not None:
                self._claims.settle(run)
                os.close(claim)

    def _how(self, run: PlannedRun, code: int) -> str:
        if run.is_done:
            return "done"
        by_signal = code < 0 or code in (128 + signal.SIGINT, 128 + signal.SIGTERM)
        return "stopped" if by_signal or self._signal is not None else "failed"

    def _tell_failures(self) -> bool:
        """Names the runs that are not done."""
        failed = [run for run in self._runs if not run.is_done]
        for run in failed:
            told = str(self._claims.ended(run)) or f"killed {TRIES} times; start again"
            print(f"{run.name}: {told}; see {run.log}", file=sys.stderr)
        return bool(failed)

    @contextmanager
    def _listening(self) -> Iterator[int]:
        """Wakes the driver by signals, of which it passes on those that are to end it."""
        woken, waking = os.pipe()
        os.set_blocking(woken, False)
        os.set_blocking(waking, False)
        # Under nohup the end of the terminal is nobody's concern.
        heard = [n for n in _SIGNALS if signal.getsignal(n) != signal.SIG_IGN]
        before: dict[int, Any] = {n: signal.signal(n, self._stop) for n in heard}
        before[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, lambda *_: None)
        old = signal.set_wakeup_fd(waking, warn_on_full_buffer=False)
        try:
            yield woken
        finally:
            signal.set_wakeup_fd(old)
            for number, handler in before.items():
                signal.signal(number, handler)
            os.close(woken)
            os.close(waking)

    def _stop(self, number: int, frame: Any) -> None:
        self._signal = self._signal or number
        self._signals += 1

    def _pass_on(self) -> None:
        """Tells each child of the signals: of the first to save and stop, of the second to end."""
        # Not in the handler: a child may just be starting.
        for child in self._children.values():
            if child.told < self._signals:
                child.told = self._signals
                child.process.terminate()


def last_line(log: Path) -> str:
    """Gives the last line that a run has printed, as far as a terminal may show it."""
    with suppress(OSError), open(log, "rb") as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - 4096))
        lines = file.read().decode(errors="replace").split("\n")
        said = [line.split("\r")[-1].strip() for line in lines]
        last = next((line for line in reversed(said) if line), "")
        return "".join(letter if letter.isprintable() else " " for letter in last)[:500]
    return ""
