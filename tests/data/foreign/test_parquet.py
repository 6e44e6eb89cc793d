"""Parquet files of images, as the Hugging Face Hub keeps data sets such as AFHQ-v2.

Without pyarrow a stand-in of the few calls that are made takes its place, which reads a JSON file;
the file's own format is then not tested.
"""

import base64
import json
import sys
from dataclasses import dataclass
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from hostile import encoded, picture
from PIL import Image

from lightning_collapse.data.foreign.decoding import decode, resize
from lightning_collapse.data.sources.images import ImageParquet
from lightning_collapse.data.store.shards import StoredRows

IMAGES = [encoded(picture(8, 8, i), "JPEG" if i % 2 else "PNG") for i in range(10)]
LABELS = [i % 3 for i in range(10)]
HUB = {"info": {"features": {"label": {"names": ["cat", "dog", "wild"], "_type": "ClassLabel"}}}}
HUB_KIND = "struct<bytes: binary, path: string>"


@dataclass(frozen=True)
class Column:
    type: str


class StandIn:
    """What is used of `pyarrow.parquet.ParquetFile`."""

    opened = 0

    def __init__(self, path):
        StandIn.opened += 1
        text = path.read_bytes()[4:]
        about = json.loads(text)
        self._columns, self._sizes = about["columns"], about["groups"]
        kinds = about["kinds"]
        self.schema_arrow = SimpleNamespace(
            names=list(kinds),
            field=lambda name: Column(kinds[name]),
            metadata={key.encode(): value.encode() for key, value in about["metadata"].items()},
        )
        groups = [SimpleNamespace(num_rows=n, total_byte_size=about["bytes"]) for n in self._sizes]
        self.metadata = SimpleNamespace(
            num_rows=sum(self._sizes), num_row_groups=len(groups), row_group=lambda i: groups[i]
        )

    def read(self, columns):
        values = {name: SimpleNamespace(to_pylist=lambda v=v: v) for name, v in self._of(columns)}
        return SimpleNamespace(column=values.get)

    def iter_batches(self, batch_size, row_groups, columns):
        ((_, values),) = self._of(columns)
        for group in row_groups:
            start, stop = sum(self._sizes[:group]), sum(self._sizes[: group + 1])
            for first in range(start, stop, batch_size):
                part = values[first : min(stop, first + batch_size)]
                yield SimpleNamespace(
                    column=lambda i, part=part: SimpleNamespace(
                        to_pylist=lambda: list(map(unpacked, part))
                    )
                )

    def _of(self, columns):
        return [(name, self._columns[name]) for name in columns]


def unpacked(value):
    if isinstance(value, dict):
        data = value["bytes"]
        return value | {"bytes": None if data is None else base64.b64decode(data)}
    return base64.b64decode(value)


def write_stand_in(path, images, labels, metadata, group):
    def packed(value):
        data = value["bytes"] if isinstance(value, dict) else value
        text = None if data is None else base64.b64encode(data).decode()
        return value | {"bytes": text} if isinstance(value, dict) else text

    kinds = {"image": HUB_KIND if isinstance(images[0], dict) else "binary"}
    columns = {"image": list(map(packed, images))}
    if labels is not None:
        kinds, columns = {"label": "int64"} | kinds, columns | {"label": labels}
    groups = [min(group, len(images) - i) for i in range(0, len(images), group)]
    about = {"kinds": kinds, "columns": columns, "metadata": metadata, "groups": groups}
    path.write_bytes(b"PAR1" + json.dumps(about | {"bytes": 1}).encode())


def write_real(path, images, labels, metadata, group):
    import pyarrow as pa
    from pyarrow import parquet

    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    columns = {"image": pa.array(images, kind if isinstance(images[0], dict) else pa.binary())}
    if labels is not None:
        columns = {"label": pa.array(labels, pa.int64())} | columns
    table = pa.table(columns).replace_schema_metadata(metadata)
    parquet.write_table(table, path, row_group_size=group)


@pytest.fixture(params=["pyarrow", "stand-in"])
def write(request, monkeypatch):
    """Writes a parquet file of images, as the Hub has them or as plain bytes."""
    if request.param == "pyarrow":
        pytest.importorskip("pyarrow")
    else:
        module = ModuleType("pyarrow.parquet")
        module.ParquetFile = StandIn
        monkeypatch.setitem(sys.modules, "pyarrow", ModuleType("pyarrow"))
        monkeypatch.setitem(sys.modules, "pyarrow.parquet", module)
    by = write_real if request.param == "pyarrow" else write_stand_in

    def write(path, images=IMAGES, labels=LABELS, plain=False, names=HUB, group=4):
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = images if plain else [{"bytes": image, "path": "x.jpg"} for image in images]
        by(path, rows, labels, {"huggingface": json.dumps(names)}, group)
        return path

    return write


@pytest.mark.parametrize("plain", [False, True], ids=["struct", "bytes"])
@pytest.mark.parametrize("group", [1, 4, 100])
def test_rows_and_labels_are_those_of_the_files(write, tmp_path, plain, group):
    (tmp_path / "set").mkdir()
    for i, image in enumerate(IMAGES):
        (tmp_path / "set" / f"{i}").write_bytes(image)
    write(tmp_path / "data" / "train-0.parquet", IMAGES[:6], LABELS[:6], plain, group=group)
    write(tmp_path / "data" / "train-1.parquet", IMAGES[6:], LABELS[6:], plain, group=group)
    (tmp_path / "README.md").write_text("of the Hub")
    rows, labels = ImageParquet(tmp_path / "data", 4).read(0)
    assert torch.equal(rows, whole(IMAGES, 4)) and labels.tolist() == LABELS


def whole(images, side):
    return torch.from_numpy(np.stack([resize(decode(image), side) for image in images]))


def test_a_folder_of_the_hub_is_prepared(write, tmp_path, cli):
    folder = tmp_path / "afhqv2"
    write(folder / "data" / "train-00000-of-00001.parquet")
    (folder / "README.md").write_text("---")
    (folder / ".gitattributes").write_text("*")
    for source in (folder, folder / "data" / "train-00000-of-00001.parquet"):
        out = tmp_path / source.name
        status, said, err = cli("prepare", source, tmp_path / "st" / out.name)
        assert (status, err) == (0, "") and "classes: cat, dog, wild" in said.splitlines()
        stored = StoredRows(tmp_path / "st" / out.name)
        assert stored.labels.tolist() == LABELS
        assert torch.equal(stored[torch.arange(10)], whole(IMAGES, 8))


def test_bad_images_are_named_by_file_and_row(write, tmp_path, cli):
    gray = encoded(Image.new("L", (8, 8)))
    write(tmp_path / "a.parquet", [*IMAGES[:3], gray, b"<html>", None], [0, 1, 2, 0, 1, None])
    status, out, err = cli("prepare", tmp_path / "a.parquet", tmp_path / "st")
    assert status == 2 and "3 of 6 images cannot be used" in err
    assert [line.split(maxsplit=1) for line in out.splitlines()] == [
        ["a/00000003", "mode is L, not RGB"],
        ["a/00000004", "is no image that can be read"],
        ["a/00000005", "is empty"],
    ]
    words = ["prepare", tmp_path / "a.parquet", tmp_path / "st", "--on-bad-image", "skip"]
    status, out, _ = cli(*words)
    assert status == 0
    assert "no classes: the label column labels 5 of 6 images, a/00000005 is the first" in out


@pytest.mark.parametrize("labels", [None, [-1] * 10])
def test_a_set_may_have_no_labels(write, tmp_path, labels):
    write(tmp_path / "a.parquet", labels=labels, names={"info": None})
    assert ImageParquet(tmp_path / "a.parquet").read(0)[1] is None


def test_several_splits_are_refused_by_name(write, tmp_path):
    for split in ("train", "test"):
        write(tmp_path / "data" / f"{split}-00000-of-00001.parquet")
    with pytest.raises(ValueError, match="holds the splits test, train; put the files of one"):
        ImageParquet(tmp_path).read(0)


def test_a_cut_file_is_refused_in_one_line(write, tmp_path):
    path = write(tmp_path / "a.parquet")
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match="a.parquet: cannot be read as parquet") as caught:
        ImageParquet(path).read(0)
    assert "\n" not in str(caught.value)


def test_without_pyarrow_one_line_says_what_to_install(tmp_path, monkeypatch, cli):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    (tmp_path / "a.parquet").write_bytes(b"PAR1 and more")
    for path in (tmp_path, tmp_path / "a.parquet"):
        status, _, err = cli("prepare", path, tmp_path / "out" / "st")
        assert status == 2 and err.endswith(
            "is parquet, which pyarrow reads; pip install pyarrow\n"
        )
        assert err.count("\n") == 1
