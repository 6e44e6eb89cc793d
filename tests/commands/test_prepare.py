"""`prepare` and `export` as a user meets them, and a run on what they made."""

import csv
import json
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from PIL import Image
from tiny_runs import Fit, arguments, records, unet

from lightning_collapse.commands.fit import run_fit
from lightning_collapse.data.sources.images import Digits, ImageZip, Prepared
from lightning_collapse.data.sources.imports import Policy
from lightning_collapse.data.store.shards import StoredRows


def digits(folder: Path, n: int = 80, colour: bool = True) -> Path:
    """Digits as PNG files, 16x16, in a folder for each of two classes."""
    images, labels = Digits().read(0)
    for i in range(n):
        path = folder / ("odd" if labels[i] % 2 else "even") / f"{i:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        image = Image.fromarray(images[i, 0].numpy()).resize((16, 16))
        image.convert("RGB" if colour else "L").save(path)
    return folder


def test_a_folder_is_prepared(tmp_path, cli):
    status, out, err = cli("prepare", digits(tmp_path / "set"), tmp_path / "st", "--resolution", 8)
    assert (status, err) == (0, "")
    said = dict(line.split(": ", 1) for line in out.splitlines())
    assert (said["images"], said["kept"], said["skipped"]) == ("80", "80", "0")
    assert said["rows"] == "3 x 8 x 8, from 16 x 16"
    assert said["classes"] == "even, odd"
    assert said["store"] == str(tmp_path / "st")
    stored = StoredRows(tmp_path / "st")
    assert len(stored) == 80 and stored.labels.sum() == Digits().read(0)[1][:80].remainder(2).sum()
    done = stored.recipe["import"]
    assert done["sha256"] == said["sha256 of the images"]
    assert (done["resize"], done["on_bad_image"], done["size"]) == ("lanczos", "refuse", [16, 16])


def test_a_bad_set_is_refused_with_a_table(tmp_path, cli):
    folder = digits(tmp_path / "set")
    for i in range(25):
        (folder / "even" / f"bad{i:02d}.png").write_bytes(b"")
    (folder / "page.jpg").write_text("<html>")
    status, out, err = cli("prepare", folder, tmp_path / "st", "--resolution=8")
    table = tmp_path / "st.bad_images.csv"
    assert status == 2
    assert err.startswith(
        f"error: source = {folder}: 26 of 106 images cannot be used, all listed in "
    )
    assert err.count("\n") == 1 and "on_bad_image" in err and str(table) in err
    lines = out.splitlines()
    assert lines[0].split(maxsplit=1) == ["even/bad00.png", "is empty"]
    assert len(lines) == 21 and lines[-1] == f"... and 6 more, in {table}"
    with open(table, newline="") as file:
        listed = list(csv.reader(file))[1:]
    assert len(listed) == 26 and ["page.jpg", "is no image that can be read"] in listed
    assert not (tmp_path / "st").exists()


@pytest.mark.parametrize("option", ["--on-bad-image", "--on_bad_image"])
def test_bad_images_are_skipped_or_converted_when_asked(tmp_path, cli, option):
    folder = digits(tmp_path / "set", 20)
    Image.new("L", (16, 16)).save(folder / "gray.png")
    Image.new("RGB", (9, 9)).save(folder / "small.png")
    for choice, rows, counted in (("skip", 20, "skipped: 2"), ("convert", 22, "converted: 2")):
        out = tmp_path / choice
        status, said, err = cli("prepare", folder, out, "--resolution", 8, f"{option}={choice}")
        assert (status, err) == (0, "")
        assert counted in said.splitlines() and "gray.png   mode is L, not RGB" in said
        assert len(StoredRows(out)) == rows
        assert len((tmp_path / f"{choice}.bad_images.csv").read_text().splitlines()) == 3
    assert StoredRows(tmp_path / "skip").recipe["import"]["skipped"] == 2


def test_mode_and_size_are_declared(tmp_path, cli):
    folder = digits(tmp_path / "set", 20, colour=False)
    assert cli("prepare", folder, tmp_path / "a")[0] == 2
    assert cli("prepare", folder, tmp_path / "b", "--mode", "L", "--size", "[9, 9]")[0] == 2
    status, _, _ = cli("prepare", folder, tmp_path / "c", "--mode", "L", "--size", "[16, 16]")
    assert status == 0 and StoredRows(tmp_path / "c").shape == (1, 16, 16)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["SET"], "out: missing"),
        (["SET", "OUT", "--resolution", "0"], "resolution = 0: must be at least 1"),
        (["SET", "OUT", "--resolution", "x"], "resolution = x: must be a whole number"),
        (["SET", "OUT", "--on-bad-image", "keep"], "on_bad_image = keep: must be one of"),
        (["SET", "OUT", "--mode", "RGBA"], "mode = RGBA: must be one of RGB, L"),
        (["NONE", "OUT"], "source = DIR/NONE: no such file or folder"),
        (["EMPTY", "OUT"], "source = DIR/EMPTY: holds no image that can be read"),
        (["SET", "SET"], "out = DIR/SET: is not empty; choose another folder"),
        (["TEXT", "OUT"], "source = DIR/TEXT: is no zip archive that can be read"),
    ],
)
def test_mistakes_are_one_line(tmp_path, cli, words, said):
    digits(tmp_path / "SET", 2)
    (tmp_path / "EMPTY").mkdir()
    (tmp_path / "TEXT").write_text("no archive")
    paths = [tmp_path / word if word.isupper() and word != "RGBA" else word for word in words]
    status, out, err = cli("prepare", *paths)
    assert (status, out) == (2, "")
    assert err.startswith("error: " + said.replace("DIR", str(tmp_path))), err
    assert err.count("\n") == 1
    assert not (tmp_path / "OUT").exists()


def test_a_store_is_not_made_over_another(tmp_path, cli):
    folder = digits(tmp_path / "set", 4)
    assert cli("prepare", folder, tmp_path / "st")[0] == 0
    status, _, err = cli("prepare", folder, tmp_path / "st")
    assert status == 2 and "holds a store already; choose another folder" in err


def test_an_import_that_was_cut_short_is_done_again(tmp_path, cli):
    folder = digits(tmp_path / "set", 4)
    (tmp_path / "st").mkdir()
    for name in ("shard-00000.npy", "shard-00001.npy", ".shard-00002.npy.17.tmp"):
        (tmp_path / "st" / name).write_bytes(b"half")
    assert cli("prepare", folder, tmp_path / "st")[0] == 0
    assert sorted(path.name for path in (tmp_path / "st").glob("[!.]*")) == [
        "manifest.json",
        "shard-00000.npy",
    ]


@pytest.mark.parametrize("name", ["out.zip", "sub/out"])
def test_export_and_prepare_are_inverse(tmp_path, cli, name):
    folder = digits(tmp_path / "set", 20)
    cli("prepare", folder, tmp_path / "a", "--resolution", 8)
    status, out, err = cli("export", tmp_path / "a", tmp_path / name)
    assert (status, out, err) == (0, f"20 images: {tmp_path / name}\n", "")
    assert cli("prepare", tmp_path / name, tmp_path / "b")[0] == 0
    one, other = StoredRows(tmp_path / "a"), StoredRows(tmp_path / "b")
    assert torch.equal(one[torch.arange(20)], other[torch.arange(20)])
    assert torch.equal(one.labels, other.labels)


def test_export_refuses_in_one_line(tmp_path, cli):
    cli("prepare", digits(tmp_path / "set", colour=False), tmp_path / "st", "--mode=L")
    for words, said in (
        (
            [tmp_path / "none", tmp_path / "out"],
            f"store = {tmp_path / 'none'}: no such file or folder",
        ),
        ([tmp_path, tmp_path / "out"], f"store = {tmp_path}: holds no store"),
        ([tmp_path / "st", tmp_path], f"out = {tmp_path}: is there already"),
    ):
        status, out, err = cli("export", *words)
        assert (status, out) == (2, "") and err.startswith(f"error: {said}")
        assert err.count("\n") == 1


# Runs


def test_a_run_on_a_prepared_store_does_without_it_afterwards(tmp_path, cli):
    cli("prepare", digits(tmp_path / "set", colour=False), tmp_path / "st", "--mode=L")
    shutil.rmtree(tmp_path / "set")
    data = {"source": Prepared(tmp_path / "st"), "train_rows": 48, "held_out_rows": 16}
    Fit(tmp_path / "run", rounds=1, network=unet_of(16), data=data)()
    real = tmp_path / "run" / "pool" / "real"
    inodes = [(folder / "shard-00000.npy").stat().st_ino for folder in (real, tmp_path / "st")]
    assert inodes[0] == inodes[1]
    assert StoredRows(real).recipe["import"]["import"]["images"] == 80
    shutil.rmtree(tmp_path / "st")
    longer = Fit(tmp_path / "run", rounds=2, network=unet_of(16), data=data)()
    assert [record["round"] for record in longer.records] == [0, 1]


def unet_of(side):
    network = unet()
    network.img_resolution = side
    return network


def test_a_rounds_samples_are_exported(tmp_path, cli):
    Fit(tmp_path / "run", rounds=1, network=unet(), data={"source": Digits()})()
    samples = tmp_path / "run" / "pool" / "0000"
    assert cli("export", samples, tmp_path / "out.zip")[0] == 0
    stored = StoredRows(samples)
    rows, labels = ImageZip(tmp_path / "out.zip", policy=Policy(mode="L")).read(0)
    assert labels is None
    assert torch.equal(rows, stored[torch.arange(len(stored))])


def test_configurations_name_zips_with_their_policy(tmp_path, cli):
    folder = digits(tmp_path / "set", colour=False)
    cli("prepare", folder, tmp_path / "st", "--mode=L", "--resolution=8")
    cli("export", tmp_path / "st", tmp_path / "set.zip")
    source = {
        "class_path": "ImageZip",
        "init_args": {"path": str(tmp_path / "set.zip"), "policy": {"mode": "L"}},
    }
    words = arguments(tmp_path / "run", "digits_replace", data__source=json.dumps(source))
    run_fit(words)
    assert len(records(tmp_path / "run")) == 2
    config = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert config["data"]["source"]["init_args"]["policy"]["on_bad_image"] == "refuse"
