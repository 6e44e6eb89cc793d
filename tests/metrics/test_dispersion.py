import numpy as np
import pytest
import torch
from scipy.stats import entropy

from lightning_collapse.metrics.dispersion import Dispersion, effective_rank, participation_ratio
from lightning_collapse.metrics.fd import FrechetInfinity
from lightning_collapse.metrics.frechet import frechet_distance
from lightning_collapse.metrics.measure import RealRows, Sample
from lightning_collapse.metrics.statistics import Statistics
from lightning_collapse.seeds import generator


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=generator(seed, *shape))


def sample(x, **known):
    return Sample(x, x, "points", "fd_points", **known)


def test_figures_are_those_of_numpy():
    x, y = 0.3 + normal(40, 4) * torch.tensor([1.0, 2, 3, 0.1]), normal(60, 4, seed=1)
    told = Dispersion().figures(sample(x), RealRows(sample(y[:40]), None, all_features=y))
    s, r = np.cov(x.numpy().T.astype(float)), np.cov(y.numpy().T.astype(float))
    shares = np.linalg.eigvalsh(s) / np.trace(s)
    m, n = x.numpy().astype(float).mean(0), y.numpy().astype(float).mean(0)
    assert told.pop("spectrum_points") == pytest.approx(np.linalg.eigvalsh(s)[::-1], rel=1e-6)
    assert told == pytest.approx(
        {
            "effective_rank_points": np.exp(entropy(shares)),
            "participation_points": 1 / np.square(shares).sum(),
            "trace_ratio_points": np.trace(s) / np.trace(r),
            "feature_mean_points": np.linalg.norm(m - n) / np.trace(r) ** 0.5,
            "covariance_shift_points": np.linalg.norm(s - r) / np.linalg.norm(r),
        },
        rel=1e-6,
    )


def test_ranks_count_equal_directions():
    eigenvalues = torch.tensor([2.0, 2, 2, 0, 0])
    assert effective_rank(eigenvalues) == pytest.approx(3)
    assert participation_ratio(eigenvalues) == pytest.approx(3)
    assert effective_rank(torch.zeros(3)) is participation_ratio(torch.zeros(3)) is None


def test_sums_are_taken_where_they_are_of_the_same_rows_only():
    x = normal(20, 3)
    other = Statistics.of(100 * normal(30, 3, seed=2))
    assert torch.equal(sample(x, summed=other).first.mu, Statistics.of(x).mu)
    same = Statistics(other.mu, other.sigma, 20)
    assert sample(x, summed=same).first is same


def test_a_rank_of_fewer_rows_than_dimensions_is_doubted():
    x, real = sample(normal(5, 9)), RealRows(sample(normal(5, 9, seed=1)), None)
    measure = Dispersion()
    doubts = measure.doubts(measure.figures(x, real), x)
    assert doubts["effective_rank_points"] == "of 5 rows in 9 dimensions: at most 4"


def test_the_distance_at_infinity_is_nearer_to_the_truth_than_that_of_all_samples():
    """Gaussians a known distance apart, with the real one's moments all but exact."""
    y = normal(50_000, 8, seed=1)
    real = RealRows(sample(y[:64]), None, all_features=y)
    draws = [1.2 * normal(64, 8, seed=i) for i in range(2, 22)]
    told = np.mean(
        [FrechetInfinity().figures(sample(x), real)["fd_points_infinity"] for x in draws]
    )
    truth, of_real = 8 * 0.2**2, (real.statistics.mu, real.statistics.sigma)
    moments = [Statistics.of(x) for x in draws]
    plain = np.mean([frechet_distance(one.mu, one.sigma, *of_real) for one in moments])
    assert plain > 1.5 * truth and abs(told - truth) < 0.25 * (plain - truth)


def test_the_distance_at_infinity_needs_four_rows_a_dimension():
    x = sample(normal(31, 8))
    assert FrechetInfinity().figures(x, RealRows(x, None)) == {"fd_points_infinity": None}


def test_the_spectrum_ends_with_its_sixteenth():
    x = sample(normal(50, 20))
    told = Dispersion().figures(x, RealRows(x, None, all_features=x.features))["spectrum_points"]
    assert len(told) == 16 and told == sorted(told, reverse=True) and told[-1] > 0
