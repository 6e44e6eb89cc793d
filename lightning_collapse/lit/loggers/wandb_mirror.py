"""W&B beside a run: a logger that hands everything to a process of its own, and waits for nothing.

Training is the same with W&B down, slow, without a key or killed: messages queue here, a thread
passes them on, and the end of the run waits for W&B no longer than half a minute.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from signal import SIGKILL
from threading import Thread
from typing import Any

from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities import rank_zero_only

from lightning_collapse.runs.lock import RunFolder

__all__ = ["WandbMirror", "wandb_mirror"]

# More than W&B's process takes by its own timeouts, in seconds.
_PATIENCE = 30


def wandb_mirror(run: RunFolder, config: Mapping[str, Any]) -> "WandbMirror | bool":
    """Gives the mirror of a run: offline, unless WANDB_MODE is online; none if disabled."""
    mode = os.environ.get("WANDB_MODE")
    return mode != "disabled" and WandbMirror(run, config, online=mode == "online")


class WandbMirror(Logger):
    """Mirrors what is logged to W&B; the first process of a run does, and others nothing."""

    def __init__(self, run: RunFolder, config: Mapping[str, Any], online: bool) -> None:
        """Prepares the mirror, which starts with the run.

        Args:
            run: the folder, in which W&B's is; its name is the run's, and its id is W&B's too.
            config: the run's options, which W&B is told.
            online: whether to send what is logged at once, if W&B can be reached.
        """
        super().__init__()
        self._run, self._config, self._online = run, config, online
        self._lines: SimpleQueue[str | None] = SimpleQueue()
        self._process: subprocess.Popen[str] | None = None
        self._told = False

    @property
    def name(self) -> str:
        return "wandb"

    @property
    def version(self) -> str:
        return self._run.id

    @rank_zero_only
    def save(self) -> None:
        """Starts the mirror: Lightning calls this at the start of a fit."""
        if self._process is None:
            self._process = self._start()
            Thread(target=self._feed, args=(self._process,), daemon=True).start()

    def _start(self) -> "subprocess.Popen[str]":
        options = {
            "online": self._online,
            "dir": str(self._run.path),
            "id": self._run.id,
            "name": self._run.path.resolve().name,
            "project": os.environ.get("WANDB_PROJECT", "lightning-collapse"),
            "config": self._config,
        }
        return subprocess.Popen(
            [
                sys.executable,
                "-m",
                "lightning_collapse.lit.loggers.wandb_process",
                json.dumps(options),
            ],
            stdin=subprocess.PIPE,
            text=True,
            # Of a session of its own: a terminal's Ctrl-C is for the run.
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Nothing: W&B is told the run's options, which are all, at its start."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        self.send({**metrics, "trainer/global_step": step})

    @rank_zero_only
    def log_round(self, record: Mapping[str, Any], preview: Path) -> None:
        """Logs a round's numbers, with the picture of its samples."""
        self.send(record, {"round/samples": str(preview)})

    def send(self, values: Mapping[str, Any], pictures: Mapping[str, str] | None = None) -> None:
        """Hands over numbers and texts, and paths of pictures, by name; returns at once."""
        self.save()
        self._lines.put(json.dumps({"log": dict(values), "pictures": dict(pictures or {})}) + "\n")

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Ends the mirror once it has everything, or time is up."""
        if (process := self._process) is None:
            return
        self._lines.put(None)
        try:
            process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            # W&B's own process first: it ends with this one unless it is what hangs.
            for pid in [*_children(process.pid), process.pid]:
                with suppress(ProcessLookupError):
                    os.kill(pid, SIGKILL)
        self._tell_if_killed(process)
        self._process = None

    def _feed(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdin is not None
        try:
            with process.stdin as pipe:
                while (line := self._lines.get()) is not None:
                    pipe.write(line)
                    pipe.flush()
        except OSError:
            self._tell_if_killed(process)

    def _tell_if_killed(self, process: "subprocess.Popen[str]") -> None:
        """Warns, once, of an end that W&B's process could not tell itself."""
        if process.wait() >= 0 or self._told:
            return
        self._told = True
        latest = self._run.wandb / "latest-run"
        rest = f"; `wandb sync {os.path.relpath(latest.resolve())}` sends what W&B has of them"
        print(
            "warning: W&B's process was killed; the run goes on without, and its records are whole"
            f"{rest if latest.exists() else ''}",
            file=sys.stderr,
            flush=True,
        )


def _children(pid: int) -> list[int]:
    """Gives the processes that a process has started; none where the system has no /proc."""
    lists = Path(f"/proc/{pid}/task").glob("*/children")
    with suppress(OSError):
        return [int(child) for path in lists for child in path.read_text().split()]
    return []
