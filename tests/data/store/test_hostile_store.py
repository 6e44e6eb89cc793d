"""What a manifest and a shard may not claim, well sealed, and their mutants.

A seal finds accidents; here it is made again after the harm, as somebody who means it would.
"""

import hashlib
import io
import json
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from fuzzing import (
    SOME_OR_THOUSANDS,
    Reader,
    broken,
    either,
    of,
    readers,
    sealed_manifest,
)

from lightning_collapse.data.store import manifest as manifests
from lightning_collapse.data.store.shards import StoredRows, read_shard, shard_path


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("shape", [2**40], "shape = "),
        ("shape", [-2], "shape = "),
        ("shape", [2**13, 2**13, 2], "a row has at most"),
        ("shape", [True], "shape = "),
        ("dtype", "object", "dtype = 'object'"),
        ("dtype", "O", "dtype = 'O'"),
        ("rows", 10**9, "rows = 1000000000"),
        ("rows", -1, "rows = -1"),
        ("recipe", [], "recipe, record"),
        ("shards", [], "rows = 48"),
        ("shards", {}, "rows = 48"),
        ("shards", 3, "is not a manifest"),
        ("more", 3, "is not a manifest"),
    ],
)
def test_what_a_manifest_may_not_claim(tiny_run, tmp_path, field, value, said):
    fields = json.loads((tiny_run / "pool" / "0000" / "manifest.json").read_text())
    del fields["sha256"]
    (tmp_path / "manifest.json").write_bytes(manifests.sealed(fields | {field: value}))
    with pytest.raises(ValueError, match=said):
        StoredRows(tmp_path)


@pytest.mark.parametrize("name", ["../shard-00000.npy", "/etc/passwd", "shard-٠٠٠٠٠.npy", "", 3])
def test_a_manifest_names_only_shards_of_its_folder(tiny_run, tmp_path, name):
    fields = json.loads((tiny_run / "pool" / "0000" / "manifest.json").read_text())
    del fields["sha256"]
    fields["shards"][0]["file"] = name
    (tmp_path / "manifest.json").write_bytes(manifests.sealed(fields))
    with pytest.raises(ValueError, match="must be a shard's name"):
        StoredRows(tmp_path)


@pytest.mark.parametrize(
    ("descr", "shape"),
    [
        ("|u1", (2**40, 4)),
        ("|u1", (-1, -128)),
        ("|O", (8, 16)),
        ("<f8", (8, 2)),
        (">f4", (8, 4)),
        ("|u1", (128,)),
        ("|V128", (1, 1)),
    ],
)
def test_a_header_that_lies(tmp_path, descr, shape):
    buffer = io.BytesIO()
    header = {"descr": descr, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(buffer, header)
    path = shard_path(tmp_path, 0)
    path.write_bytes(buffer.getvalue() + bytes(128))
    with pytest.raises(ValueError, match=r"shard-00000\.npy: is not a shard of rows"):
        read_shard(path, hashlib.sha256(path.read_bytes()).hexdigest())


def manifest(run: Path) -> Reader:
    folder = run / "pool" / "0000"
    data = (folder / "manifest.json").read_bytes()
    fields = json.loads(data)
    del fields["sha256"]

    def read():
        rows = StoredRows(folder)
        read = rows[torch.arange(min(len(rows), 64))]
        assert tuple(read.shape[1:]) == rows.shape

    return of(
        folder / "manifest.json", either(data, fields, sealed_manifest), read, named=str(folder)
    )


def shard(run: Path) -> Reader:
    path = run / "pool" / "0000" / "shard-00000.npy"
    data = path.read_bytes()

    def mutant(dice: random.Random) -> bytes:
        descr = dice.choice(
            ["|u1", "<f4", "<f8", ">f4", "|O", "|V128", "<U9", "|b1", "[('a','<f4')]"]
        )
        shape = tuple(
            dice.choice([0, 1, 2, 48, -1, 2**40, 2**63]) for _ in range(dice.randrange(5))
        )
        buffer = io.BytesIO()
        header = {"descr": descr, "fortran_order": dice.random() < 0.3, "shape": shape}
        np.lib.format.write_array_header_1_0(buffer, header)
        return buffer.getvalue() + bytes(dice.choice([0, 8, 384]))

    def read():
        rows = read_shard(path, hashlib.sha256(path.read_bytes()).hexdigest())
        assert 0 < rows.nbytes <= path.stat().st_size

    return of(path, lambda d: broken(data, d) if d.random() < 0.6 else mutant(d), read)


@readers(manifest, shard)
@SOME_OR_THOUSANDS
def test_mutants_are_refused_in_one_line_or_sound(tiny_run, tmp_path, make, mutants):
    tally = make(shutil.copytree(tiny_run, tmp_path / "run")).fuzz(mutants)
    assert tally.outcomes["refused"] > 0
