"""Ridge on mixtures against its asymptotic theory, and against ridge on its own."""

import json

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from lightning_collapse.toys.strong_collapse import (
    Mixture,
    Sweep,
    ridge,
    simulate_sweep,
    summarise_sweep,
)

MIXTURE = Mixture(dim=200, quality=1.0, noise=0.25, penalty=0.01, replicas=40, seed=3)
SWEEPS = {
    "ridge": Sweep([100, 400]),
    "projections": Sweep([150, 150, 150], [50, 150, 450]),
}


@pytest.mark.parametrize("model", SWEEPS)
@pytest.mark.parametrize("fraction", [0.01, 0.5, 1.0])
def test_errors_and_what_synthetic_rows_add_are_theorys(model, fraction):
    sweep = SWEEPS[model]
    errors = simulate_sweep(sweep, [fraction], MIXTURE)
    summary = summarise_sweep(sweep, fraction, errors[:, 0], errors[:, 1], MIXTURE)
    expected = summary["theory"]
    for name, values in (
        ("real_error_mean", errors[:, 0]),
        ("error_mean", errors[:, 1]),
        ("zeta_mean", errors[:, 1] - errors[:, 0]),
    ):
        # Theory is that of d -> infinity; at d = 200 it is off by a few per cent.
        error = values.std(1) / MIXTURE.replicas**0.5
        off = np.abs(summary[name] - np.array(expected[name]))
        assert (off < 3.5 * error + 0.04 * np.abs(expected[name])).all(), name
    total = np.add(expected["bias"], expected["variance"]) + expected["zeta_mean"]
    assert total == pytest.approx(np.array(expected["error_mean"]))


def test_width_amplifies_and_never_removes_what_synthetic_rows_add():
    sweep = Sweep([150] * 4, [20, 100, 150, 1000])
    errors = simulate_sweep(sweep, [0.5], MIXTURE)
    small, below, threshold, wide = (errors[:, 1] - errors[:, 0]).mean(1)
    assert small < below < threshold
    # Theory gives 1.49 here.
    assert threshold > 1.2 * wide
    assert wide > 5 * small


def test_no_synthetic_row_adds_nothing():
    errors = simulate_sweep(Sweep([20]), [0.0], Mixture(10, 1.0, 0.1, 0.1, 3, 0))
    assert np.array_equal(errors[:, 0], errors[:, 1])


@pytest.mark.parametrize("shape", [(30, 8), (8, 30)])
def test_ridge_is_scikit_learns(shape):
    chance = np.random.default_rng(0)
    x, y = chance.standard_normal(shape), chance.standard_normal((shape[0], 2))
    theirs = Ridge(alpha=0.1 * shape[0], fit_intercept=False).fit(x, y)
    assert ridge(x, y, 0.1) == pytest.approx(theirs.coef_.T)


def test_a_replica_does_not_depend_on_how_many_there_are():
    sweep = Sweep([10, 20], [5, 30])
    few, many = (
        simulate_sweep(sweep, [0.5], Mixture(8, 1.0, 0.1, 0.1, replicas, 0)) for replicas in (2, 5)
    )
    assert few.tobytes() == many[:, :, :2].tobytes()


def test_what_the_command_writes(cli, tmp_path):
    small = ("--n", "10,30", "--widths", "5,10,20", "--width_n", 10, "--dim", 8, "--replicas", 3)
    small += ("--lambdas", "0.1,0.5")
    for name in ("a", "b"):
        assert cli("toy", "strong-collapse", *small, "--out", tmp_path / name)[0] == 0
    names = {"rounds.csv", "summary.json", "strong_collapse.png", "strong_collapse.pdf"}
    names |= {"ends.png", "ends.pdf"}
    assert {path.name for path in (tmp_path / "a").iterdir()} == names
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    conditions = json.loads((tmp_path / "a" / "summary.json").read_text())["conditions"]
    assert [(c["model"], c["lambda"]) for c in conditions] == [
        ("ridge", 0.1),
        ("ridge", 0.5),
        ("projections", 0.1),
        ("projections", 0.5),
    ]
    assert conditions[0]["n"] == [10, 30]
    assert conditions[2]["width"] == [5, 10, 20]
    assert len((tmp_path / "a" / "rounds.csv").read_text().splitlines()) == 1 + 2 * 2 + 2 * 3
