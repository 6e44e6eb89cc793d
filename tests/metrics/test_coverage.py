import pytest
import torch
from prdc import compute_prdc
from sklearn.neighbors import NearestNeighbors
from torch_fidelity.metric_prc import prc_features_to_metric

from lightning_collapse.metrics import neighbours
from lightning_collapse.metrics.coverage import Balls
from lightning_collapse.metrics.measure import RealRows, Sample
from lightning_collapse.seeds import generator


def normal(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=generator(seed, *shape))


def coverage(samples, real, k=3):
    """Figures of features by themselves."""
    here, there = (Sample(x, x, "x", "fd_x") for x in (samples, real))
    told = Balls(k=k).figures(here, RealRows(there, None))
    return {name.removesuffix("_x"): value for name, value in told.items()}


def by_the_book(samples, real, k):
    """The definitions over sklearn's neighbours and plain distances."""

    def radii(x):
        return NearestNeighbors(n_neighbors=k + 1, algorithm="brute").fit(x).kneighbors(x)[0][:, k]

    apart = (samples[:, None] - real).norm(dim=2).numpy()
    inside, outside = apart <= radii(real), radii(samples) >= apart.T
    return {
        "precision": inside.any(1).mean(),
        "recall": outside.any(1).mean(),
        "density": inside.sum(1).mean() / k,
        "coverage": (apart.min(0) <= radii(real)).mean(),
    }


@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize(("n", "m", "d"), [(60, 60, 2), (40, 90, 3), (30, 20, 40)])
def test_agrees_with_the_definitions(monkeypatch, n, m, d, k):
    monkeypatch.setattr(neighbours, "_ROWS_AT_ONCE", 16)
    samples, real = 0.5 + 0.7 * normal(n, d), normal(m, d, seed=1)
    figures = coverage(samples, real, k)
    assert figures == pytest.approx(by_the_book(samples, real, k), abs=1e-12)


def test_precision_and_recall_of_torch_fidelity():
    samples, real = 0.5 + 0.7 * normal(80, 3), normal(100, 3, seed=1)
    theirs = prc_features_to_metric(samples, real, prc_neighborhood=3, verbose=False)
    ours = coverage(samples, real, 3)
    assert ours["precision"] == pytest.approx(theirs["precision"], abs=1e-6)
    assert ours["recall"] == pytest.approx(theirs["recall"], abs=1e-6)


def test_all_four_are_those_of_prdc():
    samples, real = 0.5 + 0.7 * normal(80, 3), normal(100, 3, seed=1)
    theirs = compute_prdc(real.numpy(), samples.numpy(), nearest_k=3)
    assert coverage(samples, real, 3) == pytest.approx(theirs, abs=1e-12)


def test_the_set_itself_is_all_covered():
    x = normal(50, 4)
    figures = coverage(x, x)
    assert figures["precision"] == figures["recall"] == figures["coverage"] == 1
    assert figures["density"] > 1  # every row lies in its own ball too


@pytest.mark.parametrize("offset", [0, 1e3])
def test_a_collapse_loses_recall_not_precision(offset):
    real = offset + normal(200, 2)
    collapsed = real[:1].expand(100, 2)
    figures = coverage(collapsed, real)
    assert figures["precision"] == 1
    # Only the row itself is at distance 0 of samples without spread.
    assert figures["recall"] == pytest.approx(1 / 200)
    assert figures["coverage"] < 0.1


def test_noise_far_away_is_neither():
    figures = coverage(100 + normal(50, 3), normal(60, 3, seed=1))
    assert figures == {"precision": 0, "recall": 0, "density": 0, "coverage": 0}


@pytest.mark.parametrize(("n", "m"), [(3, 9), (9, 3)])
def test_of_sets_without_that_many_neighbours_there_is_nothing_to_tell(n, m):
    assert set(coverage(normal(n, 2), normal(m, 2)).values()) == {None}
