import numpy as np
import pytest
import torch
from scipy.stats import mannwhitneyu
from sklearn.neighbors import NearestNeighbors

from lightning_collapse.metrics.copying import Copying, DataCopying, mann_whitney_z
from lightning_collapse.metrics.measure import RealRows, Sample
from lightning_collapse.seeds import generator


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=generator(seed, *shape))


def sample(x, trained_on=None, distance="fd_points"):
    return Sample(x, x, "points", distance, trained_on=trained_on)


def ct(samples, train, held_out):
    return DataCopying().figures(sample(samples), RealRows(sample(train), sample(held_out)))[
        "ct_points"
    ]


def test_ct_is_meehans_with_scipys_u():
    """As their code has it: scipy's U, the mean less a half, no correction for ties."""
    samples, train, held_out = 1.2 * normal(30, 2), normal(40, 2, seed=1), normal(25, 2, seed=2)
    tree = NearestNeighbors(n_neighbors=1).fit(train)
    q, p = (tree.kneighbors(part)[0][:, 0] for part in (samples, held_out))
    u = mannwhitneyu(q, p).statistic
    z = (u - (30 * 25 / 2 - 0.5)) / np.sqrt(30 * 25 * 56 / 12)
    assert ct(samples, train, held_out) == pytest.approx(z, abs=1e-12)


def test_ties_count_half():
    x, y = torch.tensor([1.0, 2, 2, 3]), torch.tensor([2.0, 2, 0])
    u = mannwhitneyu(x.numpy(), y.numpy()).statistic
    assert mann_whitney_z(x, y) == pytest.approx((u - 5.5) / np.sqrt(12 * 8 / 12))


def test_copies_are_far_below_zero_and_noise_is_far_above():
    train, held_out = normal(200, 3), normal(200, 3, seed=1)
    assert ct(train + 1e-3, train, held_out) < -10
    assert ct(3 * normal(200, 3, seed=2), train, held_out) > 5
    assert abs(ct(normal(200, 3, seed=3), train, held_out)) < 4


def test_without_held_out_rows_there_is_no_ct():
    assert DataCopying().figures(sample(normal(9, 2)), RealRows(sample(normal(9, 2)), None)) == {
        "ct_points": None
    }


def copying(samples, trained_on):
    real = RealRows(sample(normal(len(samples), 3, seed=9)), None)
    return Copying().figures(sample(samples, trained_on), real)


def test_copies_are_not_authentic_and_near():
    trained_on = normal(400, 3)
    told = copying(trained_on[:200] + 1e-4, trained_on)
    # Half of the training rows are compared with: copies of the other half are like new rows.
    assert told["authenticity_points"] < 0.75 * told["authenticity_points_rest"]
    assert told["generalisation_points"] < 0.75 * told["generalisation_points_rest"]
    other = copying(normal(200, 3, seed=1), trained_on)
    for name in ("authenticity_points", "generalisation_points"):
        assert other[name] == pytest.approx(other[f"{name}_rest"], rel=0.2)


def test_authenticity_is_that_of_its_definition():
    trained_on, samples = normal(60, 3), 0.8 * normal(30, 3, seed=1)
    used = trained_on[torch.randperm(60, generator=generator(0, "copying"))[:30]]
    own = NearestNeighbors(n_neighbors=2).fit(used)
    gaps = own.kneighbors(used)[0][:, 1]
    near, which = own.kneighbors(samples, n_neighbors=1)
    told = copying(samples, trained_on)
    authentic = (near[:, 0] > gaps[which[:, 0]]).mean()
    assert told["authenticity_points"] == pytest.approx(authentic)
    assert told["generalisation_points"] == pytest.approx(near.mean(), rel=1e-6)


def test_a_space_that_is_not_known_by_its_name_is_null():
    x = sample(normal(9, 2), distance="fd_own")
    told = Copying().figures(x, RealRows(x, None))
    assert set(told.values()) == {None}
