"""`analyse stability`: the Gaussian loop beside theory.md §h, and runs whose distance is known."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_runs import Fit

from lightning_collapse.analysis.stability import runs_stability
from lightning_collapse.analysis.stability_toys import gaussian_stability
from lightning_collapse.toys.gaussian_fits import Truth

POINTS = Path(__file__).parents[2] / "configs/points_replace.yaml"
TINY = {
    "data.source.init_args.n": 80,
    "data.held_out_rows": 16,
    "data.images_per_round": 64,
    "data.batch_size": 16,
    "data.regime.synthetic_fraction": 0.5,
    "model.network.init_args.width": 16,
    "trainer.logger": False,
    "trainer.accelerator": "cpu",
}


@pytest.fixture(scope="module")
def toys():
    return [gaussian_stability(0.9, n, 41, 2000, Truth(), 0) for n in (200, 800)]


def test_one_row_moves_the_gaussian_loop_as_predicted(toys):
    # theory.md §h: N = 200, λ = 0.9, rounds 1, 5, 10 and 41.
    small, large = toys
    rounds = [0, 4, 9, 40]
    assert small.theory[rounds] == pytest.approx([0.01, 0.04095, 0.06513, 0.09867], rel=1e-3)
    assert large.theory[40] == pytest.approx(0.024667, rel=1e-4)
    for one in toys:
        # To leading order in 1/N.
        assert np.all(one.theory > one.low * (1 - 2 / one.n))
        assert np.all(one.theory < one.high)
        value, error = one.response
        assert np.all(np.abs(value - one.exact) < 4 * error + 1e-12)
        assert one.growth[:10] == pytest.approx(np.full(10, 0.9), abs=0.02)
        # A swap of one row is less than other chance.
        assert np.all(one.null[1:] > 2 * one.gamma[1:])


def test_the_coefficient_falls_as_one_over_n(toys):
    small, large = toys
    assert 200 * small.gamma[40] == pytest.approx(800 * large.gamma[40], rel=0.1)


def test_where_all_rows_are_replaced_the_coefficient_stays_and_chance_walks():
    one = gaussian_stability(1.0, 200, 41, 2000, Truth(), 0)
    assert one.gamma == pytest.approx(np.full(41, 0.01), rel=0.06)
    # Of the same rows: a walk of variance 2 s2 Σ q^t / N, q = 1 - 1/N.
    q = 1 - 1 / 200
    walk = np.sqrt(2 * 2 * np.cumsum(q ** np.arange(1, 41)) / 200)
    assert one.null[1:] == pytest.approx(walk, rel=0.06)
    assert one.null[0] == 0


def test_where_none_is_replaced_nothing_changes_from_round_to_round():
    one = gaussian_stability(0.0, 50, 4, 200, Truth(), 0)
    assert np.all(one.gamma == one.gamma[0]) and np.all(one.null == 0)


def test_equal_runs_are_nowhere_apart_and_others_as_far_as_they_are(tmp_path):
    folders = [tmp_path / name for name in ("run", "same", "other")]
    run, same, other = (Fit(f, seed=s)().data.run for f, s in zip(folders, (0, 0, 1), strict=True))
    for one in runs_stability(run, other, [same, same]):
        assert np.all(one.gamma == 0) and np.all(one.high == 0) and np.all(one.null > 0)
    outputs, means = runs_stability(run, other, [other])
    assert np.array_equal(outputs.gamma, outputs.null) and np.isnan(outputs.low).all()
    apart = [
        (other.samples(r)[torch.arange(48)] - run.samples(r)[torch.arange(48)]).mean(0).norm()
        for r in range(2)
    ]
    assert means.gamma == pytest.approx(np.array(apart), rel=1e-4)


def test_the_toy_writes_its_coefficient_beside_theory(tmp_path, cli):
    words = ("analyse", "stability", "--toy", "gaussian", "--rounds", 3, "--replicas", 100)
    status, said, errors = cli(*words, "--out", tmp_path)
    assert (status, errors) == (0, "") and "mean, N = 800" in said
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["command"].startswith("analyse stability --toy gaussian")
    assert [one["n"] for one in summary["stability"]] == [200, 800]
    assert (tmp_path / "stability.png").exists() and (tmp_path / "stability.pdf").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "config: name the configuration of the runs, or else --toy gaussian"),
        (["--config", "none.yaml"], "config = none.yaml: no such file"),
        (["--toy", "gaussian", "--n", 1], "n = 1: must be at least 2"),
        (["--toy", "gaussian", "--synthetic_fraction", 2], "synthetic_fraction = 2: must lie in"),
        (["--config", POINTS, "--swaps", 0], "swaps = 0: must be at least 1"),
        (["--config", POINTS, "--n", 3], "swaps = 4: must be at most the 3 training rows"),
        (["--config", POINTS, "--set", '{"data.swop": 1}'], "run=run: data.swop: unknown key"),
    ],
)
def test_mistakes_are_one_line_before_anything_is_run(tmp_path, cli, words, said):
    status, _, errors = cli("analyse", "stability", *words, "--out", tmp_path / "out")
    assert status == 2 and errors.startswith(f"error: {said}") and errors.count("\n") == 1
    assert not (tmp_path / "out/runs").exists()


@pytest.mark.slow
def test_runs_are_made_measured_and_not_made_again(tmp_path, cli):
    words = ("analyse", "stability", "--config", POINTS, "--n", 48, "--swaps", 2, "--rounds", 2)
    words = (*words, "--set", json.dumps(TINY), "--devices", "cpu", "--out", tmp_path)
    assert cli(*words)[0] == 0
    first = (tmp_path / "summary.json").read_bytes()
    outputs, means = json.loads(first)["stability"]
    assert outputs["n"] == 48 and min(outputs["gamma"] + means["gamma"] + outputs["null"]) > 0
    made = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("checkpoints/*")}
    assert len(made) == 4 * 3
    (terms,) = json.loads(first)["terms"]
    assert len(terms["gap"]) == len(terms["beta"]) == 2 and (tmp_path / "terms.pdf").exists()
    assert cli(*words)[0] == 0 and (tmp_path / "summary.json").read_bytes() == first
    assert {path: path.stat().st_mtime_ns for path in made} == made
