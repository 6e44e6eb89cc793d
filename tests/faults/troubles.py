"""The sweep of a run in trouble: memory runs out in round 1, and samples are not finite.

    PYTHONPATH=tests python tests/faults/troubles.py FOLDER [EVERY]

Only what such a run does to round 1's samples is made to fail: the rest it has in common with the
run that `sweep.py` takes.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sweep as ordinary
import torch
from faulty_disk import FaultyDisk
from forks import run_as_script
from tiny_runs import bad_samples, out_of_memory

from lightning_collapse.samples import rounds as sampler
from lightning_collapse.samples.rounds import RoundSampler

MICRO_BATCH, FITS = 24, 12


def fit(run: Path, disk: FaultyDisk | None = None, **changed: Any) -> None:
    """Makes the run: the second shard is the first that memory does not do for."""
    make = RoundSampler.make

    def little(self: RoundSampler, first: int) -> Any:
        if self.round == 1 and first >= MICRO_BATCH:
            out_of_memory(torch.empty(self.micro_batch), FITS)
        return make(self, first)

    RoundSampler.make, sampler._solve = little, bad_samples
    ordinary.fit(run, disk, **changed)


def sweep(folder: Path, every: int = 1) -> Iterator[str]:
    """Checks each `every`-th case; yields what failed, and lastly the counts."""
    yield from ordinary.sweep(folder, every, fit, "pool/0001")


if __name__ == "__main__":
    run_as_script(sweep)
