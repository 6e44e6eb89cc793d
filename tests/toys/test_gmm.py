"""The mixture toy: the same loop as `generations`, theory where there is one component."""

import csv
import json
import shlex
from math import log

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.special import digamma, polygamma

from lightning_collapse.learners.learner import GaussianMixtureEM
from lightning_collapse.learners.mixtures import refit, sample_mixtures
from lightning_collapse.metrics.distance import SlicedWasserstein
from lightning_collapse.metrics.modes import Modes
from lightning_collapse.pool import Pool
from lightning_collapse.seeds import generator, key
from lightning_collapse.toys import gmm as module
from lightning_collapse.toys.conditions import condition
from lightning_collapse.toys.generations import generations
from lightning_collapse.toys.gmm import (
    THREE_MODES,
    Protocol,
    replica_seed,
    run_mixtures,
    summary,
)

N, ROUNDS, Z = 30, 5, 3.5
REGIMES = ["Replace", "Turnover", "Augment", "Accumulate", "AccumulateSubsample", "Fresh"]
ONE_MODE = {"components": 1, "modes": ((1.0, 3.0),), "variance": 0.5}


def run(name, fraction, n=N, **options):
    protocol = Protocol(**{"rounds": ROUNDS, "replicas": 3, "seed": 7, **options})
    return run_mixtures(condition(name, fraction, n, protocol.rounds), protocol)


@pytest.mark.parametrize("init", ["kmeans", "warm"])
@pytest.mark.parametrize("name", [name for name in REGIMES if name != "AccumulateSubsample"])
def test_a_replica_is_a_loop_of_generations_bit_for_bit(name, init):
    protocol = Protocol(ROUNDS, replicas=2, seed=7, init=init)
    asked = condition(name, 0.4, N, ROUNDS)
    course = run_mixtures(asked, protocol)
    for replica in range(2):
        seed = replica_seed(7, replica)
        real = torch.from_numpy(protocol.real_rows(asked.n_real, seed))
        learner = GaussianMixtureEM(3, init, seed=seed)
        loop = generations(
            learner,
            Pool(real, seed),
            asked.regime,
            rounds=ROUNDS,
            samples_per_round=N,
            seed=seed,
        )
        variances = [
            np.diagonal(learner.mixture.covariances, axis1=-2, axis2=-1).mean() for _ in loop
        ]
        assert course.statistics["variance"][replica].tolist() == variances


@pytest.mark.parametrize("name", REGIMES)
def test_replicas_train_on_what_the_pool_would_give(name):
    protocol = Protocol(ROUNDS, replicas=3)
    asked = condition(name, 0.6, N, ROUNDS)
    seeds = [replica_seed(0, replica) for replica in range(3)]
    together = module._ReplicaPool(asked, protocol, seeds)
    pools = [
        Pool(torch.from_numpy(protocol.real_rows(asked.n_real, seed)), seed) for seed in seeds
    ]
    for r in range(ROUNDS):
        expected = [pool.draw(asked.regime).numpy() for pool in pools]
        assert np.array_equal(together.draw(), np.stack(expected))
        random = generator(0, "samples", r)
        samples = torch.randn(3, asked.samples_per_round, 2, dtype=torch.float64, generator=random)
        together.deposit(samples.numpy())
        for pool, made in zip(pools, samples, strict=True):
            pool.deposit(made)


@pytest.mark.parametrize("name", REGIMES)
def test_a_replica_does_not_depend_on_how_many_are_computed_together(name, monkeypatch):
    options = {"replicas": 5, "rounds": 4}
    whole = run(name, 0.5, **options)
    monkeypatch.setattr(module, "_NUMBERS_AT_A_TIME", 2 * 3 * N)
    parts, fewer = run(name, 0.5, **options), run(name, 0.5, **options | {"replicas": 2})
    for statistic, values in whole.statistics.items():
        assert np.array_equal(parts.statistics[statistic], values)
        assert np.array_equal(fewer.statistics[statistic], values[:2])
    assert np.array_equal(parts.samples, whole.samples)


def test_seeds_are_told_apart():
    a, b = run("Replace", 1.0), run("Replace", 1.0, seed=8)
    assert not np.isin(a.statistics["variance"], b.statistics["variance"]).any()


# One component: the theory of the Gaussian loop


def z_scores(numbers, expected, error):
    return (numbers.mean(0) - expected) / (error / len(numbers) ** 0.5)


@pytest.mark.parametrize(
    ("name", "fraction"),
    [("Replace", 1.0), ("Replace", 0.5), ("Turnover", 0.5), ("Augment", 0.5), ("Fresh", 0.5)]
    + [("Accumulate", 1.0), ("AccumulateSubsample", 1.0)],
)
def test_variance_lost_is_drift_of_the_mean_gained(name, fraction):
    """E v_t + E (mu_t - mu)^2 = variance, per axis, in every round and regime."""
    course = run(name, fraction, replicas=300, rounds=6, **ONE_MODE)
    total = course.statistics["variance"] + course.statistics["sq_error"]
    assert np.abs(z_scores(total, 0.5, total.std(0))).max() < Z


def test_full_replacement_follows_theory():
    """E tr = (1 - 1/N)^t tr Sigma, and E log det falls by a sum of digammas a round."""
    n, rounds, replicas = 20, 10, 500
    variance = run("Replace", 1.0, n, replicas=replicas, rounds=rounds, **ONE_MODE).statistics[
        "variance"
    ]
    t = np.arange(1, rounds + 1)
    # Of one axis, E v^2 = s^4 (1 - 1/N^2)^t: no more than that for the mean of two.
    spread = 0.5 * np.sqrt((1 - 1 / n**2) ** t - (1 - 1 / n) ** (2 * t))
    assert np.abs(z_scores(variance, 0.5 * (1 - 1 / n) ** t, spread)).max() < Z
    rows, drop, chance = start_rows(n, replicas), *log_determinant(n, d=2)
    for r in range(rounds):
        fit = refit(rows, 1, None, [key(r, "k", i) for i in range(replicas)])
        if r in (0, 4, 9):
            moved = np.log(np.linalg.det(fit.covariances[:, 0] / 0.5))[:, None]
            assert abs(z_scores(moved, (r + 1) * drop, ((r + 1) * chance) ** 0.5)[0]) < Z
        rows, _ = sample_mixtures(fit, n, [generator(r, "s", i) for i in range(replicas)])


def start_rows(n, replicas):
    protocol = Protocol(1, **ONE_MODE)
    return np.stack([protocol.real_rows(n, seed) for seed in range(replicas)])


def log_determinant(n, d):
    """Mean and variance of what one fit of n rows adds to log det(Sigma)."""
    shapes = [(n - j) / 2 for j in range(1, d + 1)]
    drop = sum(digamma(a) for a in shapes) + d * log(2 / n)
    return drop, sum(polygamma(1, a) for a in shapes)


def test_replacing_loses_what_the_control_keeps():
    protocol = Protocol(60, replicas=6, seed=0)
    courses = [
        run_mixtures(condition("Replace", fraction, 60, 60), protocol) for fraction in (1.0, 0.0)
    ]
    lost, kept = (summary(c.condition, c.statistics, protocol) for c in courses)
    assert kept["variance_mean"][-1] == pytest.approx(0.48, rel=0.1)
    assert kept["modes_covered_mean"][-1] == 3
    assert kept["sliced_wasserstein_mean"][-1] < 1.5 * kept["sliced_wasserstein_floor"]
    assert lost["modes_covered_mean"][-1] < 2.5
    assert lost["sliced_wasserstein_mean"][-1] > 2 * lost["sliced_wasserstein_floor"]
    assert lost["smallest_mode_share_mean"][-1] < 0.1


def test_the_floor_of_scikit_learn_shows():
    """reg_covar = 1e-6 keeps a variance up that falls to nothing without it."""
    options = {"replicas": 4, "rounds": 60, **ONE_MODE}
    bare, held = (
        run("Replace", 1.0, 3, reg_covar=reg_covar, **options).statistics["variance"][:, -1]
        for reg_covar in (0.0, 1e-6)
    )
    assert (bare < 1e-12).any()
    assert (held >= 1e-6).all()


# The command


SMALL = ["--n", "40", "--rounds", "4", "--replicas", "3", "--lambdas", "0.3,1.0"]


def test_the_command_writes_tables_and_figures(cli, tmp_path):
    status, out, _ = cli("toy", "gmm", *SMALL, "--out", tmp_path / "a")
    lines = [line for line in out.splitlines() if line[0] != "*"]
    assert status == 0
    assert len(lines) == 1 + 2 * 3 + 1 and lines[-1] == f"results: {tmp_path / 'a'}"
    for name in (
        "modes_covered.png",
        "sliced_wasserstein.png",
        "variance.png",
        "samples.png",
        "ends.png",
    ):
        with Image.open(tmp_path / "a" / name) as picture:
            assert min(picture.size) > 400
    content = json.loads((tmp_path / "a" / "summary.json").read_text())
    assert [c["lambda"] for c in content["conditions"]] == [0.3, 1.0]
    for wanted in content["conditions"]:
        assert wanted["round"] == [0, 1, 2, 3]
        for name in ("variance_q05", "log_variance_mean", "modes_covered_mean"):
            assert len(wanted[name]) == 4
        assert "theory" not in wanted
    with open(tmp_path / "a" / "rounds.csv", newline="") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == 8
    assert float(lines[5]["variance_mean"]) == content["conditions"][1]["variance_mean"][1]


def test_what_is_always_measured_is_what_the_measures_tell():
    measures = (
        SlicedWasserstein(directions=50, seed=7),
        Modes(centers=THREE_MODES),
    )
    told = run("Replace", 1.0, measures=measures).statistics
    assert told["sw2_points"] == pytest.approx(told["sliced_wasserstein"])
    shares = np.stack([told[f"mode_shares_points/{i}"] for i in range(3)])
    assert (shares.min(0) == told["smallest_mode_share"]).all()
    assert (told["sw2_points_floor"] == told["sw2_points_floor"][0, 0]).all()
    assert (
        np.isnan(told["sw2_points_step"][:, 0]).all()
        and (told["sw2_points_step"][:, 1:] > 0).all()
    )


def test_measures_that_are_named_have_columns(cli, tmp_path):
    words = ("--measures", "[Balls]", "--out", tmp_path)
    assert cli("toy", "gmm", *SMALL, *words)[0] == 0
    content = json.loads((tmp_path / "summary.json").read_text())
    # It can be given again.
    again = shlex.split(content["command"])
    assert again[-2:] == [
        "--measures",
        '[{"class_path": "lightning_collapse.metrics.coverage.Balls", "init_args": {}}]',
    ]
    assert cli("toy", "gmm", *again[2:], "--out", tmp_path / "again")[0] == 0
    assert json.loads((tmp_path / "again" / "summary.json").read_text()) == content
    for told in content["conditions"]:
        assert told["recall_points_step_mean"][0] is None and told["recall_points_mean"][3] > 0


def test_the_same_seed_gives_the_same_bytes(cli, tmp_path, monkeypatch):
    monkeypatch.setattr("lightning_collapse.commands.toy_gmm.draw_mixtures", lambda *_: None)
    assert cli("toy", "gmm", *SMALL, "--out", tmp_path / "a")[0] == 0
    monkeypatch.setattr(module, "_NUMBERS_AT_A_TIME", 1)
    assert cli("toy", "gmm", *SMALL, "--out", tmp_path / "b")[0] == 0
    for name in ("summary.json", "rounds.csv"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
