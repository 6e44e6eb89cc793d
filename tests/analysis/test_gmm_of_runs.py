"""A mixture beside runs: sets whose components are known, and the loop of a real run."""

import json

import numpy as np
import pytest
import torch
from records import write_run, write_samples

from lightning_collapse import Mixture
from lightning_collapse.analysis.gmm import DIFFUSION, HELD_OUT, MIXTURE, baseline
from lightning_collapse.learners.learner import GaussianMixtureEM
from lightning_collapse.runs.split import recorded_split
from lightning_collapse.toys.conditions import condition
from lightning_collapse.toys.diffusion import loop_samples

N, ROUNDS = 600, 3
REPLACE = {"regime_options": {"synthetic_fraction": 1.0}}


def points(n, seed):
    return Mixture(n).read(seed)[0].float()


def a_run(folder, seed=0, change=lambda rows, r: rows, **fixed):
    """A run whose samples are real rows but for a change in every round."""
    columns = {"fd_points": [0.1] * ROUNDS}
    fixed = {"n_train": N, "n_held_out": N, "fd_points_floor": 0.1, "fd_n": N} | fixed
    run = write_run(folder, columns, seed=seed, n_samples=N, n_trainable=N, **fixed)
    text = run.table.read_text().replace('"fd_pixels_floor": 0.4, ', "")
    run.table.write_text(text)
    samples = [change(points(N, 100 + r), r) for r in range(ROUNDS)]
    return write_samples(run, points(2 * N, seed), samples)


def test_the_mixture_goes_through_the_runs_own_loop(tmp_path):
    run = a_run(tmp_path, **REPLACE)
    told = baseline(run, reg_covar=0.0)
    _, train, _ = recorded_split(run, run.records[0])
    real = train[torch.arange(N)].double()
    learner = GaussianMixtureEM(3, seed=0)
    samples = loop_samples(learner, real, condition("Replace", 1.0, N, ROUNDS), ROUNDS, 0)
    last = told.components[MIXTURE]
    # The weighted means of the components are the mean of the samples themselves.
    assert last.shares[-1] @ last.means == pytest.approx(samples[-1].mean(0).numpy(), abs=1e-9)


def test_both_are_measured_alike_and_equal_sets_are_equally_far(tmp_path):
    told = baseline(a_run(tmp_path))
    diffusion, mixture = (told.figures[name] for name in (DIFFUSION, MIXTURE))
    assert set(diffusion) == set(mixture) and len(diffusion["sw2_points"]) == ROUNDS
    assert diffusion["fd_points_floor"][0] == mixture["fd_points_floor"][0]
    # Fresh real rows: two coordinates of variance about 0.2, 600 rows a side.
    assert diffusion["fd_points"].max() < 0.005
    assert diffusion["recall_points"].min() > 0.8


def test_components_tell_what_has_become_of_a_mode(tmp_path):
    def change(rows, r):
        """Loses a third of the mode above, which narrows by half and moves by 1/8."""
        above = rows[:, 1] > 0
        lost = above & (torch.arange(len(rows)) % 3 == 0)
        centre = torch.tensor([0.0, 0.5])
        moved = torch.where(above[:, None], centre + (rows - centre) / 2 + 0.125, rows)
        other = rows[~above]
        moved[lost] = other[: int(lost.sum())]
        return moved if r == ROUNDS - 1 else rows

    told = baseline(a_run(tmp_path, change=change))
    above = int(told.real["means"][:, 1].argmax())
    parts = told.components[DIFFUSION]
    assert parts.shares[0] == pytest.approx(np.full(3, 1 / 3), abs=0.07)
    assert parts.shares[-1, above] == pytest.approx(2 / 9, abs=0.05)
    assert parts.variance[-1, above] == pytest.approx(1 / 4, abs=0.06)
    trace = told.real["traces"][above]
    assert parts.shift[-1, above] == pytest.approx(2**0.5 / 8 / trace**0.5, rel=0.2)
    held = told.components[HELD_OUT]
    assert held.shares.shape == (1, 3) and held.variance[0] == pytest.approx(np.ones(3), abs=0.2)


def test_a_regime_of_ones_own_and_too_few_rows_are_refused(tmp_path):
    own = a_run(tmp_path / "own", regime="Mine")
    with pytest.raises(ValueError, match="its regime, Mine, is of its user's own"):
        baseline(own)
    with pytest.raises(ValueError, match="must be at least the number of components, 601"):
        baseline(a_run(tmp_path / "few"), components=601)


def test_the_command_tells_several_seeds_and_writes_all(tmp_path, cli):
    for seed in range(2):
        a_run(tmp_path / f"runs/{seed}", seed=seed)
    out = tmp_path / "out"
    status, said, errors = cli("analyse", "gmm", tmp_path / "runs", "--out", out)
    assert (status, errors) == (0, "") and "components of the real training rows" in said
    summary = json.loads((out / "summary.json").read_text())
    assert summary["command"].startswith(f"analyse gmm {tmp_path / 'runs'}")
    first = summary["runs"][0]
    assert len(first["figures"]["mixture"]["fd_points"]) == ROUNDS
    assert np.shape(first["components"]["diffusion"]["shares"]) == (ROUNDS, 3)
    assert (out / "gmm.png").exists() and (out / "gmm.pdf").exists()


def test_runs_of_several_conditions_and_without_rows_are_one_line(tmp_path, cli):
    a_run(tmp_path / "a")
    a_run(tmp_path / "b", restart="warm")
    status, _, errors = cli("analyse", "gmm", tmp_path / "a", tmp_path / "b")
    assert status == 2 and errors.startswith("error: runs: are of several conditions")
    kept = write_run(tmp_path / "kept", {"fd_pixels": [1.0] * 2})
    kept.pool.rmdir()
    status, _, errors = cli("analyse", "gmm", kept, "--out", tmp_path / "out")
    assert status == 2 and errors.startswith("error: ") and errors.count("\n") == 1


def test_the_mixture_of_a_control_stays_where_it_is(tmp_path):
    control = {"regime_options": {"synthetic_fraction": 0.0}, "n_real": N, "n_synthetic": 0}
    told = baseline(a_run(tmp_path, **control))
    # The same rows in every round; k-means and samples alone differ.
    assert told.figures[MIXTURE]["fd_points"].max() < 0.005
