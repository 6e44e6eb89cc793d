import math
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from closed_forms import SamplerBias
from PIL import Image
from studies import write_study

from lightning_collapse.data.store.shards import (
    StoredRows,
    commit,
    shard_path,
    write_shard,
)
from lightning_collapse.report.figures import plot_run, sampler_alone
from lightning_collapse.rows import network_units
from lightning_collapse.runs.layout import Run
from lightning_collapse.runs.records import write_records
from lightning_collapse.sampling.bias import principal_std, sampled_std
from lightning_collapse.sampling.choice import Sampling
from lightning_collapse.sampling.schedules import karras_sigmas
from lightning_collapse.sampling.solvers import heun_sampler
from lightning_collapse.seeds import generator

SAMPLING = Sampling("heun", "karras", 18)
ROWS = {"points": (40, 2), "images": (20, 1, 8, 8), "colour": (20, 3, 8, 8)}


def keep(folder, rows, **recipe):
    folder.mkdir(parents=True)
    dtype = str(rows.dtype).removeprefix("torch.")
    shards = [write_shard(shard_path(folder, 0), rows)]
    commit(folder, shards, shape=rows.shape[1:], dtype=dtype, recipe=recipe)


def some_rows(kind, *path):
    rows = torch.randn(ROWS[kind], generator=generator(0, kind, *path))
    return rows if kind == "points" else (rows * 40 + 128).clamp(0, 255).to(torch.uint8)


def record(round, features="pixels", **changes):
    return {
        "round": round,
        "regime": "Replace",
        "regime_options": {"synthetic_fraction": 1.0},
        "restart": "scratch",
        "fd_n": 20,
        f"fd_{features}": 1.0 + round,
        f"fd_{features}_floor": 0.5,
        "variance": 0.9**round,
        "mean": 0.0,
        "total_variance": 0.9**round,
        "real_variance": 1.0,
        "real_total_variance": 1.0,
        "real_mean": 0.0,
        "seed": 0,
        "n_real": 0 if round else 10,
        "n_synthetic": 10 if round else 0,
        "n_train": 10,
        "n_held_out": 5,
        **changes,
    }


def a_run(folder, kind, rounds, **changes):
    keep(folder / "pool" / "real", some_rows(kind, "real"))
    for r in range(rounds):
        sampling = {**asdict(SAMPLING), "S_max": None}
        keep(folder / "pool" / f"{r:04d}", some_rows(kind, r), sampling=sampling)
    features = "points" if kind == "points" else "pixels"
    write_records(Run(folder), [record(r, features, **changes) for r in range(rounds)])
    return folder


def pixels(path):
    with Image.open(path) as picture:
        return np.array(picture.convert("RGB"))


@pytest.mark.parametrize("kind", list(ROWS))
@pytest.mark.parametrize("rounds", [1, 4])
def test_a_run_is_drawn(tmp_path, kind, rounds):
    path = plot_run(Run(a_run(tmp_path / "my_run", kind, rounds)))
    assert path == tmp_path / "my_run" / "collapse.png"
    picture = pixels(path)
    # Curves above, strips below: neither half is blank.
    above, below = np.array_split(picture, 2)
    assert all((half < 128).any() for half in (above, below))


def test_long_runs_show_some_rounds_and_the_last(tmp_path, monkeypatch):
    run = a_run(tmp_path, "images", 30)
    shown = []
    stored = Run.samples
    monkeypatch.setattr(Run, "samples", lambda run, r: shown.append(r) or stored(run, r))
    plot_run(Run(run))
    shown = list(dict.fromkeys(shown))
    assert shown[0] == 0
    assert shown[-1] == 29
    assert len(shown) == 12
    assert {b - a for a, b in zip(shown, shown[1:], strict=False)} <= {2, 3}


def test_rounds_without_a_number_leave_a_gap(tmp_path):
    """A number that is not finite is null on disk."""
    run = a_run(tmp_path, "images", 3)
    write_records(Run(run), [record(0, fd_pixels=None), record(1), record(2, variance=None)])
    assert plot_run(Run(run)).exists()
    write_records(Run(run), [record(r, fd_pixels=None) for r in range(3)])
    assert plot_run(Run(run)).exists()


def test_the_picture_follows_the_numbers(tmp_path):
    run = a_run(tmp_path, "images", 3)
    before = pixels(plot_run(Run(run)))
    write_records(Run(run), [record(r, total_variance=math.exp(r)) for r in range(3)])
    after = pixels(plot_run(Run(run)))
    changed = (before != after).any((1, 2)).nonzero()[0]
    assert changed.min() > 0 and changed.max() < before.shape[0] * 0.6


def test_collapsed_rounds_are_marked_in_curves_and_strips(tmp_path):
    run = a_run(tmp_path, "images", 3)
    before = pixels(plot_run(Run(run)))
    write_records(Run(run), [record(0), record(1), record(2, collapsed="constant")])
    after = pixels(plot_run(Run(run)))
    assert all(
        (a != b).any()
        for a, b in zip(*(np.array_split(x, 2) for x in (before, after)), strict=True)
    )


def test_a_folder_that_is_no_run_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="rounds.jsonl: no such file"):
        plot_run(Run(tmp_path))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", list(ROWS))
def test_the_sampler_alone_is_what_it_does_to_a_gaussian_of_the_real_covariance(tmp_path, kind):
    run = a_run(tmp_path, kind, 1)
    real, samples = (StoredRows(run / "pool" / name) for name in ("real", "0000"))
    rows = network_units(some_rows(kind, "real").flatten(1)).double()
    covariance = torch.cov(rows.T, correction=0)
    error = SamplerBias(heun_sampler, karras_sigmas(18), covariance).total_variance_error
    assert sampler_alone(real, samples) == pytest.approx([error], rel=1e-6)
    course = sampler_alone(real, samples, 3)
    assert len(course) == 3 and abs(course[2]) > abs(course[1]) > abs(course[0])
    assert error > 0.05


def test_a_sampler_that_adds_noise_is_told_alone_and_one_that_is_guided_or_completes_is_not(
    tmp_path,
):
    keep(tmp_path / "real", some_rows("points", "real"))
    sampling = {**asdict(SAMPLING), "S_churn": 40.0, "S_max": None}
    keep(tmp_path / "0000", some_rows("points", 0), sampling=sampling)
    real = StoredRows(tmp_path / "real")
    std = principal_std(real)
    variance = sampled_std(replace(SAMPLING, S_churn=40.0), std).square().sum()
    told = sampler_alone(real, StoredRows(tmp_path / "0000"))
    assert told == [pytest.approx(float(variance / std.square().sum()) - 1)]
    for name, own in (
        ("0001", {"guide": {"class_path": "G"}}),
        ("0002", {"inpaint": {"share": 1}}),
    ):
        keep(tmp_path / name, some_rows("points", 0), sampling=sampling, **own)
        assert sampler_alone(real, StoredRows(tmp_path / name)) is None


@pytest.mark.parametrize(
    ("command", "words", "said"),
    [
        ("report", ["-o", "folder.png"], "out = folder.png: is a folder; name a file"),
        ("plot", ["-o", "folder.png"], "out = folder.png: is a folder; name a file"),
        (
            "report",
            ["-o", "file/x.html"],
            "out = file/x.html: file is a file; name another folder",
        ),
        ("report", ["--figures", "file"], "file is a file; name another folder"),
        ("report", ["--log", "bytes"], "log = bytes: is no text"),
    ],
)
def test_what_cannot_be_written_is_named_before_anything_is(
    cli, tmp_path, monkeypatch, command, words, said
):
    monkeypatch.chdir(tmp_path)
    write_study(tmp_path / "study", seeds=(0,), rows=False)
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\x00")
    there = sorted(path.name for path in tmp_path.iterdir())
    status, _, errors = cli(command, "study", *words)
    assert status == 2 and said in errors and errors.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == there
