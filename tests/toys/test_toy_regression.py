"""Least squares in a loop against its closed forms, and against least squares on rows."""

import json

import numpy as np
import pytest
from closed_forms import same_inputs_error_std

from lightning_collapse.theory import regression as theory
from lightning_collapse.toys.conditions import condition
from lightning_collapse.toys.regression import Task, predicted_errors, regress

TASK = Task(dim=10, noise=1.0, rounds=20, replicas=800, seed=1)


def z_scores(errors, expected, dim, rows):
    """With the standard error of fits on the same inputs, the widest there is."""
    error = same_inputs_error_std(expected, dim, rows) / errors.shape[1] ** 0.5
    return (errors.mean(1) - expected) / error


@pytest.mark.parametrize(
    ("name", "fraction", "inputs", "task", "n"),
    [
        ("Replace", 1.0, "same", TASK, 30),
        ("Replace", 1.0, "fresh", TASK, 30),
        ("Replace", 0.0, "fresh", TASK, 30),
        ("Accumulate", 1.0, "same", TASK, 30),
        ("Accumulate", 1.0, "fresh", TASK, 30),
        ("Accumulate", 0.3, "fresh", TASK, 30),
        ("Fresh", 0.5, "fresh", Task(20, 1.0, 12, 300, 2), 60),
        ("Fresh", 0.9, "fresh", Task(20, 1.0, 12, 300, 2), 60),
        ("Accumulate", 1.0, "fresh", Task(50, 0.25, 15, 300, 3), 80),
    ],
)
def test_errors_and_steps_are_theorys(name, fraction, inputs, task, n):
    setting = condition(name, fraction, n, task.rounds)
    errors, steps = regress(setting, inputs, task)
    expected = predicted_errors(setting, inputs, task)
    z = z_scores(errors, expected["error_mean"], task.dim, n)
    assert np.abs(z[[0, 1, 4, -1]]).max() < 3.5
    if "mean_sq_increment" in expected and fraction > 0:
        z = z_scores(steps[1:], expected["mean_sq_increment"][1:], task.dim, n)
        assert np.abs(z[[0, 3, -1]]).max() < 3.5


def test_the_spread_over_replicas_is_theorys():
    setting = condition("Replace", 1.0, 30, 20)
    errors, _ = regress(setting, "same", TASK)
    expected = same_inputs_error_std(theory.replace_error(20, 10, 30), 10, 30)
    assert errors[-1].std() == pytest.approx(expected, rel=0.15)


@pytest.mark.parametrize("inputs", ["same", "fresh"])
def test_blocks_are_what_rows_would_give(inputs):
    """The same loop with numpy's least squares on rows, accumulated."""
    replicas, dim, n, rounds = 3000, 3, 9, 4
    chance, by_rows = np.random.default_rng(0), np.zeros((rounds, replicas))
    for i in range(replicas):
        x, w = [chance.standard_normal((n, dim))], np.zeros(dim)
        y = [chance.standard_normal(n)]
        for r in range(rounds):
            w = np.linalg.lstsq(np.concatenate(x), np.concatenate(y), rcond=None)[0]
            by_rows[r, i] = w @ w
            x.append(x[0] if inputs == "same" else chance.standard_normal((n, dim)))
            y.append(x[-1] @ w + chance.standard_normal(n))
    task = Task(dim, 1.0, rounds, replicas, 4)
    errors, _ = regress(condition("Accumulate", 1.0, n, rounds), inputs, task)
    for quantile in (0.25, 0.5, 0.75):
        ours, theirs = (np.quantile(e, quantile, axis=1) for e in (errors, by_rows))
        assert ours == pytest.approx(theirs, rel=0.15)


def test_fresh_labels_alone_and_none():
    fits = np.arange(1, 10)
    assert theory.fresh_mix_error(fits, 10, 30, 1.0) == pytest.approx(
        theory.replace_error(fits, 10, 30)
    )
    assert theory.fresh_mix_error(fits, 10, 30, 0.0) == pytest.approx(
        np.full(9, theory.replace_error(1, 10, 30))
    )
    golden = {0.1: 0.5338, 0.5: 0.8081, 0.9: 2.9515, 1.0: 6.0504}
    for fraction, error in golden.items():
        assert theory.fresh_mix_error(12, 60, 180, fraction) == pytest.approx(error, abs=1e-4)


def test_a_replica_does_not_depend_on_how_many_there_are():
    setting = condition("Fresh", 0.5, 12, 4)
    few, _ = regress(setting, "fresh", Task(3, 1.0, 4, 2, 0))
    many, _ = regress(setting, "fresh", Task(3, 1.0, 4, 7, 0))
    assert few.tobytes() == many[:, :2].tobytes()


def test_what_the_command_writes(cli, tmp_path):
    small = ("--n", 20, "--dim", 4, "--rounds", 3, "--replicas", 5, "--lambdas", "0.5,1.0")
    for name in ("a", "b"):
        assert cli("toy", "regression", *small, "--out", tmp_path / name)[0] == 0
    names = {"rounds.csv", "summary.json", "error.png", "error.pdf"}
    names |= {"ends.png", "ends.pdf"}
    assert {path.name for path in (tmp_path / "a").iterdir()} == names
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    conditions = json.loads((tmp_path / "a" / "summary.json").read_text())["conditions"]
    assert [(c["regime"], c["lambda"], c["inputs"]) for c in conditions] == [
        ("Replace", 0.5, "fresh"),
        ("Replace", 1.0, "same"),
        ("Replace", 1.0, "fresh"),
        ("Accumulate", 0.5, "fresh"),
        ("Accumulate", 1.0, "same"),
        ("Accumulate", 1.0, "fresh"),
    ]
    assert [c["samples_per_round"] for c in conditions] == [10, 20, 20, 10, 20, 20]
    assert conditions[0]["theory"] == {}
    base = theory.replace_error(1, 4, 20)
    assert conditions[1]["theory"]["error_mean"] == pytest.approx(list(base * [1, 2, 3]))
