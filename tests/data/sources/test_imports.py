"""Every image of a set is judged, and all that is wrong is told at once."""

import csv
import hashlib
import io
import os

import numpy as np
import pytest
import torch
from hostile import encoded, picture, raw_png, raw_zip, write
from hostile import member as zip_member
from PIL import Image

from lightning_collapse.data.foreign.archives import open_archive
from lightning_collapse.data.sources.imports import (
    BadImage,
    BadImagesError,
    ImageImport,
    Policy,
    write_table,
)

GOOD = {f"{kind}/{i}.png": encoded(picture(16, 16, i)) for i, kind in enumerate("aabbc")}
WHOLE = encoded(picture(16, 16, 9))

# Name, bytes, what is told, whether the image is there but in another mode or size.
BAD = {
    "gray.png": (encoded(picture(16, 16).convert("L")), "mode is L, not RGB", True),
    "alpha.png": (encoded(picture(16, 16).convert("RGBA")), "mode is RGBA, not RGB", True),
    "palette.png": (encoded(picture(16, 16).convert("P")), "mode is P, not RGB", True),
    "bits.png": (encoded(picture(16, 16).convert("1")), "mode is 1, not RGB", True),
    "cmyk.jpg": (encoded(picture(16, 16).convert("CMYK"), "JPEG"), "mode is CMYK, not RGB", True),
    "deep.png": (
        raw_png(16, 16, bits=16, pixels=b"".join(b"\0" + bytes(96) for _ in range(16))),
        "mode is RGB of 16 bits, not RGB",
        True,
    ),
    "deepgray.png": (
        encoded(Image.fromarray(np.zeros((16, 16), np.uint16))),
        "mode is I;16 of 16 bits, not RGB",
        True,
    ),
    "clear.png": (
        encoded(picture(16, 16), transparency=(1, 2, 3)),
        "mode is RGB with transparency, not RGB",
        True,
    ),
    "small.png": (encoded(picture(15, 16)), "size is 15x16, not 16x16", True),
    "both.png": (
        encoded(picture(9, 9).convert("L")),
        "mode is L, not RGB, size is 9x9, not 16x16",
        True,
    ),
    "cut.png": (WHOLE[: len(WHOLE) // 2], "is damaged: ", False),
    "cut.jpg": (encoded(picture(16, 16), "JPEG")[:-40], "is damaged: ", False),
    "endless.png": (WHOLE[:-12], "is damaged: its end is missing", False),
    "empty.png": (b"", "is empty", False),
    "page.jpg": (b"<!DOCTYPE html><title>404</title>", "is no image that can be read", False),
    "raw.png": (encoded(picture(16, 16), "JPEG2000"), "is JPEG 2000, which cannot be", False),
    "bomb.png": (raw_png(30_000, 30_000), "has more than 67108864 pixels", False),
    "scan.tga": (encoded(picture(16, 16), "TGA"), "is TGA, which cannot be read", False),
    "still.GIF": (encoded(picture(16, 16), "GIF"), "mode is P, not RGB", True),
}
ALL_BAD = {f"x{i:02d}/{name}": data for i, (name, (data, _, _)) in enumerate(BAD.items())}


def imported(path, resolution=8, **policy):
    """Imports a set; gives its rows, its labels and what was done."""
    archive = open_archive(path)
    images = ImageImport(archive, resolution, Policy(**policy))
    try:
        parts = list(images.parts())
    finally:
        archive.close()
    labels = None if parts[0][1] is None else torch.cat([part[1] for part in parts])
    return torch.cat([part[0] for part in parts]), labels, images


def refused(path, **policy):
    with pytest.raises(BadImagesError) as caught:
        imported(path, **policy)
    assert "\n" not in str(caught.value)
    return caught.value


def lanczos(data, side=8, mode="RGB"):
    with Image.open(io.BytesIO(data)) as image:
        square = image.convert(mode).resize((side, side), Image.Resampling.LANCZOS)
    return torch.from_numpy(np.array(square)).reshape(side, side, -1).permute(2, 0, 1)


def test_rows_are_in_the_order_of_names_and_resized_as_pillow_does(tmp_path):
    rows, labels, images = imported(write(tmp_path, GOOD))
    assert torch.equal(rows, torch.stack([lanczos(data) for data in GOOD.values()]))
    assert labels.tolist() == [0, 0, 1, 1, 2] and images.classes == ["a", "b", "c"]
    assert images.bad == []


@pytest.mark.parametrize("name", BAD)
def test_every_kind_of_bad_image_refuses_the_set(tmp_path, name):
    data, what, convertible = BAD[name]
    error = refused(write(tmp_path, GOOD | {name: data}))
    (bad,) = error.bad
    assert bad.name == name and bad.what.startswith(what) and bad.convertible == convertible
    line = str(error)
    assert line.startswith(f"{tmp_path}: 1 of 6 images cannot be used: {name} {what}")


@pytest.mark.parametrize("packed", [False, True])
def test_the_table_has_all_offenders(tmp_path, packed):
    """Also those beyond what one line can hold, and from a zip the same ones."""
    many = {f"y/{i:03d}.png": b"" for i in range(30)}
    path = write(tmp_path / "set", GOOD | ALL_BAD | many)
    if packed:
        members = (zip_member(name, data) for name, data in (GOOD | ALL_BAD | many).items())
        path = tmp_path / "set.zip"
        path.write_bytes(raw_zip(*members))
    error = refused(path)
    assert {bad.name for bad in error.bad} == {*ALL_BAD, *many}
    assert f"{len(BAD) + 30} of {len(BAD) + 35} images" in str(error)
    assert f"and {len(BAD) + 10} more" in str(error)


def test_links_in_a_folder_refuse_the_set(tmp_path):
    write(tmp_path / "set", GOOD)
    (tmp_path / "set" / "link.png").symlink_to(tmp_path / "set" / "a" / "0.png")
    os.mkfifo(tmp_path / "set" / "pipe.png")
    told = {bad.name: bad.what for bad in refused(tmp_path / "set").bad}
    assert told == {"link.png": "is a symbolic link", "pipe.png": "is not a regular file"}
    rows, _, images = imported(tmp_path / "set", on_bad_image="skip")
    assert len(rows) == 5 and images.recipe()["skipped"] == 2


def test_converting_is_counted_and_keeps_what_can_be_decoded(tmp_path):
    convertible = {name: data for name, data in ALL_BAD.items() if BAD[name.partition("/")[2]][2]}
    path = write(tmp_path, GOOD | convertible)
    rows, labels, images = imported(path, on_bad_image="convert")
    assert len(rows) == len(GOOD) + len(convertible) == len(labels)
    at = sorted(GOOD | convertible).index("x00/gray.png")
    assert torch.equal(rows[at], lanczos(convertible["x00/gray.png"]))
    done = images.recipe()
    assert (done["converted"], done["skipped"]) == (len(convertible), 0)
    assert done["kept"] == done["images"] == len(rows)
    undecodable = {name for name in ALL_BAD if name not in convertible}
    error = refused(write(tmp_path, ALL_BAD), on_bad_image="convert")
    assert {bad.name for bad in error.bad} == undecodable


def test_skipping_is_counted_and_leaves_the_others_as_they_were(tmp_path):
    rows, labels, _ = imported(write(tmp_path, GOOD))
    left, left_labels, images = imported(write(tmp_path, ALL_BAD), on_bad_image="skip")
    assert torch.equal(left, rows)
    # Classes are those of all images, so that they do not depend on which are bad.
    assert left_labels.tolist() == labels.tolist()
    done = images.recipe()
    assert (done["skipped"], done["kept"]) == (len(BAD), len(GOOD))
    assert (done["converted"], done["images"]) == (0, len(BAD) + len(GOOD))


def test_a_set_of_bad_images_alone_is_refused_even_if_they_are_skipped(tmp_path):
    with pytest.raises(ValueError, match=rf"no image is left: all {len(BAD)} are bad"):
        imported(write(tmp_path, ALL_BAD), on_bad_image="skip")


def test_a_gray_set_is_declared(tmp_path):
    gray = {name: encoded(picture(16, 16, i).convert("L")) for i, name in enumerate(GOOD)}
    write(tmp_path, gray)
    rows, _, _ = imported(tmp_path, mode="L")
    assert torch.equal(rows, torch.stack([lanczos(data, mode="L") for data in gray.values()]))
    assert len(refused(tmp_path).bad) == 5
    write(tmp_path, {"a/0.png": GOOD["a/0.png"]})
    assert [bad.what for bad in refused(tmp_path, mode="L").bad] == ["mode is RGB, not L"]


def test_the_size_is_that_of_most_images_or_declared(tmp_path):
    write(tmp_path, GOOD | {"a/0.png": encoded(picture(20, 10)), "0.png": b"", "1.png": b""})
    bad = {bad.name: bad.what for bad in refused(tmp_path).bad}
    assert bad["a/0.png"] == "size is 20x10, not 16x16" and len(bad) == 3
    bad = {bad.name: bad.what for bad in refused(tmp_path, size=(20, 10)).bad}
    assert bad["b/3.png"] == "size is 16x16, not 20x10" and len(bad) == 6


def test_other_files_are_counted_but_not_what_systems_leave(tmp_path):
    rest = {"readme.txt": b"", "a/.DS_Store": b"", ".git/x.png": b"", "__MACOSX/a/._0.png": b""}
    write(tmp_path, GOOD | rest | {"dataset.json": b"{}"})
    rows, labels, images = imported(tmp_path)
    assert len(rows) == 5 and labels is None
    assert images.recipe()["ignored_files"] == 4


def test_without_a_resolution_images_stay_as_they_are(tmp_path):
    rows, _, images = imported(write(tmp_path, GOOD), resolution=None)
    expected = [np.array(picture(16, 16, i)).transpose(2, 0, 1) for i in range(5)]
    assert np.array_equal(rows.numpy(), np.stack(expected))
    assert images.recipe()["resolution"] == 16
    wide = write(tmp_path / "wide", {"a.png": encoded(picture(16, 8))})
    with pytest.raises(ValueError, match="the images are 16x8, not square; set a resolution"):
        imported(wide, resolution=None)


def test_a_set_needs_an_image(tmp_path):
    write(tmp_path, {"readme.txt": b"", ".hidden.png": WHOLE})
    with pytest.raises(FileNotFoundError, match="holds no image that can be read"):
        imported(tmp_path)


def test_the_hash_is_of_names_and_bytes_wherever_they_lie(tmp_path):
    hashes = []
    for name, files in [("one", GOOD), ("other", GOOD | {"a/0.png": WHOLE})]:
        hashes.append(imported(write(tmp_path / name, files))[2].recipe()["sha256"])
    (tmp_path / "one.zip").write_bytes(raw_zip(*(zip_member(n, d) for n, d in GOOD.items())))
    packed = imported(tmp_path / "one.zip")[2].recipe()["sha256"]
    said = hashlib.sha256(b"".join(f"{n}\0{len(d)}\0".encode() + d for n, d in GOOD.items()))
    assert packed == hashes[0] == said.hexdigest() != hashes[1]


def test_parts_are_shards_in_order(tmp_path, monkeypatch):
    whole, labels, _ = imported(write(tmp_path, GOOD))
    monkeypatch.setattr("lightning_collapse.data.sources.imports.MAX_SHARD_ROWS", 2)
    with_archive = ImageImport(open_archive(tmp_path), 8, Policy())
    parts = list(with_archive.parts())
    assert [len(rows) for rows, _ in parts] == [2, 2, 1]
    assert torch.equal(torch.cat([rows for rows, _ in parts]), whole)
    assert torch.equal(torch.cat([tags for _, tags in parts]), labels)


def test_names_that_a_terminal_would_obey_are_escaped(tmp_path):
    write(tmp_path, GOOD | {"\x1b[2Jx\n.png": b""})
    line = str(refused(tmp_path))
    assert "'\\x1b[2Jx\\n.png' is empty" in line


def test_the_table_is_csv(tmp_path):
    bad = [BadImage('a,"b"\n.png', "is empty"), BadImage("\udcff.png", "is, well, empty")]
    write_table(tmp_path / "t.csv", bad)
    with open(tmp_path / "t.csv", newline="") as file:
        lines = list(csv.reader(file))
    assert lines == [
        ["file", "what is wrong"],
        ['a,"b"\n.png', "is empty"],
        ["\\udcff.png", "is, well, empty"],
    ]
