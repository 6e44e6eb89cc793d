"""Runs a tiny, complete run once for every action on the disk and every fault, each in a fork.

    python tests/faults/sweep.py FOLDER [EVERY]

Each time the run is started again afterwards by the same command, and must end as the run that
nothing happened to. Prints the counts, and what differed; `EVERY` = n takes each n-th case only.
"""

import hashlib
import json
import os
import re
import shutil
import signal
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
import yaml
from faulty_disk import ALLOCATING, FAULTS, FaultyDisk
from tiny_runs import arguments, assert_same, outcome

from lightning_collapse import cli

Action = tuple[str, str]


def words(run: Path, **changed: Any) -> list[str]:
    """The command line of the run: two rounds of two shards, with an id as W&B asks for."""
    line = arguments(run, loop__micro_batch=24, **changed)
    at = line.index("--trainer.logger")
    return line[:at] + line[at + 2 :]


def prepare() -> None:
    """Gets this process ready to be forked: one thread, and no W&B but for the run's id."""
    torch.set_num_threads(1)
    cli._wandb_logger = lambda run: run.id is None


def forked(log: Path, act: Callable[[], object]) -> int:
    """Does it in a child process, whose output goes to a file; gives the status, as a shell."""
    sys.stdout.flush()
    child = os.fork()
    if not child:
        os._exit(_status_of(log, act))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


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


def fit(run: Path, disk: FaultyDisk | None = None) -> None:
    if disk is not None:
        disk.install()
    cli.run_fit(words(run))


def actions_of(run: Path) -> list[Action]:
    """Makes a run; gives what it did on the disk, and checks that nothing went unseen."""

    def watched() -> None:
        seen = audited(run)
        disk = FaultyDisk(run)
        fit(run, disk)
        counted = [action for action in disk.actions if action[0] not in ("write", "fsync")]
        nameless = ("open", ".")  # a file without a name, opened to see whether it can be
        unseen = Counter(seen) - Counter([*counted, nameless, nameless])
        assert not unseen and len(counted) > 50, unseen
        run.with_suffix(".json").write_text(json.dumps(disk.actions))

    log = run.with_suffix(".log")
    assert forked(log, watched) == 0, log.read_text()
    return [tuple(action) for action in json.loads(run.with_suffix(".json").read_text())]


def audited(run: Path) -> list[Action]:
    """Lists what Python itself reports of this process's doings under the run's folder."""
    seen: list[Action] = []
    names = {"os.link": "link", "os.remove": "unlink", "os.mkdir": "mkdir", "os.rmdir": "rmdir"}
    writing = os.O_WRONLY | os.O_RDWR | os.O_CREAT

    def hook(event: str, args: Any) -> None:
        if event == "open":
            what, path = "open" if args[2] & writing else "", args[0]
        else:
            what, path = names.get(event, "replace" if event == "os.rename" else ""), args
            path = args[1] if event in ("os.rename", "os.link") else args[0] if args else ""
        if what and isinstance(path, (str, os.PathLike)):
            path = os.path.relpath(path, run)
            gone = what in ("unlink", "rmdir") and not os.path.lexists(run / path)
            if not path.startswith("../") and not gone:
                seen.append((what, path))

    sys.addaudithook(hook)
    return seen


def cases(actions: list[Action]) -> list[tuple[int, str]]:
    """Every action with every fault that it can have."""
    return [
        (k, fault)
        for k, (what, _) in enumerate(actions)
        for fault in FAULTS
        if fault != "ENOSPC" or what in ALLOCATING
    ]


def check(folder: Path, whole: dict[str, Any], k: int, fault: str) -> None:
    """Lets action k of a run fail, starts it again, and compares.

    Raises:
        AssertionError: something was lost, or not said in one line.
    """
    run, log = folder / "run", folder / "log"
    folder.mkdir()
    status = forked(log, lambda: fit(run, FaultyDisk(run, fault, k)))
    said = log.read_text()
    if fault in ("ENOSPC", "EIO"):
        # A name that cannot be linked is copied.
        assert status in (0, 2), said
        assert status == 0 or len(re.findall(r"^error: .*(?:left|error)", said, re.M)) == 1, said
        assert status == 0 or said.splitlines()[-1].startswith("error: "), said
        assert "Traceback" not in said, said
    else:
        assert status == -signal.SIGKILL, said
    assert_intact(run)
    assert forked(log, lambda: fit(run)) == 0, log.read_text()
    assert_same(outcome(run), whole)
    assert not [path for path in run.rglob(".*") if path.name not in (".lock", ".id")]
    shutil.rmtree(folder)


def assert_intact(run: Path) -> None:
    """Reads all that counts."""
    for manifest in run.glob("pool/*/manifest.json"):
        for shard in json.loads(manifest.read_text())["shards"]:
            data = (manifest.parent / shard["file"]).read_bytes()
            assert hashlib.sha256(data).hexdigest() == shard["sha256"], shard["file"]
    for checkpoint in run.glob("checkpoints/*.ckpt"):
        torch.load(checkpoint, weights_only=True)
    for line in run.glob("rounds.jsonl"):
        [json.loads(record) for record in line.read_text().splitlines()]
    for config in run.glob("config.yaml"):
        assert isinstance(yaml.safe_load(config.read_text()), dict)


def sweep(folder: Path, every: int = 1) -> Iterator[str]:
    """Checks each `every`-th case, two at a time; yields what failed, and lastly the counts."""
    prepare()
    folder.mkdir(parents=True, exist_ok=True)
    actions = actions_of(folder / "whole")
    whole = outcome(folder / "whole")
    chosen = cases(actions)[::every]
    running: dict[int, tuple[int, str]] = {}
    failed = 0
    for case in [*chosen, *[None] * 2]:
        if len(running) == 2 or (case is None and running):
            child, status = os.wait()
            k, fault = running.pop(child)
            if status:
                failed += 1
                log = folder / f"{k}-{fault}.log"
                yield f"FAILED {fault} at {k}, {' '.join(actions[k])}\n{log.read_text()[-3000:]}"
        if case is not None:
            name = f"{case[0]}-{case[1]}"
            child = os.fork()
            if not child:
                act = lambda: check(folder / name, whole, *case)  # noqa: B023, E731
                os._exit(_status_of(folder / f"{name}.log", act))
            running[child] = case
    faults = Counter(fault for _, fault in chosen)
    points = len({k for k, _ in chosen})
    each = ", ".join(f"{fault} {faults[fault]}" for fault in FAULTS)
    yield (
        f"{len(actions)} actions, {points} of them points; {len(chosen)} faults ({each}): "
        f"{len(chosen) - failed} ended identically"
    )


if __name__ == "__main__":
    sys.exit(max(line.startswith("FAILED") for line in map(
        lambda line: print(line, flush=True) or line,
        sweep(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1),
    )))
