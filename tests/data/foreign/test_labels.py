"""Classes are NVIDIA's: of dataset.json, or else the numbers of sorted top folders."""

import json

import pytest
from hostile import write

from lightning_collapse.data.foreign.archives import Folder
from lightning_collapse.data.foreign.labels import LABELS_FILE, folder_classes, read_labels


def labels(folder, text, images=("a.png", "b.png")):
    """The labels that a dataset.json of this text gives."""
    data = text if isinstance(text, bytes) else text.encode()
    (folder / LABELS_FILE).write_bytes(data)
    return read_labels(Folder(folder), images).of


def refused(folder, text):
    with pytest.raises(ValueError) as caught:
        labels(folder, text)
    line = str(caught.value)
    assert line.startswith(f"{folder}: dataset.json ") and "\n" not in line
    return line.removeprefix(f"{folder}: dataset.json ")


@pytest.mark.parametrize(
    ("images", "classes"),
    [
        (["dog/b.png", "cat/a.png", "wild/c.png"], ["cat", "dog", "wild"]),
        (["a/x/1.png", "a/y/2.png", "b/x/3.png"], ["a", "b"]),
        (["10/1.png", "9/1.png"], ["10", "9"]),
        (["cat/1.png", "root.png"], ["", "cat"]),
        (["cat/1.png", "cat/2.png"], []),
        (["1.png", "2.png"], []),
        ([], []),
    ],
)
def test_top_folders_are_classes_where_there_are_several(tmp_path, images, classes):
    """Checked against NVIDIA's dataset tool; an image outside all folders is of a class too."""
    assert folder_classes(images) == classes
    found = read_labels(Folder(tmp_path), images).of
    if not classes:
        assert found is None
    else:
        assert [classes[found[name]] for name in images] == [
            name.split("/")[0] if "/" in name else "" for name in images
        ]


@pytest.mark.parametrize("above", ["train", "afhq/train"])
def test_animals_are_classes_from_whichever_folder_above_them(tmp_path, above):
    images = [f"{above}/{animal}/{i}.png" for animal in ("wild", "cat", "dog") for i in range(2)]
    assert folder_classes(images) == ["cat", "dog", "wild"]
    assert list(read_labels(Folder(tmp_path), images).of.values()) == [2, 2, 0, 0, 1, 1]
    assert folder_classes(images[:2]) == []


def test_dataset_json_goes_before_folders(tmp_path):
    images = ["a/1.png", "b/2.png"]
    text = json.dumps({"labels": [["b/2.png", 7], ["a/1.png", 0]], "more": 1})
    assert labels(tmp_path, text, images) == {"a/1.png": 0, "b/2.png": 7}


@pytest.mark.parametrize("text", ['{"labels": null}', "{}", '{"labels": []}'])
def test_a_set_may_have_no_labels(tmp_path, text):
    assert labels(tmp_path, text, ["a/1.png", "b/2.png"]) is None


def test_labels_of_some_images_are_told_with_the_first_without(tmp_path):
    (tmp_path / LABELS_FILE).write_text('{"labels": [["b.png", 0], ["d.png", 1]]}')
    found = read_labels(Folder(tmp_path), ["a.png", "b.png", "c.png", "d.png"])
    line = "no classes: dataset.json labels 2 of 4 images, a.png is the first without"
    assert (found.of, found.told) == (None, [line])
    (tmp_path / LABELS_FILE).write_text('{"labels": null}')
    assert read_labels(Folder(tmp_path), ["a.png"]).told == []


def test_classes_without_an_image_are_told(tmp_path):
    names = [f"{i}.png" for i in range(3)]
    pairs = [list(pair) for pair in zip(names, [0, 2, 30], strict=True)]
    (tmp_path / LABELS_FILE).write_text(json.dumps({"labels": pairs}))
    found = read_labels(Folder(tmp_path), names)
    assert list(found.of.values()) == [0, 2, 30]
    gaps = "1, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 18 more"
    assert found.told == [f"classes without an image: {gaps}"]


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ({"set/dataset.json": ["a.png", "sub/b.png"]}, {"set/a.png": 0, "set/sub/b.png": 1}),
        ({"set/dataset.json": ["set/a.png"]}, {"set/a.png": 0}),
        ({"set/dataset.json": [r"sub\b.png", "./a.png"]}, {"set/sub/b.png": 0, "set/a.png": 1}),
        (
            {"x/dataset.json": ["a.png"], "y/dataset.json": ["b.png", "a.png"]},
            {"x/a.png": 0, "y/b.png": 0, "y/a.png": 1},
        ),
        ({"dataset.json": ["set/a.png"], "set/dataset.json": ["none.png"]}, {"set/a.png": 0}),
        ({"set/dataset.json": ["a.png"], "__MACOSX/set/dataset.json": ["z"]}, {"set/a.png": 0}),
    ],
)
def test_labels_may_lie_beside_their_images_in_a_folder(tmp_path, files, found):
    write(tmp_path, dict.fromkeys([*found, *files], b""))
    for file, names in files.items():
        pairs = [[name, i] for i, name in enumerate(names)]
        # As Windows' editor saves it.
        (tmp_path / file).write_text(json.dumps({"labels": pairs}), encoding="utf-8-sig")
    assert read_labels(Folder(tmp_path), sorted(found)).of == found


def test_labels_of_some_images_are_no_labels(tmp_path):
    assert labels(tmp_path, '{"labels": [["a.png", 1]]}') is None
    assert labels(tmp_path, '{"labels": [["a.png", 1], ["b.png", 1]]}') is not None


@pytest.mark.parametrize(
    "text",
    ["", "labels", "{", b"\xff\xfe\x00", "[" * 100_000, '{"labels": ' + "9" * 5000 + "}"],
)
def test_what_is_no_json_is_refused(tmp_path, text):
    assert refused(tmp_path, text).startswith("is no JSON")


@pytest.mark.parametrize("text", ["[]", "1", "null", '"labels"'])
def test_what_is_no_object_is_refused(tmp_path, text):
    assert refused(tmp_path, text) == "must be an object with a key labels"


@pytest.mark.parametrize("value", ["{}", "3", '"a"', "true"])
def test_labels_are_a_list(tmp_path, value):
    line = refused(tmp_path, f'{{"labels": {value}}}')
    assert line == "must have labels that are a list, or null"


@pytest.mark.parametrize(
    "entry",
    [
        '["a.png", 1.0]',
        '["a.png", NaN]',
        '["a.png", 1e999]',
        '["a.png", "1"]',
        '["a.png", true]',
        '["a.png", null]',
        '["a.png", -1]',
        '["a.png", 1048576]',
        '["a.png", 99999999999999999999]',
        '["a.png", [0.5, 0.5]]',
        '["a.png"]',
        '["a.png", 1, 2]',
        '[1, "a.png"]',
        '"a.png"',
        '{"a.png": 1}',
        "null",
    ],
)
def test_a_label_is_a_name_and_a_whole_number(tmp_path, entry):
    line = refused(tmp_path, f'{{"labels": [["b.png", 0], {entry}]}}')
    assert line.startswith("has the label ") and "[name, class]" in line


def test_a_long_label_is_not_repeated_whole(tmp_path):
    assert len(refused(tmp_path, json.dumps({"labels": ["x" * 10_000]}))) < 300


def test_labels_are_of_images_that_are_there_once_each(tmp_path):
    line = refused(tmp_path, '{"labels": [["a.png", 1], ["../a.png", 2], ["b.png", 0]]}')
    assert line == "labels '../a.png', which is no image there"
    line = refused(tmp_path, '{"labels": [["a.png", 1], ["a.png", 1]]}')
    assert line == "labels 'a.png' twice"


def test_a_file_of_labels_has_a_limit(tmp_path):
    with open(tmp_path / LABELS_FILE, "wb") as file:
        file.truncate(2**27 + 1)
    with pytest.raises(ValueError, match="dataset.json is larger than 128 MiB"):
        read_labels(Folder(tmp_path), ["a.png"])
