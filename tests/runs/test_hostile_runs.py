"""What a run's files may not claim, well sealed: one line that says what is wrong.

What an accident damages is found by the seals (test_damage.py); here somebody has meant it. Their
mutants by the thousand are in test_hostile_files.py.
"""

import hashlib
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_runs import Fit, mlp

from lightning_collapse.data.store import manifest as manifests
from lightning_collapse.data.store.shards import StoredRows, read_shard, shard_path
from lightning_collapse.runs.checkpoints import read_checkpoint, write_checkpoint
from lightning_collapse.runs.records import read_records
from lightning_collapse.runs.restoring import check_checkpoint
from lightning_collapse.runs.weights import load_weights


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    run = tmp_path_factory.mktemp("run")
    torch.set_num_threads(1)
    fit = Fit(run, rounds=1)()
    save_file(fit.module.ema.state_dict(), run / "weights.safetensors")
    return run


def refused(read: Callable[[], object]) -> bool:
    """Whether the file is refused, in one of the two ways, in one line."""
    try:
        read()
    except (ValueError, OSError) as error:
        assert "\n" not in str(error).strip(), error
        return True
    return False


# Manifests and shards


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
def test_what_a_manifest_may_not_claim(run, tmp_path, field, value, said):
    fields = json.loads((run / "pool" / "0000" / "manifest.json").read_text())
    del fields["sha256"]
    (tmp_path / "manifest.json").write_bytes(manifests.sealed(fields | {field: value}))
    with pytest.raises(ValueError, match=said):
        StoredRows(tmp_path)


@pytest.mark.parametrize("name", ["../shard-00000.npy", "/etc/passwd", "shard-٠٠٠٠٠.npy", "", 3])
def test_a_manifest_names_only_shards_of_its_folder(run, tmp_path, name):
    fields = json.loads((run / "pool" / "0000" / "manifest.json").read_text())
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


# Checkpoints


def seal(data: bytes) -> bytes:
    return data + b"sha256 " + hashlib.sha256(data).hexdigest().encode()


def bad_tensors() -> dict[str, torch.Tensor]:
    one = torch.zeros(1)
    return {
        "nan": torch.tensor(float("nan")),
        "infinite": torch.tensor(float("inf")),
        "other shape": torch.zeros(3, 3),
        "other type": torch.zeros(16, dtype=torch.int64),
        "sparse": torch.zeros(16).to_sparse(),
        "unfolds to a terabyte": one.expand(2**38),
    }


@pytest.mark.parametrize("what", bad_tensors())
def test_a_tensor_that_does_not_fit_is_named(run, tmp_path, what):
    checkpoint = read_checkpoint(run / "checkpoints" / "last.ckpt")
    name = next(n for n, v in checkpoint["state_dict"].items() if n.startswith("ema."))
    like, tensor = checkpoint["state_dict"][name], bad_tensors()[what]
    bad = tensor.expand(like.shape) if tensor.ndim == 0 else tensor
    checkpoint["state_dict"][name] = bad
    with pytest.raises(ValueError, match=name.replace(".", r"\.") if what != "sparse" else "ckpt"):
        check_checkpoint(checkpoint, Fit(tmp_path).module)
    path = tmp_path / "mine.ckpt"
    with open(path, "wb") as file:
        write_checkpoint(checkpoint, file)
    assert refused(lambda: load_weights(Fit(tmp_path).module.ema, path))


def test_a_compressed_checkpoint_is_refused_before_it_unfolds(tmp_path):
    path = tmp_path / "bomb.ckpt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data/0", bytes(2**24))
    path.write_bytes(seal(path.read_bytes()))
    assert refused(lambda: read_checkpoint(path))


# Weights


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_named(run, tmp_path, value):
    weights = load_file(run / "weights.safetensors")
    name = sorted(weights)[1]
    weights[name].view(-1)[0] = value
    save_file(weights, tmp_path / "bad.safetensors")
    with pytest.raises(ValueError, match=f"bad.safetensors: {name} is not finite"):
        load_weights(Fit(tmp_path, network=mlp()).module.ema, tmp_path / "bad.safetensors")


@pytest.mark.parametrize("line", ['{"round": 1}', "[0]", "0", "[" * 10_000, '{"round": "0"}', ""])
def test_a_line_that_is_not_the_record_of_its_round(tmp_path, line):
    (tmp_path / "rounds.jsonl").write_text(line + "\n")
    with pytest.raises(ValueError, match=r"rounds\.jsonl: line 1 is not the record of round 0"):
        read_records(tmp_path)
