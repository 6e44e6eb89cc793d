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

from pytorch_lightning.loggers import Logger, WandbLogger
from pytorch_lightning.utilities import rank_zero_only

from lightning_collapse.runs.config_file import config_digest
from lightning_collapse.runs.lock import RunFolder

__all__ = ["WandbMirror", "described", "fill_in", "wandb_mirror"]

# More than W&B's process takes by its own timeouts, in seconds.
_PATIENCE = 30


def wandb_mirror(run: RunFolder, config: Mapping[str, Any]) -> "WandbMirror | bool":
    """Gives the mirror of a run: none if WANDB_MODE is disabled.

    It is offline unless WANDB_MODE is online, or an agent of a W&B sweep has started the run.
    """
    mode = os.environ.get("WANDB_MODE", "online" if "WANDB_SWEEP_ID" in os.environ else "offline")
    return mode != "disabled" and WandbMirror(run, config, online=mode == "online")


def described(run: RunFolder, config: Mapping[str, Any]) -> dict[str, Any]:
    """Gives what W&B is told of a run, as keyword arguments of `wandb.init`.

    Runs that differ by their seed alone are one group. A run's id is W&B's too, unless an agent of
    a W&B sweep has given another. What the environment says holds.
    """
    data = config.get("data") or {}
    kinds = (data.get("regime"), data.get("source"))
    classes = [kind["class_path"].rpartition(".")[2] for kind in kinds if kind]
    seedless = {**config, "seed_everything": None}
    for part in ("data", "model"):
        seedless[part] = {**(config.get(part) or {}), "seed": None}
    agent = "WANDB_SWEEP_ID" in os.environ
    told = {
        "id": os.environ.get("WANDB_RUN_ID", run.id) if agent else run.id,
        "name": run.path.resolve().name,
        "project": "lightning-collapse",
        "group": "-".join([*classes, config_digest(seedless)[:8]]) if config else None,
        "job_type": "fit",
    }
    given = ("name", "project", "job_type")
    told |= {
        key: os.environ[name] for key in given if (name := f"WANDB_{key.upper()}") in os.environ
    }
    told["group"] = os.environ.get("WANDB_RUN_GROUP", told["group"])
    tags = [tag for tag in os.environ.get("WANDB_TAGS", "").split(",") if tag]
    return {**told, "dir": str(run.path), "tags": [*tags, *classes], "config": dict(config)}


def fill_in(logger: WandbLogger, run: RunFolder, config: Mapping[str, Any]) -> None:
    """Tells a user's own logger what it was not told of the run, unless it has started."""
    if logger._experiment is not None:
        return
    told = logger._wandb_init
    defaults = {"dir": ".", "project": "lightning_logs"}
    for key, value in described(run, config).items():
        if told.get(key) in (None, defaults.get(key)):
            told[key] = value
    logger._id, logger._name = told["id"], told["name"]
    logger._save_dir, logger._project = told["dir"], told["project"]


class WandbMirror(Logger):
    """Mirrors what is logged to W&B; the first process of a run does, and others nothing."""

    def __init__(self, run: RunFolder, config: Mapping[str, Any], online: bool) -> None:
        """Prepares the mirror, which starts with the run; `online` sends at once where it can."""
        super().__init__()
        self._run, self._config, self._online = run, config, online
        self._lines: SimpleQueue[str | None] = SimpleQueue()
        self._process: subprocess.Popen[str] | None = None
        self._told = self._has_status = False

    @property
    def name(self) -> str:
        return "wandb"

    @property
    def version(self) -> str:
        return self._run.id

    @rank_zero_only
    def save(self) -> None:
        """Starts the mirror: Lightning calls this at the start of a fit."""
        if self._process is not None:
            return
        options = {"online": self._online, **described(self._run, self._config)}
        module = "lightning_collapse.lit.loggers.wandb_process"
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, json.dumps(options)],
            stdin=subprocess.PIPE,
            text=True,
            # Of a session of its own: a terminal's Ctrl-C is for the run.
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        Thread(target=self._feed, args=(self._process,), daemon=True).start()

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Nothing: W&B is told the run's options, which are all, at its start."""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        self.send({**metrics, "trainer/global_step": step}, step=step)

    @rank_zero_only
    def send(
        self,
        values: Mapping[str, Any],
        pictures: Mapping[str, str] | None = None,
        *,
        step: int | None = None,
        known: bool = False,
    ) -> None:
        """Hands over numbers and texts, and paths of pictures, by name; returns at once.

        Those that an earlier start of the run has logged are `known`.
        """
        message = {"log": dict(values), "pictures": dict(pictures or {})}
        self._send({**message, "step": step, "known": known})

    @rank_zero_only
    def tell_status(self, status: int, preempted: bool = False) -> None:
        """Tells with which exit status a run ends early; W&B starts a preempted one again."""
        self._has_status = True
        self._send({"status": status, "preempted": preempted})

    def _send(self, message: Mapping[str, Any]) -> None:
        self.save()
        self._lines.put(json.dumps(message) + "\n")

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Ends the mirror once it has everything, or time is up."""
        if (process := self._process) is None:
            return
        if status != "success" and not self._has_status:
            self.tell_status(1)
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
