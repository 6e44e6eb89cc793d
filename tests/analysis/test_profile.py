"""`analyse profile` from a folder of runs to its table, summary and figures."""

import json
import shutil

import numpy as np
import torch
from records import CONTROL, write_run, write_samples


def a_sweep(folder, seeds=3, rounds=6):
    for seed in range(seeds):
        for name, growth, fixed in (("replace", 1.0, {}), ("real", 0.0, CONTROL)):
            fd = [0.5 + growth * r + 0.01 * seed * r for r in range(rounds)]
            columns = {"fd_points": fd, "val_loss": fd, "total_variance": [2.0] * rounds}
            columns |= {"sw2_points": fd}
            fixed = {"sw2_points_floor": 0.2, "fd_points_floor": 0.4, "n_train": 60} | fixed
            run = write_run(folder / f"{name}-{seed}", columns, seed=seed, n_held_out=20, **fixed)
            text = run.table.read_text().replace('"fd_pixels_floor": 0.4, ', "")
            run.table.write_text(text)
            chance = torch.Generator().manual_seed(seed)
            rows = [torch.randn(60, 2, generator=chance) + growth * r for r in range(rounds)]
            write_samples(run, torch.randn(80, 2, generator=chance), rows)


def test_a_sweep_is_profiled_beside_its_control(tmp_path, cli):
    a_sweep(tmp_path / "sweep")
    out = tmp_path / "out"
    status, said, errors = cli("analyse", "profile", tmp_path / "sweep", "--out", out)
    assert (status, errors) == (0, "")
    assert "control: Replace(synthetic_fraction=0.0)" in said
    assert "sw2_points: collapses, growing" in said
    summary = json.loads((out / "summary.json").read_text())
    assert summary["command"] == f"analyse profile {tmp_path / 'sweep'}"
    (condition,) = summary["conditions"]
    assert condition["seeds"] == [0, 1, 2] and condition["verdict"]["word"] == "collapses"
    assert len(condition["answers"]) == 8
    told = {one["meaning"]: one["answer"] for one in condition["answers"]}
    assert told["any increase of risk"] == told["unbounded increase"] == "yes"
    distances = np.array(condition["distances"]["squared_frechet"])
    assert distances.shape == (8, 8)
    # Two coordinates, each five away.
    assert abs(distances[0, -1] - 50) < 5
    # The mean goes one step a round, whatever the round.
    assert abs(condition["noise_accumulation"]["value"]) < 0.3
    assert {path.name for path in out.iterdir()} == {
        "summary.json",
        *(f"{name}.{kind}" for name in ("profile", "distances") for kind in ("png", "pdf")),
    }


def test_the_control_may_be_named_and_must_be_one(tmp_path, cli):
    a_sweep(tmp_path, seeds=1)
    named = tmp_path / "replace-0", "--control", tmp_path / "real-0", "--out", tmp_path / "out"
    status, said, _ = cli("analyse", "profile", *named)
    assert status == 0 and "undecided: 1 seed in common" in said
    status, said, _ = cli("analyse", "profile", tmp_path / "real-0", "--out", tmp_path / "out")
    assert status == 0 and "control: none" in said and "undecided: no control" in said
    write_run(tmp_path / "other", {"fd_pixels": [1.0] * 3}, fd_n=7, **CONTROL)
    status, _, errors = cli("analyse", "profile", *named[:3], tmp_path / "other")
    assert status == 2 and errors.startswith("error: control: is several conditions")
    status, _, errors = cli("analyse", "profile", named[0], "--control", tmp_path / "other")
    assert status == 2 and "its runs record fd_pixels, those of Replace" in errors
    assert len(errors.splitlines()) == 1


def test_runs_without_samples_on_disk_keep_their_answers(tmp_path, cli):
    a_sweep(tmp_path, seeds=2)
    (tmp_path / "replace-1" / "pool" / "0002" / "manifest.json").unlink()
    out = tmp_path / "out"
    paths = [tmp_path / f"{name}-{s}" for name in ("replace", "real") for s in range(2)]
    status, said, errors = cli("analyse", "profile", *paths, "--out", out)
    assert errors == ""
    assert status == 0 and "0002" in said
    (condition,) = json.loads((out / "summary.json").read_text())["conditions"]
    assert condition["distances"]["squared_frechet"] is None
    assert condition["verdict"]["seeds"] == 2


def test_kept_records_are_profiled_but_for_what_samples_tell(tmp_path, cli):
    a_sweep(tmp_path, seeds=2)
    for run in tmp_path.iterdir():
        shutil.rmtree(run / "pool")
    status, said, _ = cli("analyse", "profile", tmp_path, "--out", tmp_path / "out")
    assert status == 0 and "distances: the records alone were kept" in said
    assert "any increase of risk          yes" in said
