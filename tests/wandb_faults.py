"""W&B servers that are of no use, and a callback that hurts W&B's processes in a run."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from pytorch_lightning import Callback

MIRROR = "loggers.wandb_process"


@contextmanager
def useless_server(kind: str) -> Iterator[str]:
    """Gives the address of a server: `refused`, `black hole` (accepts, never answers) or `500`."""
    if kind == "500":
        with ThreadingHTTPServer(("127.0.0.1", 0), _Failing) as server:
            Thread(target=server.serve_forever, daemon=True).start()
            yield f"http://127.0.0.1:{server.server_port}"
            server.shutdown()
        return
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        if kind == "black hole":
            listener.listen(64)  # the kernel takes calls, and nobody answers
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


class _Failing(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self.send_response(500)
        self.send_header("content-length", "0")
        self.end_headers()

    do_GET = do_POST  # noqa: N815

    def log_message(self, *args):
        pass


def descendants(pid: int) -> dict[int, str]:
    """The command lines of all processes that a process has started, and of those they have."""
    listed = subprocess.run(
        ["ps", "-wweo", "pid,ppid,args"], capture_output=True, text=True
    ).stdout
    rows = [line.split(None, 2) for line in listed.splitlines()[1:]]
    found: dict[int, str] = {}
    for child, parent, words in rows * 3:
        if int(parent) == pid or int(parent) in found:
            found[int(child)] = words
    return found


def hurt(run: Path, which: str, number: int) -> None:
    """Sends a signal to W&B's process `mirror` or `core`, once W&B has started."""
    end = time.monotonic() + 60
    while not list(run.glob("wandb/latest-run/*.wandb")):
        assert time.monotonic() < end
        time.sleep(0.05)
    # Another test's W&B may live in this process, with a core of its own.
    started = descendants(os.getpid()).items()
    (mirror,) = [pid for pid, words in started if MIRROR in words and str(run) in words]
    core = next(pid for pid, words in descendants(mirror).items() if "wandb-core" in words)
    (run / "core").write_text(str(core))
    os.kill({"mirror": mirror, "core": core}[which], number)
    time.sleep(0.5)


class Hurt(Callback):
    """Does that before the second round: HURT=core,SIGKILL."""

    def on_train_epoch_start(self, trainer, module):
        if trainer.current_epoch == 1 and trainer.is_global_zero:
            which, name = os.environ["HURT"].split(",")
            hurt(trainer.datamodule.run.path, which, getattr(signal, name))


class Clock(Callback):
    """Prints when the first step was made, in seconds since Lightning has started to fit."""

    def setup(self, trainer, module, stage):
        self.start = time.monotonic()

    def on_train_batch_end(self, trainer, *args):
        if trainer.global_step == 1:
            print(f"first step: {time.monotonic() - self.start:.2f}", flush=True)

    def on_train_end(self, trainer, module):
        print(f"all steps: {time.monotonic() - self.start:.2f}", flush=True)
