"""Sends signals to one or both of two processes, in a step and in sampling, and under SLURM.

    PYTHONPATH=tests python tests/faults/stops.py FOLDER [EVERY]

The run must end saved at that step, or with that shard, and the same command must then end it as
the run that nothing happened to. Prints the count, and what failed.
"""

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from forks import each, prepare, run_as_script, start_two, words
from ranks import TWO
from sweep import assert_ended
from tiny_runs import outcome

from lightning_collapse.commands import fit as cli
from lightning_collapse.lit.module import CollapseModule
from lightning_collapse.samples.rounds import RoundSampler

Case = tuple[str, str, int]
"""Where (`step` or `shard`), to whom (`0`, `1`, `both`, `late`, `slurm`), and which signal."""

STATUS = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGUSR1: 143}
JOB = "4711"
SCONTROL = '#!/bin/sh\necho "$@" >>"$0.called"\n'


def cases() -> list[Case]:
    return [
        *((where, whom, number) for where in ("step", "shard") for whom in ("0", "1", "both")
          for number in STATUS),
        ("step", "late", signal.SIGTERM),
        ("step", "slurm", signal.SIGUSR1),
        ("shard", "slurm", signal.SIGUSR1),
    ]  # fmt: skip


def run_two(run: Path, case: Case | None = None, slurm: Path | None = None) -> list[int]:
    """Makes a run of six shards by two processes; gives their statuses."""

    def act(rank: int) -> None:
        if slurm is not None:
            _pretend(slurm, rank)
        if case is not None:
            _arm(case, rank)
        cli.run_fit(words(run, **{"loop__micro_batch": 8, **TWO}))

    ranks = start_two(run.with_suffix(".log"), act)
    return [os.waitstatus_to_exitcode(os.waitpid(rank, 0)[1]) for rank in ranks]


def _pretend(slurm: Path, rank: int) -> None:
    """Sets what `srun` does, with an `scontrol` that notes how it was called."""
    del os.environ["LOCAL_RANK"], os.environ["NODE_RANK"], os.environ["WORLD_SIZE"]
    os.environ |= {
        "PATH": f"{slurm}:{os.environ['PATH']}",
        "SLURM_JOB_ID": JOB,
        "SLURM_JOB_NAME": "train",
        "SLURM_NTASKS": "2",
        "SLURM_NTASKS_PER_NODE": "2",
        "SLURM_PROCID": str(rank),
        "SLURM_LOCALID": str(rank),
        "SLURM_NODEID": "0",
    }


def _arm(case: Case, rank: int) -> None:
    """Has this process send itself the signal: in step 1, or shard 2 or 3, of round 1."""
    where, whom, number = case
    # `late` comes to 0 after both have agreed to stop for 1's.
    if whom == "late" and rank == 0:
        _before(cli.GenerationLoop, "on_train_batch_end", lambda loop, trainer, *_: (
            os.kill(os.getpid(), number) if trainer.should_stop else None
        ))  # fmt: skip
    elif whom in (str(rank), "both", "slurm") or whom == "late":
        if where == "step":
            _before(CollapseModule, "training_step", lambda module, _, step: (
                os.kill(os.getpid(), number) if (module.current_epoch, step) == (1, 1) else None
            ))  # fmt: skip
        else:
            _before(RoundSampler, "make", lambda sampler, first: (
                os.kill(os.getpid(), number) if (sampler.round, first // 16) == (1, 1) else None
            ))  # fmt: skip


def _before(owner: Any, name: str, do: Any) -> None:
    real = getattr(owner, name)

    def patched(self: Any, *args: Any) -> Any:
        do(self, *args)
        return real(self, *args)

    setattr(owner, name, patched)


def check(folder: Path, case: Case, whole: dict[str, Any]) -> None:
    folder.mkdir()
    run, (where, whom, number) = folder / "run", case
    slurm = folder if whom == "slurm" else None
    (folder / "scontrol").write_text(SCONTROL)
    (folder / "scontrol").chmod(0o755)
    statuses = run_two(run, case, slurm)
    said = "".join(Path(f"{folder / 'run.log'}.{rank}").read_text() for rank in (0, 1))
    assert statuses == [STATUS[number], 0], said
    assert said.count("stopped by a signal; the same command goes on") == 1, said
    last = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["PoolDataModule"]
    shards = len(list(run.glob("pool/0001/*.npy")))
    assert (last, shards) == (
        ({"round": 1, "step": 2}, 0) if where == "step" else ({"round": 2, "step": 0}, 4)
    )
    called = folder / "scontrol.called"
    assert (called.read_text() if called.exists() else "") == f"requeue {JOB}\n" * bool(slurm)
    assert run_two(run, None, slurm) == [0, 0]
    assert_ended(run, whole)
    shutil.rmtree(run)


def sweep(folder: Path, every: int = 1) -> Iterator[str]:
    """Checks each `every`-th case; yields what failed, and lastly the count."""
    prepare(folder)
    assert run_two(folder / "whole") == [0, 0], (folder / "whole.log.0").read_text()
    whole = outcome(folder / "whole")
    chosen = cases()[::every]
    failed = 0
    for said in each(folder, chosen, lambda path, case: check(path, case, whole), at_once=1):
        failed += 1
        yield said
    yield f"{len(chosen)} signals to two processes: {len(chosen) - failed} ended identically"


if __name__ == "__main__":
    run_as_script(sweep)
