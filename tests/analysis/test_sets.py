"""Distances and steps between the sets of a run, against what they were drawn from."""

import numpy as np
import torch
from records import write_run, write_samples

from lightning_collapse.analysis.sets import read_sets
from lightning_collapse.lit.data import PoolDataModule
from lightning_collapse.regimes import Replace
from lightning_collapse.runs.split import recorded_split

N = 4000


def normal(mean, seed, n=N):
    return torch.randn(n, 2, generator=torch.Generator().manual_seed(seed)) + mean


def points_run(folder, means, seed=0):
    columns = {"fd_points": [0.1] * len(means)}
    run = write_run(folder, columns, seed=seed, n_train=N, n_held_out=N, fd_points_floor=0.1)
    return write_samples(run, normal(0.0, 99, 2 * N), [normal(m, r) for r, m in enumerate(means)])


def test_distances_and_steps_are_those_of_the_means(tmp_path):
    sets = read_sets(points_run(tmp_path / "run", [0.0, 1.0, 3.0]))
    assert sets.names == ["real", "held out", "round 0", "round 1", "round 2"]
    assert sets.n == N
    at = np.array([0.0, 0.0, 0.0, 1.0, 3.0])
    # In the plane each coordinate moves.
    expected = 2 * np.square(at[:, None] - at)
    assert np.abs(sets.distances() - expected).max() < 0.25
    assert np.abs(sets.steps() - [2.0, 8.0]).max() < 0.3


def test_steps_are_unbiased_for_the_number_of_rows(tmp_path):
    # Without the correction, 2 tr Σ / n = 0.001 each.
    sets = read_sets(points_run(tmp_path / "run", [0.0] * 40))
    steps = sets.steps()
    assert abs(steps.mean()) < 4 * steps.std() / len(steps) ** 0.5
    assert steps.mean() < 0.0004 and steps.min() < 0


def test_a_runs_own_split_is_taken(tiny_run):
    from lightning_collapse import Run

    run = Run(tiny_run)
    data = PoolDataModule(None, Replace(), 48, 16, 64, run=run.path)
    data.setup()
    _, train, held_out = recorded_split(run, run.records[0])
    everything = torch.arange(48), torch.arange(16)
    assert torch.equal(train[everything[0]], data.train[everything[0]])
    assert torch.equal(held_out[everything[1]], data.held_out[everything[1]])
