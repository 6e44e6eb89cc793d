"""Files of a run from anyone, sealed again after the harm: one clean error, and no memory.

What an accident damages is found by the seals (test_damage.py); here somebody has meant it.
"""

import hashlib
import io
import json
import shutil
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from tiny_runs import Fit, mlp

from lightning_collapse.commands.plot import plot
from lightning_collapse.data import manifest as manifests
from lightning_collapse.data.checkpoints import read_checkpoint, write_checkpoint
from lightning_collapse.data.store import StoredRows, read_shard, shard_path, write_shard
from lightning_collapse.interop.runs import load_run_denoiser
from lightning_collapse.lit import config_file
from lightning_collapse.lit.config_file import ConfigFile
from lightning_collapse.lit.restoring import check_checkpoint
from lightning_collapse.lit.weights import load_weights
from lightning_collapse.records import read_records

EXAMPLES = 25
MEMORY = 64 * 2**20

NUMBERS = st.integers() | st.sampled_from([0, -1, 2**31, 2**40, 2**63, 10**400, 1.5, 1e308])
SCALARS = st.none() | st.booleans() | NUMBERS | st.text(max_size=8)
VALUES = st.recursive(
    SCALARS | st.sampled_from(["../../../etc/passwd", "uint8", "float64", "O", "NaN", ""]),
    lambda part: (
        st.lists(part, max_size=4) | st.dictionaries(st.text(max_size=6), part, max_size=3)
    ),
    max_leaves=8,
)


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    run = tmp_path_factory.mktemp("run")
    torch.set_num_threads(1)
    fit = Fit(run, rounds=1)()
    ConfigFile(run / "config.yaml").write(CONFIG)
    save_file(fit.module.ema.state_dict(), run / "weights.safetensors")
    return run


CONFIG = {
    "seed_everything": 0,
    "model": {
        "network": {
            "class_path": "lightning_collapse.networks.mlp.SigmaMLP",
            "init_args": {"dim": 2, "width": 16, "depth": 1, "label_dim": 0},
        },
        "sigma_data": 0.5,
    },
    "data": {"train_rows": 48, "regime": {"class_path": "Replace"}},
}


def refused(read: Callable[[], object]) -> bool:
    """Whether the file is refused, in one of the two ways, in one line, and for little memory."""
    tracemalloc.start()
    try:
        read()
    except (ValueError, OSError) as error:
        assert "\n" not in str(error).strip(), error
        return True
    else:
        return False
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < MEMORY


@st.composite
def mutants(draw: st.DrawFn, data: bytes) -> bytes:
    """The bytes with some flipped, cut, repeated or put in."""
    out = bytearray(data)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(out) - 1)))
        what = draw(st.sampled_from(["flip", "cut", "insert", "repeat", "digit"]))
        if what == "flip" and out:
            out[at] ^= 1 << draw(st.integers(0, 7))
        elif what == "cut":
            del out[at : at + draw(st.integers(1, 64))]
        elif what == "insert":
            out[at:at] = draw(st.binary(min_size=1, max_size=16))
        elif what == "repeat":
            out[at:at] = out[at : at + draw(st.integers(1, 64))]
        elif out:
            out[at : at + 1] = draw(st.sampled_from([b"9", b"-", b"[", b"}", b'"', b"0000"]))
    return bytes(out)


def changed(draw: Any, tree: Any) -> Any:
    """A copy of a tree with one node replaced, taken out or renamed."""
    if isinstance(tree, dict) and tree and draw(st.integers(0, 4)):
        name = draw(st.sampled_from(sorted(tree, key=str)))
        how = draw(st.sampled_from(["into", "into", "into", "out", "rename"]))
        rest = {n: v for n, v in tree.items() if n != name}
        if how == "out":
            return rest
        return rest | {"other" if how == "rename" else name: changed(draw, tree[name])}
    if isinstance(tree, list) and tree and draw(st.integers(0, 2)):
        at = draw(st.integers(0, len(tree) - 1))
        return [changed(draw, v) if i == at else v for i, v in enumerate(tree)]
    return draw(VALUES)


def examples(function):
    return settings(max_examples=EXAMPLES, deadline=None)(function)


# Manifests and shards


def read_all(folder: Path) -> None:
    stored = StoredRows(folder)
    stored[torch.arange(min(len(stored), 64))]


def test_any_changed_byte_of_a_manifest_is_refused(run, tmp_path):
    original = (run / "pool" / "0000" / "manifest.json").read_bytes()

    @examples
    @given(mutants(original))
    def check(data: bytes) -> None:
        (tmp_path / "manifest.json").write_bytes(data)
        assert data == original or refused(lambda: manifests.read_manifest(tmp_path))

    check()


def test_a_sealed_manifest_that_lies_harms_nobody(run, tmp_path):
    folder = shutil.copytree(run / "pool" / "0000", tmp_path / "0000")
    fields = json.loads((folder / "manifest.json").read_text())
    del fields["sha256"]

    @examples
    @given(st.data())
    def check(data: Any) -> None:
        text = manifests._sealed(json.loads(json.dumps(changed(data.draw, fields))))
        (folder / "manifest.json").write_bytes(text)
        refused(lambda: read_all(folder))

    check()


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
    (tmp_path / "manifest.json").write_bytes(manifests._sealed(fields | {field: value}))
    with pytest.raises(ValueError, match=said):
        StoredRows(tmp_path)


@pytest.mark.parametrize("name", ["../shard-00000.npy", "/etc/passwd", "shard-٠٠٠٠٠.npy", "", 3])
def test_a_manifest_names_only_shards_of_its_folder(run, tmp_path, name):
    fields = json.loads((run / "pool" / "0000" / "manifest.json").read_text())
    del fields["sha256"]
    fields["shards"][0]["file"] = name
    (tmp_path / "manifest.json").write_bytes(manifests._sealed(fields))
    with pytest.raises(ValueError, match="must be a shard's name"):
        StoredRows(tmp_path)


def test_no_shard_makes_its_reader_take_more_than_it_holds(tmp_path):
    path = shard_path(tmp_path, 0)
    write_shard(path, torch.zeros(8, 1, 4, 4, dtype=torch.uint8))
    original = path.read_bytes()

    @examples
    @given(mutants(original))
    def check(data: bytes) -> None:
        path.write_bytes(data)
        refused(lambda: read_shard(path))

    check()


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
        read_shard(path)


# Checkpoints


def seal(data: bytes) -> bytes:
    return data + b"sha256 " + hashlib.sha256(data).hexdigest().encode()


def test_a_checkpoint_that_was_sealed_again(run, tmp_path):
    original, path = (run / "checkpoints" / "last.ckpt").read_bytes()[:-71], tmp_path / "a.ckpt"

    @examples
    @given(mutants(original), st.booleans())
    def check(data: bytes, sealed: bool) -> None:
        path.write_bytes(seal(data) if sealed else data)
        assert refused(lambda: read_checkpoint(path)) or sealed

    check()


def test_a_checkpoint_of_wrong_values_is_refused_before_anything_is_taken_over(run, tmp_path):
    original = read_checkpoint(run / "checkpoints" / "last.ckpt")
    module = Fit(tmp_path).module
    check_checkpoint(original, module)
    parts = ("state_dict", "round_progress", "optimizer_states", "loops", "epoch", "global_step")

    @examples
    @given(st.data(), st.sampled_from(parts))
    def check(data: Any, part: str) -> None:
        mutant = original | {part: changed(data.draw, original[part])}
        refused(lambda: check_checkpoint(mutant, module))

    check()


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
    import zipfile

    path = tmp_path / "bomb.ckpt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data/0", bytes(2**24))
    path.write_bytes(seal(path.read_bytes()))
    assert refused(lambda: read_checkpoint(path))


# Weights


def test_safetensors_of_anyone(run, tmp_path):
    original, path = (run / "weights.safetensors").read_bytes(), tmp_path / "a.safetensors"
    module = Fit(tmp_path).module
    path.write_bytes(original)
    load_weights(module.ema, path)

    @examples
    @given(mutants(original[:2048]))
    def check(data: bytes) -> None:
        path.write_bytes(data + original[2048:])
        refused(lambda: load_weights(module.ema, path))

    check()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_named(run, tmp_path, value):
    weights = load_file(run / "weights.safetensors")
    name = sorted(weights)[1]
    weights[name].view(-1)[0] = value
    save_file(weights, tmp_path / "bad.safetensors")
    with pytest.raises(ValueError, match=f"bad.safetensors: {name} is not finite"):
        load_weights(Fit(tmp_path, network=mlp()).module.ema, tmp_path / "bad.safetensors")


# Configurations and records


def test_a_sealed_configuration_of_anyone(run, tmp_path):
    file = ConfigFile(tmp_path / "config.yaml")
    original = yaml.safe_dump(CONFIG).encode()

    @examples
    @given(mutants(original))
    def check(data: bytes) -> None:
        text = config_file._sealed(data.decode(errors="replace"))
        file.path.write_bytes(text.encode())
        refused(lambda: file.changes(CONFIG))

    check()


def test_a_network_described_by_anyone(run, tmp_path):
    (tmp_path / "checkpoints").mkdir()
    path = shutil.copy(run / "checkpoints" / "last.ckpt", tmp_path / "checkpoints")
    load_run = lambda: load_run_denoiser(Path(path))  # noqa: E731
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(CONFIG))
    assert not refused(load_run)

    @examples
    @given(st.data())
    def check(data: Any) -> None:
        model = changed(data.draw, CONFIG["model"])
        (tmp_path / "config.yaml").write_text(yaml.safe_dump({"model": model}))
        refused(load_run)

    check()


def test_records_of_anyone(run, tmp_path):
    shutil.copytree(run / "pool", tmp_path / "pool")
    original = (run / "rounds.jsonl").read_bytes()

    @examples
    @given(mutants(original))
    def check(data: bytes) -> None:
        (tmp_path / "rounds.jsonl").write_bytes(data)
        refused(lambda: read_records(tmp_path))

    check()


def test_a_table_of_records_of_anyone(run, tmp_path, monkeypatch):
    original = json.loads((run / "rounds.jsonl").read_text())
    monkeypatch.setattr("lightning_collapse.commands.plot.plot_run", lambda run: run)

    @examples
    @given(st.data())
    def check(data: Any) -> None:
        record = changed(data.draw, original)
        (tmp_path / "rounds.jsonl").write_text(json.dumps(record) + "\n")
        refused(lambda: plot(tmp_path))

    check()
