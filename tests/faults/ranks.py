"""Kills either of two processes at every exchange between them and every action on the disk.

    PYTHONPATH=tests python tests/faults/ranks.py FOLDER [EVERY]

The other must end by itself soon, or is killed as every launcher does (Lightning after 5 s). Then
the run is started again by the same command, and must end as the run that nothing happened to.
Prints the counts, what failed, and the longest wait.
"""

import json
import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch.distributed
from faulty_disk import FaultyDisk
from forks import each, prepare, run_as_script, start_two
from sweep import assert_ended, assert_intact, fit
from tiny_runs import outcome

PATIENCE = 5.0  # seconds after which the launcher kills the other
TWO = {"trainer__devices": 2, "trainer__strategy": "ddp"}

Case = tuple[str, int, int]
"""What is counted (`exchange` or `disk`), the rank that is killed, and before which of them."""


class Exchanges:
    """Counts a process's exchanges with the other, and kills it before one of them."""

    def __init__(self, at: int = -1) -> None:
        self.at, self.count = at, 0

    def install(self) -> None:
        for name in ("barrier", "all_reduce", "all_gather_object", "broadcast", "new_group"):
            setattr(torch.distributed, name, self._counted(getattr(torch.distributed, name)))

    def _counted(self, real: Any) -> Any:
        def patched(*args: Any, **kwargs: Any) -> Any:
            self.count += 1
            if self.count - 1 == self.at:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*args, **kwargs)

        return patched


def run_two(run: Path, case: Case | None = None) -> None:
    """Makes a run by two processes; counts what each does, or kills one and times the other."""

    def act(rank: int) -> None:
        here = case is not None and case[1] == rank
        exchanges = Exchanges(case[2] if here and case[0] == "exchange" else -1)
        disk = FaultyDisk(run, "kill", case[2] if here and case[0] == "disk" else -1)
        exchanges.install()
        fit(run, disk, **TWO)
        counts = {"exchange": exchanges.count, "disk": len(disk.actions)}
        run.with_suffix(f".{rank}.json").write_text(json.dumps(counts))

    ranks = start_two(run.with_suffix(".log"), act)
    ends = _watch(ranks)
    said = "".join(run.with_suffix(f".log.{rank}").read_text() for rank in (0, 1))
    if case is None:
        assert [status for status, _ in ends] == [0, 0], said
        return
    (killed, then), (other, later) = ends[case[1]], ends[1 - case[1]]
    if killed == 0:
        # Never came that far: which of two processes makes a folder is a matter of chance.
        assert other == 0, said
        return
    finished = (run / "pool" / "0001" / "manifest.json").exists()
    assert killed == -signal.SIGKILL and (other != 0 or finished), said
    assert "Traceback" not in said, said
    run.with_suffix(".seconds").write_text(str(later - then))


def _watch(ranks: list[int]) -> list[tuple[int, float]]:
    """Waits for both, as a launcher does; gives each one's status, and when it ended."""
    ends: dict[int, tuple[int, float]] = {}
    while len(ends) < 2:
        child, status = os.waitpid(-1, os.WNOHANG)
        now = time.monotonic()
        if child:
            ends[child] = os.waitstatus_to_exitcode(status), now
        elif any(status != 0 and now - then > PATIENCE for status, then in ends.values()):
            os.kill(next(rank for rank in ranks if rank not in ends), signal.SIGKILL)
        time.sleep(0.01)
    return [ends[rank] for rank in ranks]


def check(folder: Path, case: Case, whole: dict[str, Any]) -> None:
    folder.mkdir()
    run = folder / "run"
    run_two(run, case)
    assert_intact(run)
    run_two(run)
    assert_ended(run, whole)
    shutil.rmtree(run)


def sweep(folder: Path, every: int = 1) -> Iterator[str]:
    """Checks each `every`-th case; yields what failed, and lastly the counts."""
    prepare(folder)
    run_two(folder / "whole")
    whole = outcome(folder / "whole")
    counts = [json.loads((folder / f"whole.{rank}.json").read_text()) for rank in (0, 1)]
    chosen = [
        (what, rank, k)
        for what in ("exchange", "disk")
        for rank in (0, 1)
        for k in range(counts[rank][what])
    ][::every]
    failed = 0
    for said in each(folder, chosen, lambda path, case: check(path, case, whole), at_once=1):
        failed += 1
        yield said
    waits = [float(path.read_text()) for path in folder.rglob("*.seconds")]
    alone = [wait for wait in waits if wait < PATIENCE]
    exchanges = sum(what == "exchange" for what, *_ in chosen)
    yield (
        f"{len(chosen)} kills of one of two processes ({exchanges} at exchanges, "
        f"{len(chosen) - exchanges} at the disk): {len(chosen) - failed} ended identically; "
        f"the other ended by itself within {max(alone):.1f} s in {len(alone)}, "
        f"killed by the launcher in {len(waits) - len(alone)}; "
        f"{len(chosen) - failed - len(waits)} kills were not come to"
    )


if __name__ == "__main__":
    run_as_script(sweep)
