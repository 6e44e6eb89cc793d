"""The process in which a run's W&B lives: whatever W&B or the network do, training does not wait.

`wandb_mirror` starts it, and sends a JSON object a line, until the run ends:

    {"log": {"round": 3, "round/mean": 0.1}, "pictures": {"round/samples": "…/preview.png"},
     "step": 400, "known": false}
    {"status": 143, "preempted": true}

What an earlier start of the run has logged is `known`: it is repeated where W&B does not have it,
so that the history is whole in every folder that is made offline. A run that ends early says with
which exit status; W&B's sweep starts a preempted one again.
"""

import json
import os
import signal
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import wandb

# Seconds that W&B has to answer when the run starts, and to upload what is left when it ends.
_START, _END = 10, 10


def main(options: dict[str, Any]) -> None:
    """Mirrors standard input to its end; options are `online`, and those of `wandb.init`."""
    # Signals are for the run, which closes the input when it is done.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
    tell = _only_ours()
    status = 1
    try:
        _mirror(sys.stdin, tell, **options)
        status = 0
    except Exception as error:
        tell(f"W&B has failed ({_line(error)}); the run goes on without, its records are whole")
    # Not by W&B's exit handlers, some of which wait for a network that is down.
    os._exit(status)


def _only_ours() -> Callable[[str], None]:
    """Gives standard error to one-line warnings alone: W&B's own fill a screen."""
    ours = os.fdopen(os.dup(2), "w")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    return lambda message: print(f"warning: {message}", file=ours, flush=True)


def _mirror(
    lines: Iterable[str], tell: Callable[[str], None], *, online: bool, **options: Any
) -> None:
    run = _started(tell, online, options)
    resumed, status = run.resumed, 0
    rounds: list[dict[str, Any]] = []
    for line in lines:
        message = json.loads(line)
        status = message.get("status", status)
        try:
            _take(run, message, resumed)
        except Exception as error:  # such as the end of W&B's own process
            folder = _folder(run)
            run, resumed = _offline(options), False
            tell(
                f"W&B has stopped ({_line(error)}); the run goes on offline, and `wandb sync "
                f"{folder} {_folder(run)}` sends it"
            )
            for earlier in [*rounds, message]:
                _take(run, earlier, resumed)
        if "round" in message.get("log", {}):
            rounds.append(message)
    _finish(run, tell, status)


def _started(tell: Callable[[str], None], online: bool, options: dict[str, Any]) -> Any:
    try:
        return _init("online" if online else "offline", options)
    except Exception as error:
        run = _offline(options)
        tell(
            f"W&B has not started ({_line(error)}); the run goes on offline, and `wandb sync "
            f"{_folder(run)}` sends it later"
        )
        return run


def _offline(options: dict[str, Any]) -> Any:
    """Starts anew, without what is left of an earlier start."""
    with suppress(Exception):
        wandb.teardown()
    return _init("offline", options)


def _init(mode: Literal["online", "offline"], options: dict[str, Any]) -> Any:
    settings = wandb.Settings(
        console="off",
        silent=True,
        init_timeout=_START,
        finish_timeout=_END,
        x_stats_pid=os.getppid(),
    )
    run = wandb.init(mode=mode, resume="allow", settings=settings, **options)
    run.define_metric("round")
    # Of a collapse the summary shows both ends.
    run.define_metric("round/*", step_metric="round", summary="first,last")
    return run


def _take(run: Any, message: dict[str, Any], resumed: bool) -> None:
    if "status" in message:
        if message["preempted"]:
            run.mark_preempting()
    elif not (resumed and message["known"]):
        # A picture may have been lost since it was known.
        pictures = {
            name: wandb.Image(path)
            for name, path in message["pictures"].items()
            if os.path.exists(path)
        }
        # W&B drops what comes with an earlier step than it had last.
        step = max(message["step"] or 0, run.step)
        run.log(message["log"] | pictures, step=step, commit=True)


def _finish(run: Any, tell: Callable[[str], None], status: int) -> None:
    folder = _folder(run)
    with suppress(TimeoutError):
        run.settings.finish_timeout_raises = True
        run.finish(exit_code=status)
        return
    tell(f"W&B took more than {_END} s to end; `wandb sync {folder}` sends what is left")


def _folder(run: Any) -> str:
    return os.path.relpath(Path(run.settings.sync_dir))


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:160] or type(error).__name__


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
