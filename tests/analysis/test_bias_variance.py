"""`analyse bias-variance`: runs whose parts are known, and toys beside theory.md."""

import json

import numpy as np
import pytest
import torch
from records import write_run, write_samples
from tiny_runs import POINTS, Fit

from lightning_collapse import EDMLoss, Run
from lightning_collapse.analysis.bias_variance import (
    common_batch,
    embedding_errors,
    split_runs,
    varied,
)
from lightning_collapse.analysis.bias_variance_toys import gaussian_splits, ridge_splits
from lightning_collapse.analysis.conditions import conditions
from lightning_collapse.metrics.kernel import polynomial_kernel
from lightning_collapse.rows import network_units
from lightning_collapse.runs.split import recorded_split
from lightning_collapse.theory.regression import ridge_error, ridge_split
from lightning_collapse.toys.conditions import condition
from lightning_collapse.toys.gaussian_fits import Truth
from lightning_collapse.toys.strong_collapse import Mixture


def inside(interval, truth, errors=2.0):
    half = interval.high - interval.mean
    return abs(interval.mean - truth) < errors * half


def test_the_gaussian_toy_agrees_with_its_exact_prediction():
    mean, variance = gaussian_splits(condition("Replace", 1.0, 100, 8), 8, 4000, Truth(), 0)
    for split in (mean, variance):
        for r, one in enumerate(split.splits):
            assert one.error == pytest.approx(one.bias2 + one.variance, rel=1e-12)
            assert inside(one.bias2_interval, split.bias2[r])
            assert inside(one.variance_interval, split.variance[r])
    # theory.md §j, at t = 8.
    q = 1 - 1 / 100
    assert variance.bias2[7] == pytest.approx(4 * (1 - q**8) ** 2)
    assert mean.variance[7] == pytest.approx(2 * (1 - q**8))


def test_ridge_agrees_with_its_prediction_and_the_sum_with_the_error():
    # d = 100, n = 200, penalty 0.1, half synthetic: theory.md has .20334 and .30017.
    mixture = Mixture(100, 1.0, 0.25, 0.1, 300, 0)
    split = ridge_splits([200], 0.5, mixture)
    assert split.bias2[0] == pytest.approx(0.20334, abs=1e-5)
    assert split.variance[0] == pytest.approx(0.30017, abs=1e-5)
    (one,) = split.splits
    assert one.bias2_debiased == pytest.approx(split.bias2[0], rel=0.05)
    assert one.variance_debiased == pytest.approx(split.variance[0], rel=0.05)


def test_bias_and_variance_of_ridge_sum_to_its_error_for_any_spectrum():
    s = np.linspace(0.2, 3, 40)
    parts = dict(rows=25, synthetic_fraction=0.3, penalty=0.05, noise=0.5)
    truth, shift = np.full(40, 0.1), np.linspace(0, 0.2, 40)
    total = ridge_error(s, truth, shift, **parts).total
    assert sum(ridge_split(s, truth, shift, **parts)) == pytest.approx(total, rel=1e-12)


def test_kernel_embeddings_split_exactly_and_are_debiased():
    told = []
    for seed in range(60):
        chance = torch.Generator().manual_seed(seed)
        sets = [torch.randn(30, 2, generator=chance, dtype=torch.float64) for _ in range(4)]
        truth = torch.randn(40, 2, generator=chance, dtype=torch.float64)
        one = embedding_errors(sets, truth)[1].decompose()
        assert one.error == pytest.approx(one.bias2 + one.variance, rel=1e-12)
        # The error is the mean squared discrepancy, a V-statistic.
        apart = [
            polynomial_kernel(a, a).mean()
            + polynomial_kernel(truth, truth).mean()
            - 2 * polynomial_kernel(a, truth).mean()
            for a in sets
        ]
        assert one.error == pytest.approx(float(torch.stack(apart).mean()), rel=1e-9)
        told.append((one.bias2_debiased, one.variance_debiased, one.error))
    # All sets are of one law: nothing is left but the noise of draws, which is taken off.
    bias2, variance, error = np.array(told).T
    assert abs(bias2.mean()) < 4 * bias2.std() / 60**0.5
    assert abs(variance.mean()) < 4 * variance.std() / 60**0.5
    assert error.mean() > 0.1


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    for seed in range(2):
        Fit(folder / f"seed{seed}", rounds=2, data={**POINTS, "seed": seed})()
    return folder


def test_the_error_of_outputs_is_edms_loss_on_the_common_batch(trained):
    (one,) = conditions([Run(trained / f"seed{seed}") for seed in range(2)])
    assert varied(one) == "data and chance"
    batch = common_batch(one)
    assert batch.unseen and len(batch.clean) == 16
    outputs, samples = split_runs(one, batch)
    for r in range(2):
        losses = []
        for run in one.runs.values():
            loss = EDMLoss()
            errors = loss(run.denoiser(r), batch.clean, batch.sigma, batch.noise)
            losses.append(float(errors.mean().detach()))
        told = outputs.rounds[r]
        assert told.error == pytest.approx(np.mean(losses), rel=1e-5)
        for space in (outputs, samples):
            part = space.rounds[r]
            assert part.error == pytest.approx(part.bias2 + part.variance, rel=1e-12)
            assert part.variance > 0 and part.bias2_interval is None


def test_the_command_tells_runs_and_why_there_is_no_interval(trained, tmp_path, cli):
    status, said, errors = cli("analyse", "bias-variance", trained, "--out", tmp_path)
    assert (status, errors) == (0, "")
    assert "data and chance varied; no intervals: 2 runs are fewer than 8" in said
    (summary,) = json.loads((tmp_path / "summary.json").read_text())["conditions"]
    assert [space["space"] for space in summary["spaces"]] == ["outputs", "samples"]
    assert (tmp_path / "bias_variance.pdf").exists()
    status, _, errors = cli("analyse", "bias-variance", trained / "seed0", "--out", tmp_path)
    assert status == 2 and "has one seed" in errors
    status, _, errors = cli("analyse", "bias-variance", "--out", tmp_path)
    assert status == 2 and "runs: name some, or else a --toy" in errors


def test_rows_that_all_runs_hold_out_are_preferred(tmp_path):
    real = torch.randn(400, 2, generator=torch.Generator().manual_seed(0))
    runs = []
    for seed in range(2):
        fixed = {"n_train": 200, "n_held_out": 200, "fd_points_floor": 0.1}
        run = write_run(tmp_path / f"r{seed}", {"fd_points": [0.1]}, seed=seed, **fixed)
        runs.append(write_samples(run, real, [real[:100]]))
    (one,) = conditions(runs)
    batch = common_batch(one, rows=60)
    assert batch.unseen
    held = [held_out(run) for run in runs]
    for row in batch.clean:
        assert all((network_units(own) == row).all(1).any() for own in held)
    # Of 200 of 400 in each of two runs, about 100 are in both.
    assert not common_batch(one, rows=400).unseen


def held_out(run):
    return recorded_split(run, run.records[0])[2][torch.arange(200)]


def test_the_toy_writes_its_splits_beside_theory(tmp_path, cli):
    toy = "--toy", "gaussian", "--n", 50, "--rounds", 3, "--replicas", 50, "--out", tmp_path
    status, said, errors = cli("analyse", "bias-variance", *toy)
    assert (status, errors) == (0, "") and "theory" in said
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["command"].startswith("analyse bias-variance --toy gaussian ")
    assert [split["parameter"] for split in summary["toy"]] == ["mean", "variance"]
    status, _, errors = cli("analyse", "bias-variance", "--toy", "gaussian", "--n", "50,60")
    assert status == 2 and errors.startswith("error: n = 50,60: must be one number")
