"""A file is an image by what is in it; what systems leave is passed over, the rest is told."""

import json
import zipfile
from contextlib import closing

import pytest
from hostile import encoded, picture, write
from PIL import Image

from lightning_collapse.data.foreign.archives import open_archive
from lightning_collapse.data.foreign.listing import list_images

PNG = encoded(picture(6, 6))
# What macOS, Windows, NAS boxes, phones, editors and version control leave, all with an image in
# it, so that only their names tell.
LEFT = [
    "._a.png",
    "__MACOSX/set/._a.png",
    "__MACOSX/set/a.png",
    ".DS_Store",
    "sub/.DS_Store",
    "Thumbs.db",
    "sub/thumbs.DB",
    "ehthumbs.db",
    "desktop.ini",
    "Icon\r",
    "$RECYCLE.BIN/a.png",
    "System Volume Information/a.png",
    "@eaDir/a.jpg/SYNOPHOTO_THUMB_M.jpg",
    "#recycle/a.png",
    ".@__thumb/a.png",
    ".thumbnails/a.jpg",
    ".trashed-1700000000-a.jpg",
    ".ipynb_checkpoints/a-checkpoint.png",
    ".git/objects/ab",
    ".cache/huggingface/a.png",
    ".gitattributes",
    ".nomedia",
    "Picasa.ini",
    "lost+found/a",
]
FTYP = b"\0\0\0\x18ftyp"
FOREIGN = {
    "IMG_1.HEIC": (FTYP + b"heic" + bytes(20), "is HEIC"),
    "renamed.jpg": (FTYP + b"mif1" + bytes(20), "is HEIC"),
    "a.jp2": (encoded(picture(), "JPEG2000"), "is JPEG 2000"),
    "no_suffix": (encoded(picture(), "JPEG2000"), "is JPEG 2000"),
    "a.jxl": (b"\xff\x0a" + bytes(20), "is JXL"),
    "b.bin": (b"\0\0\0\x0cJXL \r\n\x87\n", "is JPEG XL"),
    "a.tga": (encoded(picture(), "TGA"), "is TGA"),
    "a.psd": (b"8BPS" + bytes(40), "is a Photoshop file"),
    "a.svg": (b"<svg/>", "is SVG"),
    "a.nef": (b"nothing", "is NEF"),
}


def made(tmp_path, files, packed=False):
    """Opens a folder, or a zip, of files."""
    if packed:
        with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
            for name, data in files.items():
                archive.writestr(name, data)
        return open_archive(tmp_path / "set.zip")
    return open_archive(write(tmp_path / "set", files))


@pytest.mark.parametrize("packed", [False, True], ids=["folder", "zip"])
def test_what_systems_leave_is_passed_over(tmp_path, packed):
    with closing(made(tmp_path, {"set/a.png": PNG} | dict.fromkeys(LEFT, PNG), packed)) as archive:
        found = list_images(archive)
    assert list(found.images) == ["set/a.png"]
    assert (found.hidden, found.ignored, found.bad) == (len(LEFT), {}, {})


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "AVIF", "BMP", "GIF", "TIFF", "PPM"])
def test_an_image_is_one_whatever_it_is_called(tmp_path, kind):
    names = ["a", "b.part", "c.png.crdownload", "d.txt", "e.JPG", "f.png~", "g (1).bak", "h.heic"]
    found = list_images(made(tmp_path, dict.fromkeys(names, encoded(picture(6, 6), kind))))
    assert list(found.images) == sorted(names) and set(found.looks) == set(names)
    assert {look.size for look in found.looks.values()} == {(6, 6)}


def test_images_that_cannot_be_read_are_named(tmp_path):
    found = list_images(made(tmp_path, {name: data for name, (data, _) in FOREIGN.items()}))
    assert not found.images and not found.ignored
    for name, (_, says) in FOREIGN.items():
        assert found.bad[name] == f"{says}, which cannot be read; save it as PNG"


def test_what_is_called_an_image_but_is_none_is_read_and_told_there(tmp_path):
    files = {"a.png": b"", "b.jpg": b"<html>", "c.webp": PNG[:20], "d": PNG[:20]}
    found = list_images(made(tmp_path, files))
    assert list(found.images) == list(files) and not found.looks


def test_other_files_are_counted_by_kind(tmp_path):
    files = {"a.txt": b"BM is no bitmap", "b/c.TXT": b"P5 is no map", "d.csv": b"", "README": b"x"}
    files |= {"movie.mov": FTYP + b"qt  ", "x.\x1b[2J": b"x", "dataset.json": b"{}"}
    found = list_images(made(tmp_path, files))
    assert not found.images and not found.bad
    assert found.told_ignored() == "2 .txt, 1 '.\\x1b[2j', 1 .csv, 1 .mov, 1 without a suffix"
    many = list_images(made(tmp_path / "many", {f"a.{i:03d}": b"x" for i in range(50)}))
    assert many.told_ignored().endswith("1 .007, 42 of other kinds")


def test_prepare_tells_what_it_leaves_out(tmp_path, cli):
    made(tmp_path, {"a.png": PNG, "b.jpg": PNG, "c.txt": b"x", ".DS_Store": b"x"})
    status, out, _ = cli("prepare", tmp_path / "set", tmp_path / "st")
    assert status == 0 and {"images: 2", "ignored: 1 .txt"} <= set(out.splitlines())
    status, _, err = cli("evaluate", tmp_path / "set", "--reference", tmp_path / "set", "--n", "3")
    assert status == 2 and err.startswith(f"{tmp_path / 'set'}: ignored: 1 .txt\n")


@pytest.mark.parametrize("first", ["gray", "small"])
def test_evaluate_goes_by_most_images_and_not_by_the_first(tmp_path, cli, first):
    odd = picture(6, 6).convert("L") if first == "gray" else picture(5, 5)
    files = {f"{i}.png": encoded(picture(6, 6, i)) for i in range(1, 5)}
    made(tmp_path, {"0.png": encoded(odd)} | files)
    folder = tmp_path / "set"
    status, _, err = cli("evaluate", folder, "--reference", folder, "--features", "pixels")
    told = "mode is L, not RGB" if first == "gray" else "size is 5x5, not 6x6"
    assert status == 2 and f"1 of 5 images cannot be used: 0.png {told}; " in err
    # What it advises works.
    status, _, err = cli("prepare", folder, tmp_path / "STORE", "--on-bad-image", "skip")
    assert (status, err) == (0, "")
    words = [tmp_path / "STORE", "--reference", tmp_path / "STORE", "--features", "pixels"]
    assert cli("evaluate", *words)[0] == 0


def test_a_set_of_nothing_but_hidden_files_says_so(tmp_path, cli):
    made(tmp_path, {".a.png": PNG, "x.csv": b"1"})
    status, _, err = cli("prepare", tmp_path / "set", tmp_path / "st")
    assert status == 2
    assert err.endswith("set: holds no image that can be read, but 1 .csv, 1 hidden\n")


def test_a_camera_raw_files_thumbnail_is_not_taken_for_the_image(tmp_path):
    thumbnail = Image.new("RGB", (6, 6))
    files = {
        "a.tif": encoded(thumbnail, "TIFF", tiffinfo={50706: b"\1\4\0\0"}),
        "b.tif": encoded(thumbnail, "TIFF", tiffinfo={254: 1}),
        "dataset.json": json.dumps({"labels": None}).encode(),
    }
    assert not list_images(made(tmp_path, files)).looks
