"""Sets of images as a user has them: colour or gray files, folders or zips, and stores."""

import io
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from lightning_collapse.commands.image_sets import open_set
from lightning_collapse.data.store.shards import write_rows
from lightning_collapse.seeds import generator


def rows(channels, n=5, side=6):
    random = generator(0, "images", channels)
    return torch.randint(256, (n, channels, side, side), dtype=torch.uint8, generator=random)


def pngs(images):
    """Names and bytes of PNG files, as NVIDIA's dataset zips name them."""
    for i, image in enumerate(images):
        file = io.BytesIO()
        Image.fromarray(np.squeeze(image.permute(1, 2, 0).numpy())).save(file, "png")
        yield f"00000/img{i:08d}.png", file.getvalue()


def folder(path, files):
    for name, data in files:
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


def archive(path, files):
    with zipfile.ZipFile(path, "w") as into:
        for name, data in files:
            into.writestr(name, data)
    return path


@pytest.mark.parametrize("channels", [1, 3])
def test_the_same_images_from_a_folder_a_zip_and_a_store(tmp_path, channels):
    images = rows(channels)
    write_rows(tmp_path / "store", [(images, None)], dict)
    for path in (
        folder(tmp_path / "folder", pngs(images)),
        archive(tmp_path / "set.zip", pngs(images)),
        tmp_path / "store",
    ):
        opened = open_set("samples", path)
        assert len(opened) == 5
        assert torch.equal(opened[torch.arange(5)], images)


def cut(images):
    *files, (name, data) = pngs(images)
    return [*files, (name, data[:-20])]


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ([], "holds no image that can be read"),
        ([("a.png", b"<html>")], "a.png"),
        ([("a.png", b"")], "a.png is empty"),
        (list(pngs(rows(3)[:, :, :4])), "the images are 6x4, not square"),
        ([*pngs(rows(3)), ("z.png", next(iter(pngs(rows(1))))[1])], "z.png"),
        ([*pngs(rows(3)), ("z.png", next(iter(pngs(rows(3, side=8))))[1])], "z.png"),
        (cut(rows(3)), "img00000004.png"),
    ],
)
@pytest.mark.parametrize("make", [folder, archive])
def test_refuses_other_sets_and_names_the_file(tmp_path, make, files, says):
    path = tmp_path / "set.zip"
    if make is folder:
        path.mkdir()
    make(path, list(files))
    with pytest.raises(ValueError, match=f"samples = {path}") as refusal:
        open_set("samples", path)
    assert says in str(refusal.value)


def test_names_a_run_and_a_path_that_is_not_there(tmp_path):
    (tmp_path / "pool").mkdir()
    with pytest.raises(ValueError, match="is a run; name one of its rounds"):
        open_set("samples", tmp_path)
    with pytest.raises(FileNotFoundError, match="no such file or folder"):
        open_set("samples", tmp_path / "none")
    (tmp_path / "text.zip").write_text("no zip")
    with pytest.raises(ValueError, match="samples = .*text.zip"):
        open_set("samples", tmp_path / "text.zip")


def test_a_store_of_points_is_a_set_too_but_not_of_images(tmp_path):
    write_rows(tmp_path / "points", [(torch.ones(4, 2), None)], dict)
    assert torch.equal(open_set("samples", tmp_path / "points")[torch.arange(4)], torch.ones(4, 2))
    with pytest.raises(ValueError, match=r"holds points of \(2,\); must be of \(3, 8, 8\)"):
        open_set("reference", tmp_path / "points", (3, 8, 8))


@pytest.mark.parametrize("make", [folder, archive])
def test_a_set_of_another_shape_is_refused_before_all_is_read(tmp_path, make):
    """The rest may be more than memory holds: here it could not be read."""
    path = make(tmp_path / "set.zip", [*pngs(rows(3)), ("z.png", b"")])
    with pytest.raises(ValueError) as refusal:
        open_set("reference", path, (3, 8, 8))
    said = f"reference = {path}: holds images of (3, 6, 6); must be of (3, 8, 8), as the samples"
    assert str(refusal.value).startswith(said)
    write_rows(tmp_path / "store", [(rows(1), None)], dict)
    with pytest.raises(ValueError, match=r"holds images of \(1, 6, 6\); must be of \(3, 6, 6\)"):
        open_set("reference", tmp_path / "store", (3, 6, 6))
