"""Shards describe themselves: at a round's end each is read once, to be measured, and no more."""

import builtins
import io
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_runs import CrashError, Fit, assert_same, mlp, outcome, with_ending

from lightning_collapse.data.store.manifest import read_manifest
from lightning_collapse.data.store.shards import shard_path
from lightning_collapse.samples.shards import described, read_described, write_described


def three_shards(plain: Any, trainer: Any, sampler: Any, folder: Path) -> bool:
    """Dies in the middle of sampling, with three of six shards written."""
    for done in range(3):
        list(sampler.write_shard(folder, done))
    raise CrashError


@pytest.fixture
def reads(monkeypatch) -> Counter[str]:
    """Counts the times that each shard of a round is opened to be read."""
    counted: Counter[str] = Counter()

    def watch(module: Any, name: str) -> None:
        real = getattr(module, name)

        def watched(path: Any, mode: Any = "r", *args: Any, **named: Any) -> Any:
            file = Path(path) if isinstance(path, (str, os.PathLike)) else Path()
            reading = not mode & os.O_WRONLY if isinstance(mode, int) else "r" in mode
            if reading and file.suffix == ".npy" and file.parent.name == "0000":
                counted[file.name] += 1
            return real(path, mode, *args, **named)

        monkeypatch.setattr(module, name, watched)

    for module in (builtins, io, os):
        watch(module, "open")
    return counted


ONCE = {f"shard-{i:05d}.npy": 1 for i in range(6)}


def test_no_shard_is_read_twice_at_a_rounds_end(tmp_path, reads):
    Fit(tmp_path / "whole", rounds=1)()
    assert reads == ONCE


def test_no_shard_is_read_twice_after_a_resume_in_the_middle_of_sampling(tmp_path, reads):
    with pytest.raises(CrashError):
        Fit(tmp_path / "run", rounds=1, loop=with_ending(sample_shards=three_shards))()
    assert not reads
    folder = tmp_path / "run" / "pool" / "0000"
    kept = {path: path.stat().st_ino for path in folder.glob("*.npy")}
    Fit(tmp_path / "run", rounds=1)()
    assert reads == ONCE
    assert len(kept) == 3 and {path: path.stat().st_ino for path in kept} == kept
    Fit(tmp_path / "whole", rounds=1)()
    assert_same(outcome(tmp_path / "run"), outcome(tmp_path / "whole"))


def test_nothing_but_manifest_shards_and_preview_stays(tmp_path):
    Fit(tmp_path, rounds=1)()
    names = {path.name for path in (tmp_path / "pool" / "0000").iterdir()}
    assert names == {*ONCE, "manifest.json", "preview.png"}


def test_the_manifest_says_what_the_descriptions_said(tmp_path):
    seen: list[Any] = []

    def commit(plain: Any, sampler: Any, folder: Path, *args: Any) -> None:
        seen.extend(described(folder, i).shard for i in range(sampler.n_shards))
        plain(sampler, folder, *args)

    loop = with_ending(_commit=commit)
    Fit(tmp_path, rounds=1, network=mlp(label_dim=3), loop=loop)()
    assert read_manifest(tmp_path / "pool" / "0000").shards == seen
    assert all(len(shard.labels) == 8 for shard in seen)


def test_a_description_counts_only_with_its_shard(tmp_path):
    rows = torch.arange(12).view(6, 2).float()
    write_described(tmp_path, 0, rows, torch.arange(6), 2)
    found, n_nonfinite = read_described(tmp_path, 0)
    assert torch.equal(found, rows) and n_nonfinite == 2
    assert described(tmp_path, 0).shard.labels == list(range(6))
    path = shard_path(tmp_path, 0)
    data = path.read_bytes()
    path.write_bytes(data[:-1])
    assert described(tmp_path, 0) is None
    path.unlink()
    with pytest.raises(OSError, match=r"shard-00000\.npy: is gone, or cut; the same command"):
        read_described(tmp_path, 0)
    path.write_bytes(data)
    assert described(tmp_path, 0) is not None
    path.with_suffix(".json").unlink()
    assert described(tmp_path, 0) is None
