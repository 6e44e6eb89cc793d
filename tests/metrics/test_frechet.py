import math

import numpy as np
import pytest
import scipy.linalg
import torch

from lightning_collapse.metrics.frechet import FrechetReference, frechet_distance
from lightning_collapse.metrics.moments import Moments
from lightning_collapse.seeds import generator

D = 24


def normal(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=generator(seed, *shape))


def statistics(n, seed):
    """Mean and covariance of n rows with a mixed spectrum."""
    moments = Moments(D)
    moments.update(normal(n, D, seed=seed) @ normal(D, D, seed=9) + 0.1 * seed)
    return moments.mean, moments.covariance()


@pytest.mark.parametrize("n", [1, 5, 200])
def test_identical_sets_have_distance_0(n):
    mu, sigma = statistics(n, seed=1)
    assert frechet_distance(mu, sigma, mu, sigma) == pytest.approx(0, abs=1e-10 * D**2)


def test_rounding_makes_no_distance_negative():
    for seed in range(20):
        same = statistics(200, seed)
        assert frechet_distance(*same, *same) >= 0


def test_covariances_that_commute():
    axes = torch.linalg.qr(normal(D, D))[0]
    a, b = normal(D, seed=1) ** 2, normal(D, seed=2) ** 2
    a[:5] = 0  # rank-deficient in different directions
    b[3:8] = 0
    mu, mu_ref = normal(D, seed=3), normal(D, seed=4)
    expected = (mu - mu_ref).square().sum() + (a.sqrt() - b.sqrt()).square().sum()
    distance = frechet_distance(mu, (axes * a) @ axes.T, mu_ref, (axes * b) @ axes.T)
    assert distance == pytest.approx(float(expected), rel=1e-12)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_agrees_with_the_usual_matrix_root(scale):
    (mu, sigma), (mu_ref, sigma_ref) = statistics(200, seed=1), statistics(300, seed=2)
    root = scipy.linalg.sqrtm((scale**2 * sigma @ sigma_ref).numpy()).real
    usual = scale * (sigma.trace() + sigma_ref.trace()) - 2 * np.trace(root)
    usual += scale * (mu - mu_ref).square().sum()
    units = math.sqrt(scale)
    distance = frechet_distance(units * mu, scale * sigma, units * mu_ref, scale * sigma_ref)
    assert distance == pytest.approx(float(usual), rel=1e-8)


def test_is_symmetric_and_grows_with_the_shift():
    one, two = statistics(200, seed=1), statistics(300, seed=2)
    assert frechet_distance(*one, *two) == pytest.approx(frechet_distance(*two, *one), rel=1e-10)
    shifted = frechet_distance(one[0] + 2, one[1], *one)
    assert shifted == pytest.approx(4 * D, rel=1e-10)


@pytest.mark.parametrize("n", [1, 2, 5])
def test_few_samples_are_finite_and_no_less_than_the_means_apart(n):
    few, many = statistics(n, seed=1), statistics(300, seed=2)
    for distance in (frechet_distance(*few, *many), frechet_distance(*many, *few)):
        assert math.isfinite(distance)
        assert distance >= float((few[0] - many[0]).square().sum())


def test_a_collapsed_model_is_as_far_as_the_variance_it_lost():
    mu, sigma = statistics(300, seed=2)
    nothing = torch.zeros(D, D)
    assert frechet_distance(mu, nothing, mu, sigma) == pytest.approx(float(sigma.trace()))
    assert frechet_distance(mu, nothing, mu, nothing) == 0


def test_reference_serves_many_sets():
    reference = FrechetReference(*statistics(300, seed=2))
    for seed in (3, 4):
        few = statistics(50, seed=seed)
        assert reference.distance(*few) == frechet_distance(*few, *statistics(300, seed=2))


def test_takes_float32():
    mu, sigma = statistics(300, seed=2)
    assert frechet_distance(mu.float(), sigma.float(), mu, sigma) == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("which", ["mu", "sigma", "reference mu", "reference sigma"])
@pytest.mark.parametrize("fault", ["shape", "finite"])
def test_refuses_bad_statistics_by_name(which, fault):
    names = ["mu", "sigma", "reference mu", "reference sigma"]
    given = [*statistics(50, seed=1), *statistics(50, seed=2)]
    position = names.index(which)
    bad = given[position][:-1] if fault == "shape" else given[position] * math.nan
    given[position] = bad
    # The mean says how many features the reference has.
    named = "reference sigma" if fault == "shape" and which == "reference mu" else which
    with pytest.raises(ValueError, match=f"^{named} .*{fault}"):
        frechet_distance(*given)
