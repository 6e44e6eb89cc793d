"""Samples are of the classes that real training rows have, and of no others."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from tiny_runs import DIGITS, Fit, unet

from lightning_collapse import Run
from lightning_collapse.data.sources.images import Digits, ImageFolder, Prepared
from lightning_collapse.data.sources.imports import Policy
from lightning_collapse.data.store.shards import write_rows
from lightning_collapse.samples.rounds import class_weights


def digits_of(folder: Path, counts: dict[int, int]) -> Prepared:
    """A store of so many digits of each class."""
    images, labels = Digits().read(0)
    rows = torch.cat([(labels == label).nonzero()[:n, 0] for label, n in counts.items()])
    write_rows(folder, [(images[rows], labels[rows])], dict)
    return Prepared(folder)


@pytest.mark.parametrize("classes", ["uniform", "proportional"])
def test_classes_without_a_training_row_are_not_sampled_and_repair_knows(tmp_path, classes):
    source = digits_of(tmp_path / "store", {0: 40, 2: 16, 7: 8})
    run = Run(tmp_path / "run")
    fit = Fit(
        run.path,
        data={**DIGITS, "source": source, "samples_per_round": 48},
        network=unet(label_dim=10),
        options={"classes": classes},
    )
    fit()
    counts = torch.bincount(fit.data.train.labels, minlength=10)
    expected = counts if classes == "proportional" else counts.clamp(max=1)
    for r in range(2):
        manifest = json.loads((run.round(r) / "manifest.json").read_text())
        assert manifest["recipe"]["class_weights"] == expected.tolist()
        assert set(run.samples(r).labels.tolist()) == {0, 2, 7}
    shard = next(run.round(1).glob("shard*.npy"))
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-1])
    run.repair()
    assert shard.read_bytes() == whole


def test_where_all_classes_are_there_none_is_weighed():
    assert class_weights(torch.arange(10), 10, uniform=True) is None
    assert class_weights(torch.arange(10).repeat(3), 10, uniform=True) is None
    assert class_weights(torch.tensor([0, 2, 2]), 4, uniform=True) == (1, 0, 1, 0)
    assert class_weights(torch.tensor([0, 2, 2]), 4, uniform=False) == (1, 0, 2, 0)


def test_a_set_that_is_labelled_in_part_says_so_to_a_network_of_classes(tmp_path):
    (tmp_path / "set").mkdir()
    for i in range(64):
        Image.new("L", (8, 8), i).save(tmp_path / "set" / f"{i:02d}.png")
    pairs = [[f"{i:02d}.png", 0] for i in range(63)]
    (tmp_path / "set" / "dataset.json").write_text(json.dumps({"labels": pairs}))
    source = ImageFolder(tmp_path / "set", 8, Policy("L"))
    with pytest.raises(
        ValueError, match=r"have no labels \(no classes: dataset.json labels 63 of"
    ):
        Fit(tmp_path / "run", data={**DIGITS, "source": source}, network=unet(label_dim=2))()
