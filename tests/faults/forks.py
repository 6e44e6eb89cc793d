"""Runs in forks of one process that has everything imported: a run then takes under a second."""

import contextlib
import io
import os
import socket
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure
from tiny_runs import arguments

from lightning_collapse.commands import fit as cli
from lightning_collapse.lit import assemble
from lightning_collapse.lit.processes import is_first


def words(run: Path, **changed: Any) -> list[str]:
    """The command line of the run: two rounds of two shards, with an id as W&B asks for."""
    line = arguments(run, **{"loop__micro_batch": 24, **changed})
    at = line.index("--trainer.logger")
    return line[:at] + line[at + 2 :]


def prepare(folder: Path) -> None:
    """Gets this process ready to be forked: everything imported, one thread, nothing slow."""
    torch.set_num_threads(1)
    # Of W&B the run's id alone; of the picture no more than a file.
    assemble.wandb_mirror = lambda run, _: is_first() and run.id is None
    Figure.savefig = lambda self, file, **options: file.write(b"picture" * 2000)
    with contextlib.redirect_stdout(io.StringIO()):
        cli.run_fit(words(folder / "warm"))


def start(log: Path, act: Callable[[], object]) -> int:
    """Does it in a child process, whose output goes to a file; gives the child's number."""
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if not child:
        os._exit(_status_of(log, act))
    return child


def forked(log: Path, act: Callable[[], object]) -> int:
    """Does it in a child process and waits; gives the exit status, or minus a signal's number."""
    return os.waitstatus_to_exitcode(os.waitpid(start(log, act), 0)[1])


def _status_of(log: Path, act: Callable[[], object]) -> int:
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(output, 1)
    os.dup2(output, 2)
    try:
        act()
    except SystemExit as end:
        return int(end.code or 0)
    except BaseException:
        traceback.print_exc()
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


def start_two(logs: Path, act: Callable[[int], object]) -> list[int]:
    """Does it in two processes that Lightning takes for its ranks; gives their numbers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def one(rank: int) -> None:
        os.environ |= {"LOCAL_RANK": str(rank), "NODE_RANK": "0", "WORLD_SIZE": "2"}
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        act(rank)

    return [start(Path(f"{logs}.{rank}"), lambda rank=rank: one(rank)) for rank in (0, 1)]


def each(
    folder: Path, cases: Sequence[Any], check: Callable[[Path, Any], object], at_once: int
) -> Iterator[str]:
    """Checks every case in a fork, in a folder of its own; yields what was said of failed ones."""
    running: dict[int, Path] = {}
    waiting = [(folder / "-".join(map(str, case)), case) for case in cases]
    while waiting or running:
        if waiting and len(running) < at_once:
            path, case = waiting.pop(0)
            log = path.with_suffix(".log")
            running[start(log, lambda path=path, case=case: check(path, case))] = log
            continue
        child, status = os.wait()
        log = running.pop(child)
        if status:
            yield f"FAILED {log.stem}\n{log.read_text()[-3000:]}"


def run_as_script(sweep: Callable[[Path, int], Iterator[str]]) -> None:
    """Runs `SCRIPT FOLDER [EVERY]`: prints what failed, and the counts, which come last."""
    said = []
    for line in sweep(Path(sys.argv[1]), int((sys.argv[2:] or ["1"])[0])):
        print(line, flush=True)
        said.append(line)
    sys.exit(len(said) > 1)
