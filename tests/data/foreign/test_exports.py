"""Exports are EDM's dataset zips, and come back as the rows they were."""

import io
import json
import os
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from lightning_collapse.data.foreign.exports import export_folder, export_zip
from lightning_collapse.data.sources.images import ImageFolder, ImageZip, Prepared
from lightning_collapse.data.sources.imports import Policy
from lightning_collapse.data.store.manifest import sealed
from lightning_collapse.data.store.shards import StoredRows, write_rows
from lightning_collapse.seeds import generator


def stored(folder, shape=(3, 8, 8), labels=True, n=40):
    """A store of random images, in two shards."""
    random = generator(0, "export")
    rows = torch.randint(0, 256, (n, *shape), generator=random, dtype=torch.uint8)
    tags = torch.arange(n) % 7 if labels else None
    parts = [(rows[:30], None if tags is None else tags[:30])]
    parts.append((rows[30:], None if tags is None else tags[30:]))
    write_rows(folder, parts, dict)
    return StoredRows(folder), rows, tags


def source_of(path, channels):
    policy = Policy(mode="RGB" if channels == 3 else "L")
    return ImageZip(path, policy=policy) if path.is_file() else ImageFolder(path, 8, policy)


@pytest.mark.parametrize("name", ["out.zip", "out"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("labels", [True, False])
def test_rows_and_labels_come_back(tmp_path, name, channels, labels):
    store, rows, tags = stored(tmp_path / "store", (channels, 8, 8), labels)
    export = export_zip if name.endswith(".zip") else export_folder
    export(store, tmp_path / name)
    back, back_tags = source_of(tmp_path / name, channels).read(0)
    assert torch.equal(back, rows)
    assert back_tags is None if tags is None else torch.equal(back_tags, tags)


def test_the_zip_is_laid_out_as_edms(tmp_path):
    store, rows, tags = stored(tmp_path / "store", n=1001)
    export_zip(store, tmp_path / "out.zip")
    with zipfile.ZipFile(tmp_path / "out.zip") as archive:
        infos = archive.infolist()
        names = [info.filename for info in infos]
        assert {info.compress_type for info in infos} == {zipfile.ZIP_STORED}
        assert names[0] == "00000/img00000000.png" and names[999] == "00000/img00000999.png"
        assert names[1000:] == ["00001/img00001000.png", "dataset.json"]
        document = json.loads(archive.read("dataset.json"))
        data = archive.read(names[3])
    assert document == {"labels": [[n, int(t)] for n, t in zip(names, tags, strict=False)]}
    # Uncompressed: deflate's stored blocks, so that reading costs next to nothing.
    assert len(data) > rows[3].numel()
    with Image.open(io.BytesIO(data)) as image:
        assert (image.format, image.mode) == ("PNG", "RGB")
        assert np.array_equal(np.asarray(image), rows[3].permute(1, 2, 0).numpy())


def test_without_labels_they_are_null(tmp_path):
    export_folder(stored(tmp_path / "store", labels=False)[0], tmp_path / "out")
    assert (tmp_path / "out" / "dataset.json").read_text() == '{"labels": null}'


def test_the_same_rows_give_the_same_bytes(tmp_path):
    store, _, _ = stored(tmp_path / "store")
    for name in ("a.zip", "b.zip"):
        export_zip(store, tmp_path / name)
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


@pytest.mark.parametrize(("shape", "dtype"), [((2,), torch.float32), ((4, 8, 8), torch.uint8)])
def test_what_is_no_image_is_refused(tmp_path, shape, dtype):
    write_rows(tmp_path / "store", [(torch.zeros(3, *shape, dtype=dtype), None)], dict)
    for export in (export_zip, export_folder):
        with pytest.raises(ValueError, match="only images of 1 or 3 channels can be exported"):
            export(StoredRows(tmp_path / "store"), tmp_path / "out.zip")
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


@pytest.mark.parametrize("export", [export_zip, export_folder])
def test_an_export_that_fails_leaves_nothing(tmp_path, export):
    store, _, _ = stored(tmp_path / "store")
    shard = tmp_path / "store" / "shard-00001.npy"
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(OSError, match="is damaged"):
        export(store, tmp_path / "out.zip")
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


def test_a_folder_with_files_is_not_written_over(tmp_path):
    store, _, _ = stored(tmp_path / "store")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("kept")
    with pytest.raises(OSError):
        export_folder(store, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.rglob("*"))[:2] == ["manifest.json", "mine"]


# Stores as sources


@pytest.mark.parametrize("labels", [True, False])
def test_a_prepared_store_is_read_as_it_is(tmp_path, labels):
    _, rows, tags = stored(tmp_path / "store", labels=labels)
    back, back_tags = Prepared(tmp_path / "store").read(0)
    assert torch.equal(back, rows)
    assert back_tags is None if tags is None else torch.equal(back_tags, tags)


@pytest.mark.parametrize("links", [True, False])
def test_a_run_keeps_the_rows_of_a_store_that_is_removed(tmp_path, monkeypatch, links):
    store, rows, tags = stored(tmp_path / "store")
    if not links:
        monkeypatch.setattr(os, "link", lambda *paths: (_ for _ in ()).throw(OSError(1, "no")))
    Prepared(tmp_path / "store").keep(tmp_path / "run", 0, {"seed": 0})
    shared = (tmp_path / "store" / "shard-00000.npy").stat().st_nlink
    assert shared == (2 if links else 1)
    for path in (tmp_path / "store").iterdir():
        path.unlink()
    kept = StoredRows(tmp_path / "run")
    assert torch.equal(kept[torch.arange(len(rows))], rows)
    assert torch.equal(kept.labels, tags)
    assert kept.recipe == {"seed": 0, "import": {}}


def test_a_damaged_store_is_not_taken_over(tmp_path):
    stored(tmp_path / "store")
    shard = tmp_path / "store" / "shard-00001.npy"
    data = bytearray(shard.read_bytes())
    data[-1] ^= 1
    shard.write_bytes(data)
    with pytest.raises(ValueError, match=r"shard-00001\.npy: is damaged"):
        Prepared(tmp_path / "store").keep(tmp_path / "run", 0, {})
    assert not (tmp_path / "run" / "manifest.json").exists()


def test_a_manifest_cannot_place_files_elsewhere(tmp_path):
    stored(tmp_path / "store")
    path = tmp_path / "store" / "manifest.json"
    fields = json.loads(path.read_text())
    del fields["sha256"]
    fields["shards"][0]["file"] = "../elsewhere.npy"
    path.write_bytes(sealed(fields))
    with pytest.raises(ValueError, match="must be a shard's name"):
        Prepared(tmp_path / "store").keep(tmp_path / "run", 0, {})


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", "null", '{"recipe": 1, "record": 2, "shape": 3, "dtype": 4}']
)
def test_what_is_no_store_is_refused(tmp_path, text):
    with pytest.raises(FileNotFoundError, match="holds no store") as caught:
        Prepared(tmp_path / "none").check()
    assert str(caught.value).startswith(f"path = {tmp_path / 'none'}: ")
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(ValueError, match="is damaged") as caught:
        Prepared(tmp_path).check()
    assert "\n" not in str(caught.value)


def test_a_shorter_store_in_the_place_of_a_longer_one_is_all_there_is(tmp_path):
    stored(tmp_path)
    write_rows(tmp_path, [(torch.zeros(5, 3, 8, 8, dtype=torch.uint8), None)], dict)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["manifest.json", "shard-00000.npy"]
    assert len(StoredRows(tmp_path)) == 5
