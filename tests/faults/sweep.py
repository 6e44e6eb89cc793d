"""Runs a tiny, complete run once for every action on the disk and every fault, each in a fork.

    PYTHONPATH=tests python tests/faults/sweep.py FOLDER [EVERY]

Each time the run is started again afterwards by the same command, and must end as the run that
nothing happened to. Prints the counts, and what failed; `EVERY` = n takes each n-th case only.
"""

import hashlib
import json
import os
import re
import shutil
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
import yaml
from faulty_disk import ALLOCATING, FAULTS, FaultyDisk
from forks import each, forked, prepare, run_as_script, words
from tiny_runs import assert_same, outcome

from lightning_collapse.commands.fit import run_fit

Action = tuple[str, str]


def fit(run: Path, disk: FaultyDisk | None = None, **changed: Any) -> None:
    if disk is not None:
        disk.install()
    run_fit(words(run, **changed))


Fit = Callable[..., None]


def actions_of(run: Path, fit: Fit = fit) -> list[Action]:
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
    # Event -> what it is, and which of its arguments is the file that changes.
    events = {
        "open": ("open", 0),
        "os.rename": ("replace", 1),
        "os.link": ("link", 1),
        "os.remove": ("unlink", 0),
        "os.mkdir": ("mkdir", 0),
        "os.rmdir": ("rmdir", 0),
        "os.truncate": ("truncate", 0),
    }
    writing = os.O_WRONLY | os.O_RDWR | os.O_CREAT

    def hook(event: str, args: Any) -> None:
        what, which = events.get(event, ("", 0))
        path = args[which] if what else None
        if not isinstance(path, (str, os.PathLike)) or (what == "open" and not args[2] & writing):
            return
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


def check(folder: Path, case: tuple[int, str], whole: dict[str, Any], fit: Fit = fit) -> None:
    """Lets an action of a run fail, starts it again, and compares.

    Raises:
        AssertionError: something was lost, or not said in one line.
    """
    folder.mkdir()
    run, log, (k, fault) = folder / "run", folder / "log", case
    status = forked(log, lambda: fit(run, FaultyDisk(run, fault, k)))
    said = log.read_text()
    if fault in ("kill", "torn", "power"):
        assert status == -signal.SIGKILL, said
    else:
        # Not all is lost: a name that cannot be linked is copied.
        errors = [line for line in said.splitlines() if re.search("[Ee]rror", line)]
        assert (status, len(errors)) in ((0, 0), (2, 1)), said
        assert "Traceback" not in said and all(e.startswith("error: ") for e in errors), said
    assert_intact(run)
    assert forked(log, lambda: fit(run)) == 0, log.read_text()
    assert_ended(run, whole)
    shutil.rmtree(folder)


def assert_ended(run: Path, whole: dict[str, Any]) -> None:
    assert_same(outcome(run), whole)
    leftovers = [path for path in run.rglob(".*") if path.name not in (".lock", ".id")]
    assert not leftovers, leftovers


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


def sweep(folder: Path, every: int = 1, fit: Fit = fit, under: str = "") -> Iterator[str]:
    """Checks each `every`-th case; yields what failed, and lastly the counts.

    Args:
        folder: for the runs.
        every: how many cases to take one of.
        fit: makes a run, on a disk that may fail.
        under: which of the run's files are made to fail; default: all.
    """
    prepare(folder)
    actions = actions_of(folder / "whole", fit)
    whole = outcome(folder / "whole")
    chosen = [(k, fault) for k, fault in cases(actions) if actions[k][1].startswith(under)]
    chosen = chosen[::every]
    failed = 0

    def one(path: Path, case: tuple[int, str]) -> None:
        print(case[1], "at", *actions[case[0]])
        check(path, case, whole, fit)

    for said in each(folder, chosen, one, at_once=2):
        failed += 1
        yield said
    of = Counter(fault for _, fault in chosen)
    kinds = ", ".join(f"{of[fault]} {fault}" for fault in FAULTS)
    yield (
        f"{len(actions)} actions, {len({k for k, _ in chosen})} of them made to fail; "
        f"{len(chosen)} faults ({kinds}): {len(chosen) - failed} ended identically"
    )


if __name__ == "__main__":
    run_as_script(sweep)
