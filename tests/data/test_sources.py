import pickle
import random

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

from lightning_collapse.data.images import CIFAR10, Digits, ImageFolder
from lightning_collapse.data.points import Mixture
from lightning_collapse.data.sources import Source


def picture(width, height, seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


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
        ({"n": 0}, "data.source.n = 0: must be at least 1"),
        ({"variance": 0.0}, "data.source.variance = 0.0: must be a number > 0"),
        ({"variance": float("nan")}, "data.source.variance = nan: must be a number > 0"),
        ({"variance": float("inf")}, "data.source.variance = inf: must be a number > 0"),
        ({"means": ()}, "data.source.means = (): must give every mode as many numbers"),
        ({"means": ((),)}, "data.source.means = ((),): must give every mode as many numbers"),
        ({"means": ((0.0,), (1.0, 2.0))}, "data.source.means = ((0.0,), (1.0, 2.0)): must give"),
    ],
)
def test_mixture_refuses(options, line):
    with pytest.raises(ValueError) as caught:
        Mixture(**options)
    assert one_line(caught).startswith(line)


# A folder of images


def test_images_are_resized_as_pillow_does(tmp_path):
    (tmp_path / "b" / "deep").mkdir(parents=True)
    pictures = {
        "a.png": picture(30, 20),
        "b/c.PNG": picture(16, 16, seed=1),
        "b/deep/d.png": picture(7, 9, seed=2),
    }
    for name, image in pictures.items():
        image.save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("not an image")
    rows, labels = ImageFolder(tmp_path, 16).read(seed=0)
    assert labels is None
    assert rows.shape == (3, 3, 16, 16)
    assert rows.dtype == torch.uint8
    for row, image in zip(rows, pictures.values(), strict=True):
        square = np.array(image.resize((16, 16), Image.Resampling.LANCZOS))
        assert np.array_equal(row.permute(1, 2, 0).numpy(), square)
    assert torch.equal(rows[1], torch.from_numpy(np.array(pictures["b/c.PNG"])).permute(2, 0, 1))


@pytest.mark.parametrize("name", ["a.jpg", "a.JPEG"])
def test_jpegs_are_read(tmp_path, name):
    picture(16, 16).save(tmp_path / name, "JPEG")
    rows, _ = ImageFolder(str(tmp_path), 8).read(seed=0)
    assert rows.shape == (1, 3, 8, 8)


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "1"])
def test_other_than_colour_is_refused_by_name(tmp_path, mode):
    picture(8, 8).save(tmp_path / "a.png")
    picture(8, 8).convert(mode).save(tmp_path / "b.png")
    with pytest.raises(
        ValueError, match=rf"b\.png cannot be used: mode is {mode}, not RGB"
    ) as bad:
        ImageFolder(tmp_path, 8).read(seed=0)
    assert one_line(bad).startswith("data.source.path: ")


@pytest.mark.filterwarnings("ignore:Truncated File Read")
def test_whatever_is_broken_is_refused_by_name(tmp_path):
    """A damaged file gives an image or one line, never another error of Pillow's."""
    path, dice = tmp_path / "a.png", random.Random(0)
    picture(12, 12).save(path)
    whole, refused = path.read_bytes(), 0
    for _ in range(300):
        data = bytearray(whole)
        data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
        path.write_bytes(data)
        try:
            ImageFolder(tmp_path, 8).read(seed=0)
        except ValueError as error:
            refused += 1
            assert str(error).startswith(f"data.source.path: {path} cannot be used: ")
    assert refused > 250


@pytest.mark.parametrize("data", [b"", b"GIF89a", b"not an image"])
def test_what_is_no_image_is_refused_by_name(tmp_path, data):
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(ValueError, match=r"a\.png cannot be used: cannot identify") as caught:
        ImageFolder(tmp_path, 8).read(seed=0)
    one_line(caught)


def test_another_format_behind_a_name_is_not_opened(tmp_path):
    picture(8, 8).save(tmp_path / "a.png", "BMP")
    with pytest.raises(ValueError, match=r"a\.png cannot be used"):
        ImageFolder(tmp_path, 8).read(seed=0)


def test_an_empty_and_a_missing_folder_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no PNG or JPEG image") as caught:
        ImageFolder(tmp_path, 8).read(seed=0)
    assert one_line(caught).startswith(f"data.source.path = {tmp_path}: ")
    source = ImageFolder(tmp_path / "none", 8)
    for read in (source.check, lambda: source.read(0)):
        with pytest.raises(FileNotFoundError, match="no such folder; name the folder") as caught:
            read()
        one_line(caught)


@pytest.mark.parametrize("resolution", [0, -8])
def test_a_square_needs_a_side(tmp_path, resolution):
    line = f"^data.source.resolution = {resolution}: must be at least 1$"
    with pytest.raises(ValueError, match=line):
        ImageFolder(tmp_path, resolution)


# CIFAR-10


def test_cifar_in_a_missing_folder_is_refused(tmp_path):
    source = CIFAR10(tmp_path / "none")
    for read in (source.check, lambda: source.read(0)):
        with pytest.raises(FileNotFoundError, match="download to true") as caught:
            read()
        line = one_line(caught)
        assert line.startswith(f"data.source.root = {tmp_path / 'none'}: has no folder cifar-10")
    CIFAR10(tmp_path / "none", download=True).check()


def test_cifar_that_is_not_whole_is_refused(tmp_path):
    """As an interrupted download leaves it."""
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    (folder / "data_batch_1").write_bytes(pickle.dumps({"data": 0}))
    with pytest.raises(ValueError, match="corrupted") as caught:
        CIFAR10(tmp_path).read(0)
    assert one_line(caught).startswith(f"data.source.root = {tmp_path}: ")


@pytest.mark.parametrize("source", [Digits(), CIFAR10(), Mixture(), ImageFolder("x", 8)])
def test_a_source_is_frozen_and_prints_all_that_made_its_rows(source):
    """The run compares what is printed when it goes on."""
    assert isinstance(source, Source)
    assert all(f"{name}=" in repr(source) for name in vars(source))
    with pytest.raises(AttributeError):
        source.anything = 1
