"""CIFAR-10 and Fashion-MNIST, in small, where torchvision keeps and downloads them."""

import gzip
import hashlib
import pickle
import struct
import tarfile
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import datasets

from lightning_collapse.data.sources.images import CIFAR10, FashionMNIST
from lightning_collapse.data.sources.published import find_set
from lightning_collapse.data.store.shards import StoredRows

N = 12
PARTS = [f"data_batch_{i}" for i in range(1, 6)]


def md5(path):
    return hashlib.md5(path.read_bytes()).hexdigest()


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def urlopen(*arguments, **options):
        raise URLError("no route to host")

    monkeypatch.setattr("urllib.request.urlopen", urlopen)


@pytest.fixture
def cifar(tmp_path, monkeypatch):
    """The set in its folder and as the file that is published; torchvision takes it for whole."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "local" / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    for name in [*PARTS, "test_batch"]:
        pixels = rng.integers(0, 256, (N, 3072), dtype=np.uint8)
        content = {"data": pixels, "labels": [int(v) for v in rng.integers(0, 10, N)]}
        (folder / name).write_bytes(pickle.dumps(content))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": list("abcdefghij")}))
    archive = tmp_path / "packed" / "cifar-10-python.tar.gz"
    archive.parent.mkdir()
    with tarfile.open(archive, "w:gz") as into:
        into.add(folder, folder.name)
    published = datasets.CIFAR10
    lists = [[name, md5(folder / name)] for name in [*PARTS, "test_batch"]]
    meta = {"filename": "batches.meta", "key": "label_names", "md5": md5(folder / "batches.meta")}
    for name, value in {
        "train_list": lists[:5],
        "test_list": lists[5:],
        "meta": meta,
        "tgz_md5": md5(archive),
    }.items():
        monkeypatch.setattr(published, name, value)
    batches = [pickle.loads((folder / name).read_bytes()) for name in PARTS]
    pixels = np.concatenate([batch["data"] for batch in batches]).reshape(-1, 3, 32, 32)
    return tmp_path, pixels, [label for batch in batches for label in batch["labels"]]


@pytest.fixture
def fashion(tmp_path, monkeypatch):
    """The same for Fashion-MNIST."""
    local, packed = (tmp_path / kind / "FashionMNIST" / "raw" for kind in ("local", "packed"))
    local.mkdir(parents=True)
    packed.mkdir(parents=True)
    pixels = np.random.default_rng(1).integers(0, 256, (N, 28, 28), dtype=np.uint8)
    for part in ("train", "t10k"):
        for name, content in {
            f"{part}-images-idx3-ubyte": struct.pack(">IIII", 2051, N, 28, 28) + pixels.tobytes(),
            f"{part}-labels-idx1-ubyte": struct.pack(">II", 2049, N)
            + bytes(i % 10 for i in range(N)),
        }.items():
            (local / name).write_bytes(content)
            (packed / f"{name}.gz").write_bytes(gzip.compress(content))
    files = [(path.name, md5(path)) for path in sorted(packed.iterdir())]
    monkeypatch.setattr(datasets.FashionMNIST, "resources", files)
    return tmp_path, pixels[:, None], [i % 10 for i in range(N)]


@pytest.fixture(params=["cifar", "fashion"])
def published(request):
    path, pixels, labels = request.getfixturevalue(request.param)
    return {"cifar": CIFAR10, "fashion": FashionMNIST}[request.param], path, pixels, labels


@pytest.fixture
def prepare(cli):
    return lambda *words: cli("prepare", *words)


def squares(pixels, side):
    images = [Image.fromarray(np.squeeze(row.transpose(1, 2, 0))) for row in pixels]
    resized = [np.array(i.resize((side, side), Image.Resampling.LANCZOS)) for i in images]
    return np.stack(resized).reshape(len(pixels), side, side, -1).transpose(0, 3, 1, 2)


@pytest.mark.parametrize("kind", ["local", "packed"])
def test_a_local_copy_is_read_without_a_network(published, kind):
    source, path, pixels, labels = published
    rows, tags = source(path / kind, download=kind == "packed").read(0)
    assert np.array_equal(rows.numpy(), pixels) and tags.tolist() == labels


@pytest.mark.parametrize("side", [None, 20])
def test_a_folder_of_theirs_is_prepared_like_any_set(published, prepare, tmp_path, side):
    source, path, pixels, labels = published
    size = [] if side is None else ["--resolution", side]
    status, out, err = prepare(path / "local", tmp_path / "st", *size)
    assert (status, err) == (0, "")
    stored = StoredRows(tmp_path / "st")
    rows = stored[torch.arange(len(stored))].numpy()
    assert np.array_equal(rows, pixels if side is None else squares(pixels, side))
    assert stored.labels.tolist() == labels
    done = stored.recipe["import"]
    assert (done["set"], done["sha256"]) == (source.__name__, hashlib.sha256(pixels).hexdigest())
    assert f"kept: {len(labels)}" in out and "classes: 10" in out


@pytest.mark.parametrize("declared", [("--mode", {3: "L", 1: "RGB"}), ("--size", "[9, 9]")])
def test_what_is_declared_must_be_so(published, prepare, tmp_path, declared):
    _, path, pixels, _ = published
    option, value = declared
    value = value[pixels.shape[1]] if isinstance(value, dict) else value
    status, out, err = prepare(path / "local", tmp_path / "st", option, value)
    assert (status, out) == (2, "") and err.count("\n") == 1
    assert err.startswith(f"error: source = {path / 'local'}: all images have mode ")
    assert not (tmp_path / "st").exists()


def test_a_name_downloads_and_a_folder_of_that_name_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_set(Path("cifar10")) == CIFAR10(download=True)
    assert find_set(Path("fashion-mnist")) == FashionMNIST(download=True)
    assert find_set(Path("data")) is None
    (tmp_path / "cifar10").mkdir()
    assert find_set(Path("cifar10")) is None


@pytest.mark.parametrize(
    ("name", "files"), [("cifar10", "cifar-10-python.tar.gz"), ("fashion-mnist", "four .gz files")]
)
def test_without_a_network_one_line_tells_where_to_put_the_files(
    tmp_path, monkeypatch, prepare, name, files
):
    monkeypatch.chdir(tmp_path)
    status, out, err = prepare(name, tmp_path / "st")
    assert status == 2 and err.count("\n") == 1
    assert err.startswith("error: source = data") and "no route to host" in err and files in err
    assert not (tmp_path / "st").exists()
