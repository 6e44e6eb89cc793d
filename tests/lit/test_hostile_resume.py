"""Mutants of the files that a run reads as it goes on.

A seal finds accidents; here it is made again after the harm, as somebody who means it would.
"""

import json
import shutil
from pathlib import Path

from fuzzing import (
    SOME_OR_THOUSANDS,
    Reader,
    altered,
    checkpoint_bytes,
    of,
    readers,
    sealed_manifest,
)
from tiny_runs import Fit

from lightning_collapse.runs.checkpoints import read_checkpoint
from lightning_collapse.runs.restoring import check_checkpoint


def manifest_as_the_run_goes_on(run: Path) -> Reader:
    path = run / "pool" / "0000" / "manifest.json"
    fields = json.loads(path.read_bytes())
    del fields["sha256"]
    data = Fit(run).data

    def read():
        data.prepare_data()
        data.setup()

    mutant = lambda dice: sealed_manifest(altered(fields, dice))  # noqa: E731
    return of(path, mutant, read, named="0")


def checkpoint_to_go_on_from(run: Path) -> Reader:
    path = run / "checkpoints" / "last.ckpt"
    tree, module, data = read_checkpoint(path), Fit(run).module, Fit(run).data

    def read():
        found = read_checkpoint(path)
        check_checkpoint(found, module)
        data.load_state_dict(found.get("PoolDataModule", {}))

    mutant = lambda dice: checkpoint_bytes(altered(tree, dice))  # noqa: E731
    return of(path, mutant, read, named="ckpt")


@readers(manifest_as_the_run_goes_on, checkpoint_to_go_on_from)
@SOME_OR_THOUSANDS
def test_mutants_are_refused_in_one_line_or_sound(tiny_run, tmp_path, make, mutants):
    tally = make(shutil.copytree(tiny_run, tmp_path / "run")).fuzz(mutants)
    assert tally.outcomes["refused"] > 0
