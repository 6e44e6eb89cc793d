import hashlib
import json
import math
import os
import pickle
import zlib

import numpy as np
import pytest
import torch

from lightning_collapse.data.store.shards import (
    MAX_SHARD_ROWS,
    Shard,
    StoredRows,
    commit,
    read_shard,
    shard_path,
    write_shard,
)
from lightning_collapse.seeds import generator

SIZES = [5, 1, 8]
KINDS = [((3, 4, 4), torch.uint8), ((2,), torch.float32), ((1, 8, 8), torch.uint8)]


def some_rows(shape=(3, 4, 4), dtype=torch.uint8):
    rows = torch.randint(0, 256, (sum(SIZES), *shape), generator=generator(0, "rows", len(shape)))
    return rows.to(dtype) if dtype == torch.uint8 else rows.to(dtype) / 7


def keep(folder, rows, labels=None, **more):
    """Writes and commits rows in shards of SIZES."""
    tags = [None] * len(SIZES) if labels is None else torch.split(labels, SIZES)
    shards = []
    for i, (part, tag) in enumerate(zip(torch.split(rows, SIZES), tags, strict=True)):
        shards.append(write_shard(shard_path(folder, i), part, tag))
    dtype = str(rows.dtype).removeprefix("torch.")
    commit(folder, shards, **{"shape": rows.shape[1:], "dtype": dtype, "recipe": {}} | more)
    return StoredRows(folder)


def read_whole(path):
    return read_shard(path, hashlib.sha256(path.read_bytes()).hexdigest())


@pytest.mark.parametrize(("shape", "dtype"), KINDS)
def test_rows_come_back_byte_for_byte_in_any_order(tmp_path, shape, dtype):
    rows = some_rows(shape, dtype)
    stored = keep(tmp_path, rows)
    assert len(stored) == len(rows)
    random = generator(0, "indices")
    for n in (0, 1, 14, 100):
        indices = torch.randint(len(rows), (n,), generator=random)
        got = stored[indices]
        assert got.dtype == dtype
        assert torch.equal(got, rows[indices])
    assert torch.equal(stored[torch.arange(14).flip(0)], rows.flip(0))


def test_special_numbers_keep_their_bits(tmp_path):
    rows = torch.tensor([[0.0, -0.0], [math.inf, math.nan], [1e-45, 3.4e38]]).repeat(5, 1)[:14]
    stored = keep(tmp_path, rows)
    assert stored[torch.arange(14)].numpy().tobytes() == rows.numpy().tobytes()


def test_rows_that_are_not_contiguous_are_written_as_they_read(tmp_path):
    rows = some_rows().permute(0, 3, 2, 1)
    assert torch.equal(keep(tmp_path, rows)[torch.arange(14)], rows)


def test_what_was_read_can_be_changed(tmp_path):
    stored, rows = keep(tmp_path, some_rows()), some_rows()
    stored[torch.arange(3)].zero_()
    assert torch.equal(stored[torch.arange(3)], rows[:3])


def test_labels_recipe_and_record_come_back(tmp_path):
    labels = torch.arange(14) * 3 % 5
    record = {"round": 3, "loss": 0.1 + 0.2, "regime_options": {"size": 4}, "ratio": None}
    stored = keep(tmp_path, some_rows(), labels, recipe={"seed": 0}, record=record)
    assert torch.equal(stored.labels, labels)
    assert (stored.recipe, stored.record) == ({"seed": 0}, record)
    assert stored.shape == (3, 4, 4)
    unlabelled = keep(tmp_path, some_rows())
    assert (unlabelled.labels, unlabelled.record) == (None, None)


def test_labels_of_some_shards_are_no_labels(tmp_path):
    shards = [
        write_shard(shard_path(tmp_path, i), part, torch.zeros(len(part)).long() if i else None)
        for i, part in enumerate(torch.split(some_rows(), SIZES))
    ]
    commit(tmp_path, shards, shape=(3, 4, 4), dtype="uint8", recipe={})
    assert StoredRows(tmp_path).labels is None


def test_numbers_that_json_lacks_are_null(tmp_path):
    record = {
        "loss": math.nan,
        "all": [math.inf, 1.0],
        "pair": (-math.inf, 2),
        "n": {"x": math.nan},
    }
    stored = keep(tmp_path, some_rows(), record=record)
    assert stored.record == {"loss": None, "all": [None, 1.0], "pair": [None, 2], "n": {"x": None}}
    assert "NaN" not in (tmp_path / "manifest.json").read_text()


def test_nothing_counts_before_the_manifest(tmp_path):
    write_shard(shard_path(tmp_path, 0), some_rows())
    with pytest.raises(FileNotFoundError, match=r"manifest\.json"):
        StoredRows(tmp_path)


def test_a_failed_commit_leaves_the_folder_uncommitted(tmp_path, monkeypatch):
    shards = [write_shard(shard_path(tmp_path, 0), some_rows())]

    def fail(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="No space left"):
        commit(tmp_path, shards, shape=(3, 4, 4), dtype="uint8", recipe={})
    assert [path.name for path in tmp_path.iterdir()] == ["shard-00000.npy"]


def test_shards_are_plain_npy_files(tmp_path):
    """Anyone can read them without this package, and check them against the manifest."""
    rows = some_rows()
    keep(tmp_path, rows)
    assert torch.equal(read_whole(shard_path(tmp_path, 2)), rows[6:])
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["rows"] == 14
    for shard, part in zip(manifest["shards"], torch.split(rows, SIZES), strict=True):
        path = tmp_path / shard["file"]
        assert np.array_equal(np.load(path), part.numpy())
        assert hashlib.sha256(path.read_bytes()).hexdigest() == shard["sha256"]
        assert [zlib.crc32(row.numpy().tobytes()) for row in part] == shard["crc32"]


# Damage


@pytest.mark.parametrize("where", ["first byte", "last byte", "middle"])
@pytest.mark.parametrize(("shape", "dtype"), KINDS)
def test_a_flipped_bit_is_caught_in_its_row_alone(tmp_path, shape, dtype, where):
    rows = some_rows(shape, dtype)
    stored, path = keep(tmp_path, rows), shard_path(tmp_path, 2)
    n_bytes = rows[0].numel() * rows.element_size()
    data = bytearray(path.read_bytes())
    offset = {"first byte": 0, "last byte": n_bytes - 1, "middle": n_bytes // 2}[where]
    data[len(data) - 8 * n_bytes + 3 * n_bytes + offset] ^= 1  # row 3 of this shard, 9 of all
    path.write_bytes(data)
    with pytest.raises(OSError, match=r"shard-00002\.npy: row 3 is damaged;"):
        stored[torch.tensor([0, 8, 9, 10])]
    others = torch.tensor([i for i in range(14) if i != 9])
    assert torch.equal(stored[others], rows[others])


@pytest.mark.parametrize("left", [0, 1, 60, 128, 140, -1])
def test_a_truncated_file_is_named(tmp_path, left):
    stored, path = keep(tmp_path, some_rows()), shard_path(tmp_path, 2)
    path.write_bytes(path.read_bytes()[:left])
    for row in (0, 7):
        with pytest.raises(OSError, match=rf"shard-00002\.npy: row {row} is damaged;"):
            stored[torch.tensor([6 + row])]
    assert torch.equal(stored[torch.arange(6)], some_rows()[:6])


def test_rows_that_moved_are_caught(tmp_path):
    stored, path = keep(tmp_path, some_rows()), shard_path(tmp_path, 0)
    write_shard(path, some_rows()[:5].flip(0))
    with pytest.raises(OSError, match=r"shard-00000\.npy: row 0 is damaged;"):
        stored[torch.arange(2)]


def test_a_shard_that_was_changed_is_not_read_whole(tmp_path):
    shard = write_shard(shard_path(tmp_path, 0), some_rows())
    write_shard(shard_path(tmp_path, 0), some_rows().flip(0))
    with pytest.raises(OSError, match=r"shard-00000\.npy: is damaged; remove it"):
        read_shard(shard_path(tmp_path, 0), shard.sha256)


def test_a_deleted_file_is_named(tmp_path):
    stored = keep(tmp_path, some_rows())
    shard_path(tmp_path, 1).unlink()
    with pytest.raises(FileNotFoundError, match=r"shard-00001\.npy"):
        stored[torch.arange(14)]
    assert len(stored[torch.tensor([0, 13])]) == 2


# What is not taken


class Bomb:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (str(self.path),))


@pytest.mark.parametrize("how", ["object array", "bare pickle"])
def test_pickles_are_never_loaded(tmp_path, how):
    path, bomb = shard_path(tmp_path, 0), Bomb(tmp_path / "exploded")
    if how == "object array":
        np.save(path, np.array([bomb], dtype=object), allow_pickle=True)
    else:
        path.write_bytes(pickle.dumps(bomb))
    with pytest.raises(ValueError, match="is not a shard of rows"):
        read_whole(path)
    # Nor by a manifest that calls it rows.
    shard = Shard(path.name, "0" * 64, [0])
    commit(tmp_path, [shard], shape=[4], dtype="uint8", recipe={})
    with pytest.raises(OSError, match="row 0 is damaged;"):
        StoredRows(tmp_path)[torch.tensor([0])]
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize(
    ("rows", "got"),
    [
        (torch.zeros(3, 2, dtype=torch.float64), r"float64 \(3, 2\)"),
        (torch.zeros(3, 2, dtype=torch.int64), r"int64 \(3, 2\)"),
        (torch.zeros(0, 2), r"float32 \(0, 2\)"),
        (torch.zeros(MAX_SHARD_ROWS + 1, 1), rf"float32 \({MAX_SHARD_ROWS + 1}, 1\)"),
    ],
)
def test_a_shard_holds_few_rows_of_two_types(tmp_path, rows, got):
    with pytest.raises(ValueError, match=f"rows of uint8 or float32, got {got}"):
        write_shard(shard_path(tmp_path, 0), rows)
    assert not list(tmp_path.iterdir())
    write_shard(shard_path(tmp_path, 0), torch.zeros(MAX_SHARD_ROWS, 1))
