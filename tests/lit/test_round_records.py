"""What a round writes down: to `rounds.jsonl`, to W&B; and what its pool says."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import wandb
from pytorch_lightning import Callback
from pytorch_lightning.callbacks import EarlyStopping
from tiny_runs import BATCH, DIGITS, POINTS, STEPS, Fit, arguments, records, unet

from lightning_collapse import (
    Accumulate,
    AccumulateSubsample,
    Augment,
    Fresh,
    KernelDistance,
    Replace,
    Turnover,
)
from lightning_collapse.commands.fit import run_fit
from lightning_collapse.data.store.shards import StoredRows
from lightning_collapse.rows import network_units

NUMBERS = [
    *["mean", "variance", "total_variance", "mass_center", "mass_tails"],
    *["real_mean", "real_variance", "real_total_variance", "synthetic_fraction"],
    *["train_loss", "val_loss", "weights_moved", "fd_pixels", "fd_pixels_floor"],
    *["seconds_train", "seconds_sample", "seconds_measure"],
]
COUNTS = ["round", "n_real", "n_synthetic", "n_samples"]


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> Path:
    run = tmp_path_factory.mktemp("images")
    data = {**DIGITS, "regime": Replace(0.5)}
    Fit(run, data=data, network=unet(label_dim=10))()
    return run


def test_every_field_that_others_rely_on_is_there(images):
    for r, record in enumerate(records(images)):
        assert record["round"] == r and record["regime"] == "Replace"
        for name in NUMBERS:
            assert type(record[name]) is float and math.isfinite(record[name]), name
        for name in COUNTS:
            assert type(record[name]) is int, name
        assert record["real_data_in_init"] is False
        assert record["synthetic_ratio"] == [0.0, 1.0][r]
        assert min(record[f"seconds_{part}"] for part in ("train", "sample", "measure")) > 0
        assert record["images_seen"] == STEPS * BATCH


def test_figures_are_those_of_the_stored_samples(images):
    real = torch.load(images / "checkpoints" / "last.ckpt", weights_only=True)
    assert real["PoolDataModule"] == {"round": 2, "step": 0}
    for r, record in enumerate(records(images)):
        stored = StoredRows(images / "pool" / f"{r:04d}")
        x = network_units(stored[torch.arange(len(stored))], torch.float64)
        assert len(x) == record["n_samples"] == 24
        assert record["mean"] == pytest.approx(float(x.mean()))
        assert record["variance"] == pytest.approx(float(x.var(correction=0)))
        assert record["total_variance"] == pytest.approx(float(x.flatten(1).var(0).sum()))


def test_a_manifest_holds_the_record_and_the_recipe(images):
    manifest = json.loads((images / "pool" / "0001" / "manifest.json").read_text())
    assert manifest["record"] == records(images)[1]
    assert (images / manifest["recipe"]["checkpoint"]).is_file()
    assert manifest["recipe"]["micro_batch"] == 8 and manifest["recipe"]["seed"] == 0
    assert manifest["recipe"]["sampling"]["num_steps"] == 4
    assert manifest["dtype"] == "uint8" and manifest["shape"] == [1, 8, 8]


class Shown(Callback):
    """What another callback finds as a round ends."""

    def __init__(self):
        self.distances = []

    def on_train_epoch_end(self, trainer, *args):
        self.distances.append(float(trainer.callback_metrics["round/fd_points"]))


def test_other_callbacks_find_the_rounds_figures_and_may_stop_the_run_on_them(tmp_path):
    """Listed before the loop, they come after it."""
    stop = EarlyStopping("round/fd_points", 1e9, 1, check_on_train_epoch_end=True)
    fit, shown = Fit(tmp_path, rounds=5), Shown()
    fit.trainer.callbacks[:0] = [shown, stop]
    fit()
    assert [record["round"] for record in fit.records] == [0, 1]
    assert shown.distances == pytest.approx([record["fd_points"] for record in fit.records])
    step = float(fit.trainer.callback_metrics["round/sw2_points_step"])
    assert step == pytest.approx(fit.records[1]["sw2_points_step"])


def test_a_run_that_goes_on_with_other_measures_records_them_from_there_on(tmp_path):
    Fit(tmp_path, rounds=1)()
    old, new = Fit(tmp_path, options={"measures": [KernelDistance()]})().records
    assert "kd_points" not in old and new["kd_points_step"] is not None
    assert new["kd_points_floor"] > -1 and old.keys() < new.keys()


def test_a_conditional_run_stores_the_classes_it_drew_and_trains_on_them(images):
    stored = StoredRows(images / "pool" / "0000")
    assert stored.labels is not None and stored.labels.shape == (24,)
    assert len(set(stored.labels.tolist())) > 5
    fit = Fit(images, data={**DIGITS, "regime": Replace(0.5)}, network=unet(label_dim=10))
    fit.data.prepare_data()
    fit.data.setup()
    batch = fit.data.train_dataloader().dataset[48 + torch.arange(24)]
    assert torch.equal(batch["labels"], stored.labels)
    assert torch.equal(batch["rows"], stored[torch.arange(24)])


def test_classes_matter_in_training(tmp_path):
    losses = []
    for classes in (0, 10):
        fit = Fit(
            tmp_path / str(classes), data=DIGITS, network=unet(label_dim=classes), rounds=1
        )()
        used = [
            n
            for n, v in fit.module.model.named_parameters()
            if "label" in n and v.grad is not None
        ]
        assert bool(used) == bool(classes)
        losses.append(records(tmp_path / str(classes))[0]["train_loss"])
    assert losses[0] != losses[1]


@pytest.mark.parametrize(
    ("regime", "counts"),
    [
        (Replace(), [(48, 0), (0, 48), (0, 48)]),
        (Replace(0.0), [(48, 0), (48, 0), (48, 0)]),
        (Accumulate(), [(48, 0), (48, 48), (48, 96)]),
        (Augment(0.5), [(48, 0), (48, 24), (48, 24)]),
        (Fresh(0.5, 12), [(12, 0), (6, 6), (6, 6)]),
    ],
    ids=lambda part: type(part).__name__,
)
def test_counts_follow_the_regime(tmp_path, regime, counts):
    run = Fit(tmp_path, rounds=3, data={**POINTS, "regime": regime})().folder
    for record, (n_real, n_synthetic) in zip(records(run), counts, strict=True):
        assert (record["n_real"], record["n_synthetic"]) == (n_real, n_synthetic)
        assert record["synthetic_fraction"] == n_synthetic / (n_real + n_synthetic)
        assert record["synthetic_ratio"] == (n_synthetic / n_real if n_real else None)


@pytest.mark.parametrize("regime", [Turnover(0.5), AccumulateSubsample(40)], ids=str)
def test_counts_of_a_random_regime_are_those_of_the_rows_trained_on(tmp_path, regime):
    seen = {}
    fit = Fit(tmp_path, rounds=3, data={**POINTS, "regime": regime})
    curation = fit.data.curation
    fit.data.curation = lambda: seen.setdefault(fit.data.pool.round, curation())
    fit()
    for made, record in zip(seen.values(), records(tmp_path), strict=True):
        rows = made.positions
        n_real = int((rows < 48).sum())
        assert (record["n_real"], record["n_synthetic"]) == (n_real, len(rows) - n_real)


def test_wandb_mirrors_the_rounds_offline(tmp_path, monkeypatch):
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("WANDB_MODE", "offline")  # Lightning sets it: so it is put back
    words = arguments(tmp_path)
    at = words.index("--trainer.logger")
    run_fit(words[:at] + words[at + 2 :])
    wandb.finish()
    entries = wandb_entries(tmp_path)
    history = [entry["history"]["item"] for entry in entries if entry["type"] == "history"]
    for row, record in zip(history, records(tmp_path), strict=True):
        assert row["round"] == record["round"] and row["round/regime"] == "Replace"
        for name, value in record.items():
            if type(value) in (int, float, bool) and name != "round":
                assert row[f"round/{name}"] == pytest.approx(value), name
    (run,) = (entry["run"] for entry in entries if entry["type"] == "run")
    assert run["config"]["update"]["data"]["batch_size"] == BATCH
    axes = {m["metric"].get("glob_name"): m["metric"] for m in entries if m["type"] == "metric"}
    assert axes["round/*"]["step_metric"] == "round"
    pictures = [path.read_bytes() for path in tmp_path.rglob("media/images/round/*.png")]
    assert (tmp_path / "pool" / "0001" / "preview.png").read_bytes() in pictures


def wandb_entries(run: Path) -> list[dict[str, Any]]:
    """What an offline run recorded, as `wandb leet inspect` tells it."""
    (file,) = run.glob("wandb/offline-run-*/*.wandb")
    inspect = [Path(sys.executable).parent / "wandb", "leet", "inspect", "--json", file]
    lines = subprocess.run(inspect, capture_output=True, text=True, check=True).stdout.splitlines()
    return [json.loads(line) for line in lines]
