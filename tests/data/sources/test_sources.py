import pickle
import struct

import numpy as np
import pytest
import torch
from hostile import encoded, member, picture, raw_zip, write
from PIL import Image
from sklearn.datasets import load_digits

from lightning_collapse.data.sources.images import (
    CIFAR10,
    Digits,
    FashionMNIST,
    ImageArray,
    ImageFolder,
    ImageParquet,
    ImageZip,
    Prepared,
)
from lightning_collapse.data.sources.imports import Policy
from lightning_collapse.data.sources.points import Mixture
from lightning_collapse.data.sources.source import Source
from lightning_collapse.data.store.shards import StoredRows


def one_line(caught):
    line = str(caught.value)
    assert "\n" not in line
    return line


# Digits


def test_digits_are_those_of_scikit_learn():
    images, labels = Digits().read(seed=0)
    pixels, names = load_digits(return_X_y=True)
    assert images.shape == (1797, 1, 8, 8)
    assert images.dtype == torch.uint8
    assert (int(images.min()), int(images.max())) == (0, 255)
    # 17 gray levels, in equal steps but for rounding.
    back = images.reshape(1797, 64).double() * 16 / 255
    assert (back - torch.from_numpy(pixels)).abs().max() <= 0.5 * 16 / 255
    assert len(images.unique()) == 17
    assert labels.dtype == torch.int64
    assert labels.tolist() == names.tolist()


def test_the_seed_does_not_change_a_published_set():
    assert torch.equal(Digits().read(0)[0], Digits().read(1)[0])


# Mixture


def test_mixture_has_the_moments_it_was_given():
    source = Mixture(n=30_000, means=((-1.0, 0.0, 2.0), (1.0, 0.5, 0.0)), variance=0.04)
    points, labels = source.read(seed=0)
    assert points.shape == (30_000, 3)
    assert points.dtype == torch.float32
    assert labels.dtype == torch.int64
    counts = torch.bincount(labels)
    assert len(counts) == 2
    assert abs(int(counts[0]) - 15_000) < 4 * 0.5 * 30_000**0.5
    for mode, mean in enumerate(source.means):
        mine = points[labels == mode].double()
        assert (mine.mean(0) - torch.tensor(mean)).abs().max() < 4 * (0.04 / len(mine)) ** 0.5
        covariance = torch.cov(mine.T)
        assert (covariance - 0.04 * torch.eye(3)).abs().max() < 4 * 0.04 * (2 / len(mine)) ** 0.5


def test_mixture_is_three_modes_of_the_spread_that_edm_expects():
    points, labels = Mixture().read(seed=0)
    assert points.shape == (2000, 2)
    assert labels.unique().tolist() == [0, 1, 2]
    assert Mixture().variance * 8**2 == 0.5
    assert 0.4 < float(points.std()) < 0.6


def test_mixture_is_keyed_by_the_seed():
    points = [Mixture(n=50).read(seed)[0] for seed in (3, 3, 4)]
    assert torch.equal(points[0], points[1])
    assert not torch.isclose(points[0], points[2]).any()


@pytest.mark.parametrize("means", [[[0], [2]], ((0.0, 1.0), (1, 0)), ((1.0,),)])
def test_means_are_any_lists_of_numbers(means):
    points, _ = Mixture(n=20, means=means).read(seed=0)
    assert points.shape == (20, len(means[0]))
    assert points.dtype == torch.float32


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"n": 0}, "n = 0: must be at least 1"),
        ({"variance": 0.0}, "variance = 0.0: must be a number > 0"),
        ({"variance": float("nan")}, "variance = nan: must be a number > 0"),
        ({"variance": float("inf")}, "variance = inf: must be a number > 0"),
        ({"means": ()}, "means = (): must give every mode as many numbers"),
        ({"means": ((),)}, "means = ((),): must give every mode as many numbers"),
        ({"means": ((0.0,), (1.0, 2.0))}, "means = ((0.0,), (1.0, 2.0)): must give"),
    ],
)
def test_mixture_refuses(options, line):
    with pytest.raises(ValueError) as caught:
        Mixture(**options)
    assert one_line(caught).startswith(line)


# Folders and zips of images. Which images are bad is tested in test_imports.


def packed(path, files):
    path.write_bytes(raw_zip(*(member(name, data) for name, data in files.items())))
    return path


def test_images_are_resized_as_pillow_does(tmp_path):
    pictures = {
        "a.png": picture(30, 20),
        "b/c.PNG": picture(16, 16, seed=1),
        "b/deep/d.jpeg": picture(7, 9, seed=2),
    }
    files = {name: encoded(image) for name, image in pictures.items()}
    write(tmp_path, files | {"notes.txt": b"not an image"})
    rows, labels = ImageFolder(str(tmp_path), 16, Policy(on_bad_image="convert")).read(seed=0)
    assert rows.shape == (3, 3, 16, 16)
    assert rows.dtype == torch.uint8
    assert labels.tolist() == [0, 1, 1]
    for row, image in zip(rows, pictures.values(), strict=True):
        square = np.array(image.resize((16, 16), Image.Resampling.LANCZOS))
        assert np.array_equal(row.permute(1, 2, 0).numpy(), square)
    assert torch.equal(rows[1], torch.from_numpy(np.array(pictures["b/c.PNG"])).permute(2, 0, 1))


@pytest.mark.parametrize("name", ["a.jpg", "a.JPEG"])
def test_jpegs_are_read(tmp_path, name):
    write(tmp_path, {name: encoded(picture(16, 16), "JPEG")})
    rows, labels = ImageFolder(str(tmp_path), 8).read(seed=0)
    assert rows.shape == (1, 3, 8, 8)
    assert labels is None


def test_animals_as_published_have_three_classes(tmp_path):
    kinds = ("cat", "dog", "wild")
    files = {f"train/{k}/{k}_{i}.png": encoded(picture(16, 16, i)) for k in kinds for i in (0, 1)}
    rows, labels = ImageFolder(write(tmp_path, files) / "train", 8).read(seed=0)
    assert labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert torch.equal(rows[:2], rows[2:4])


def test_a_zip_gives_the_rows_of_the_folder_it_was_made_of(tmp_path):
    files = {f"{'ab'[i % 2]}/{i}.png": encoded(picture(16, 16, i)) for i in range(5)}
    folder, archive = write(tmp_path / "set", files), packed(tmp_path / "set.zip", files)
    for resolution in (16, 8):
        rows, labels = ImageFolder(folder, resolution).read(0)
        zipped, zipped_labels = ImageZip(str(archive), resolution).read(0)
        assert torch.equal(rows, zipped) and torch.equal(labels, zipped_labels)
    assert torch.equal(ImageZip(archive).read(0)[0], ImageFolder(folder, 16).read(0)[0])


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_keeping_a_set_is_the_same_as_reading_it_and_says_what_was_done(tmp_path, kind):
    files = {f"{'ab'[i % 2]}/{i}.png": encoded(picture(16, 16, i)) for i in range(5)}
    folder, archive = write(tmp_path / "set", files), packed(tmp_path / "set.zip", files)
    source = ImageFolder(folder, 8) if kind == "folder" else ImageZip(archive, 8)
    source.keep(tmp_path / "store", 0, {"source": "x"})
    rows, labels = source.read(0)
    kept = StoredRows(tmp_path / "store")
    assert torch.equal(kept[torch.arange(5)], rows) and torch.equal(kept.labels, labels)
    assert kept.recipe["source"] == "x"
    done = kept.recipe["import"]
    assert (done["kept"], done["resolution"], done["mode"]) == (5, 8, "RGB")
    assert len(done["sha256"]) == 64


def test_a_bad_set_leaves_no_rows(tmp_path):
    files = {"a.png": encoded(picture(8, 8)), "b.png": b""}
    source = ImageFolder(write(tmp_path / "set", files), 8)
    for read in (lambda: source.keep(tmp_path / "store", 0, {}), lambda: source.read(0)):
        with pytest.raises(ValueError, match=r"1 of 2 images .*: b\.png is empty") as bad:
            read()
        assert one_line(bad).startswith(f"path = {tmp_path / 'set'}: ")
    assert not list(tmp_path.glob("store/*"))


def test_a_hostile_zip_is_refused_by_name(tmp_path):
    archive = packed(tmp_path / "a.zip", {"../a.png": encoded(picture(8, 8))})
    with pytest.raises(ValueError, match="is a name that leaves the archive") as caught:
        ImageZip(archive).read(0)
    assert one_line(caught).startswith(f"path = {archive}: ")


def test_an_empty_and_a_missing_set_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no image that can be read") as caught:
        ImageFolder(tmp_path, 8).read(seed=0)
    assert one_line(caught).startswith(f"path = {tmp_path}: ")
    for kind, source in [
        ("folder; name the folder", ImageFolder(tmp_path / "none", 8)),
        ("file; name the zip", ImageZip(tmp_path / "none")),
    ]:
        for read in (source.check, lambda source=source: source.read(0)):
            with pytest.raises(FileNotFoundError, match=f"no such {kind}") as caught:
                read()
            one_line(caught)


@pytest.mark.parametrize("kind", [ImageFolder, ImageZip])
@pytest.mark.parametrize("resolution", [0, -8])
def test_a_square_needs_a_side(tmp_path, kind, resolution):
    line = f"^resolution = {resolution}: must be at least 1$"
    with pytest.raises(ValueError, match=line):
        kind(tmp_path, resolution)


# Fashion-MNIST


def fashion(root, n=7, cut=None):
    """Writes a small set in the layout that torchvision downloads."""
    raw = root / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(0, 256, (n, 28, 28), dtype=np.uint8)
    labels = np.arange(n, dtype=np.uint8) % 10
    images = struct.pack(">IIII", 2051, n, 28, 28) + pixels.tobytes()
    for part in ("train", "t10k"):
        (raw / f"{part}-images-idx3-ubyte").write_bytes(images[:cut])
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(
            struct.pack(">II", 2049, n) + labels.tobytes()
        )
    return pixels, labels


def test_clothes_are_read_as_torchvision_keeps_them(tmp_path):
    pixels, labels = fashion(tmp_path)
    rows, tags = FashionMNIST(tmp_path).read(0)
    assert rows.dtype == torch.uint8
    assert np.array_equal(rows.numpy(), pixels[:, None])
    assert tags.dtype == torch.int64 and tags.tolist() == labels.tolist()


@pytest.mark.filterwarnings("ignore:The given buffer is not writable")
@pytest.mark.parametrize("cut", [0, 3, 20, 1000, -1])
def test_clothes_that_are_not_whole_are_refused(tmp_path, cut):
    fashion(tmp_path, cut=cut)
    with pytest.raises(ValueError) as caught:
        FashionMNIST(tmp_path).read(0)
    assert one_line(caught).startswith(f"root = {tmp_path}: ")


def test_clothes_in_a_missing_folder_are_refused(tmp_path):
    source = FashionMNIST(tmp_path / "none")
    for read in (source.check, lambda: source.read(0)):
        with pytest.raises(FileNotFoundError, match="download to true") as caught:
            read()
        assert "has no folder FashionMNIST/raw" in one_line(caught)
    FashionMNIST(tmp_path / "none", download=True).check()


# CIFAR-10


def test_cifar_in_a_missing_folder_is_refused(tmp_path):
    source = CIFAR10(tmp_path / "none")
    for read in (source.check, lambda: source.read(0)):
        with pytest.raises(FileNotFoundError, match="download to true") as caught:
            read()
        line = one_line(caught)
        assert line.startswith(f"root = {tmp_path / 'none'}: has no folder cifar-10")
    CIFAR10(tmp_path / "none", download=True).check()


def test_cifar_that_is_not_whole_is_refused(tmp_path):
    """As an interrupted download leaves it."""
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    (folder / "data_batch_1").write_bytes(pickle.dumps({"data": 0}))
    with pytest.raises(ValueError, match="corrupted") as caught:
        CIFAR10(tmp_path).read(0)
    assert one_line(caught).startswith(f"root = {tmp_path}: ")


@pytest.mark.parametrize(
    "source",
    [
        Digits(),
        CIFAR10(),
        FashionMNIST(),
        Mixture(),
        ImageFolder("x", 8),
        ImageFolder("x", 8, follow_links=True),
        ImageZip("x"),
        ImageParquet("x"),
        ImageArray("x"),
        Prepared("x"),
    ],
)
def test_a_source_is_frozen_and_prints_all_that_made_its_rows(source):
    """The run compares what is printed when it goes on; `follow_links` is younger than runs."""
    assert isinstance(source, Source)
    told = {name: value for name, value in vars(source).items() if name != "follow_links" or value}
    assert all(f"{name}=" in repr(source) for name in told)
    with pytest.raises(AttributeError):
        source.anything = 1
