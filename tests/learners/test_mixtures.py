"""Fits by expectation maximization, against scikit-learn and against what must hold."""

import warnings
from dataclasses import fields

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans, kmeans_plusplus
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

from lightning_collapse.learners import kmeans as kmeans_module
from lightning_collapse.learners import mixtures as mixtures_module
from lightning_collapse.learners.kmeans import kmeans, uniforms_needed
from lightning_collapse.learners.learner import GaussianMixtureEM, GaussianMLE
from lightning_collapse.learners.mixtures import (
    Mixtures,
    fit_mixtures,
    refit,
    sample_mixtures,
)
from lightning_collapse.seeds import generator, key


def normal(*shape, seed=0):
    random = generator(seed, "normal")
    return torch.randn(shape, dtype=torch.float64, generator=random).numpy()


def blobs(replicas, n, clusters, d, spread, seed=0):
    """Rows (R, n, d) around centers `spread` apart, each with its own shape."""
    centers = spread * normal(replicas, clusters, d, seed=seed)
    labels = np.arange(n) % clusters
    shapes = normal(clusters, d, d, seed=seed + 1)
    rows = np.einsum("rnd,nde->rne", normal(replicas, n, d, seed=seed + 2), shapes[labels])
    return centers[:, labels] + rows


def keys(replicas):
    return [key(0, "k-means", r) for r in range(replicas)]


def kmeans_start(rows, components, keys, reg_covar=0.0):
    work = mixtures_module._Work.of(rows)
    return mixtures_module._clusters(work, components, keys, reg_covar)


def randoms(replicas):
    return [generator(0, "sample", r) for r in range(replicas)]


def assert_same(a, b):
    for field in fields(Mixtures):
        assert np.array_equal(getattr(a, field.name), getattr(b, field.name)), field.name


def theirs(rows, start, **options):
    """scikit-learn's fit of one replica's rows from the same start."""
    model = GaussianMixture(
        start.weights.shape[1],
        weights_init=start.weights[0],
        means_init=start.means[0],
        precisions_init=np.linalg.inv(start.covariances[0]),
        **options,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(rows)


@pytest.mark.parametrize(
    ("n", "clusters", "d", "spread", "reg_covar"),
    [
        (300, 3, 2, 5.0, 0.0),
        (300, 3, 2, 1.0, 1e-6),  # overlapping: many iterations
        (400, 5, 3, 1.0, 0.0),
        (90, 1, 4, 1.0, 1e-3),
        (200, 4, 1, 1.0, 0.1),
    ],
)
def test_a_fit_is_that_of_scikit_learn_from_the_same_start(n, clusters, d, spread, reg_covar):
    rows = blobs(6, n, clusters, d, spread)
    start = kmeans_start(rows, clusters, keys(6), reg_covar)
    fit = fit_mixtures(rows, start, reg_covar=reg_covar)
    for r in range(6):
        expected = theirs(rows[r], start[[r]], reg_covar=reg_covar)
        np.testing.assert_allclose(fit.weights[r], expected.weights_, rtol=0, atol=1e-8)
        np.testing.assert_allclose(fit.means[r], expected.means_, rtol=0, atol=1e-8)
        np.testing.assert_allclose(fit.covariances[r], expected.covariances_, rtol=0, atol=1e-8)
    assert not fit.collapsed.any()


@pytest.mark.parametrize(("n", "clusters", "d", "spread"), [(300, 3, 2, 5.0), (400, 5, 3, 1.0)])
def test_a_fit_by_features_is_that_by_rows_but_for_rounding(n, clusters, d, spread, monkeypatch):
    rows = 100 + blobs(6, n, clusters, d, spread)
    by_features = refit(rows, clusters, None, keys(6))
    monkeypatch.setattr(mixtures_module, "_MOST_FEATURES", 0)
    by_rows = refit(rows, clusters, None, keys(6))
    for field in fields(Mixtures):
        ours, expected = (getattr(fit, field.name) for fit in (by_features, by_rows))
        np.testing.assert_allclose(ours, expected, rtol=1e-10, atol=1e-10)


def test_a_component_far_thinner_than_the_rows_keeps_its_digits():
    """1e-8 wide, 100 apart: of moments about the rows' middle, no digit would be right."""
    rows = 1e-8 * normal(1, 400, 2)
    rows[:, 200:] += 100.0
    fit = refit(rows, 2, None, keys(1))
    halves = [rows[0, :200], rows[0, 200:]]
    for k, half in enumerate(
        sorted(halves, key=lambda h: -abs(h.mean() - fit.means[0, 0, 0]))[::-1]
    ):
        expected = np.cov(half.T, bias=True)
        np.testing.assert_allclose(fit.covariances[0, k], expected, rtol=1e-5, atol=1e-21)


@pytest.mark.parametrize("options", [{"max_iter": 3}, {"tol": 1e-6}])
def test_it_stops_where_scikit_learn_does(options):
    rows = blobs(4, 300, 3, 2, 1.0)
    start = kmeans_start(rows, 3, keys(4))
    fit = fit_mixtures(rows, start, **options)
    for r in range(4):
        expected = theirs(rows[r], start[[r]], reg_covar=0.0, **options)
        np.testing.assert_allclose(fit.means[r], expected.means_, rtol=0, atol=1e-8)


@pytest.mark.parametrize(("clusters", "d", "spread"), [(3, 2, 5.0), (5, 3, 1.0), (2, 1, 0.5)])
def test_k_means_is_that_of_scikit_learn_from_the_same_centers(clusters, d, spread):
    rows = blobs(8, 250, clusters, d, spread)
    uniforms = normal(8, uniforms_needed(clusters)) % 1
    columns = rows.swapaxes(1, 2)
    member = kmeans(columns, clusters, uniforms)
    assert (member.sum(1) == 1).all()
    middle = rows.mean(1)
    centers = kmeans_module._plus_plus(columns - middle[..., None], clusters, uniforms)
    for r in range(8):
        start = centers[r] + middle[r]
        expected = KMeans(clusters, init=start, n_init=1).fit(rows[r]).labels_
        assert np.array_equal(member[r].argmax(0), expected)


def test_starting_centers_are_as_good_as_those_of_scikit_learn():
    """Greedy k-means++ leaves the same squared distance on average, over 400 draws."""
    rows = blobs(1, 120, 6, 2, 5.0)
    uniforms = np.random.default_rng(0).random((400, uniforms_needed(6)))
    columns = np.repeat(rows.swapaxes(1, 2), 400, 0)
    ours = kmeans_module._plus_plus(columns, 6, uniforms)
    theirs = np.stack([kmeans_plusplus(rows[0], 6, random_state=r)[0] for r in range(400)])
    left = [_distance_left(rows[0], centers) for centers in (ours, theirs)]
    error = np.hypot(*(x.std() / 400**0.5 for x in left))
    assert abs(left[0].mean() - left[1].mean()) < 3.5 * error
    assert error < 0.05 * left[1].mean()


def _distance_left(rows, centers):
    apart = np.square(rows[None, :, None] - centers[:, None]).sum(-1)
    return apart.min(-1).sum(-1)


def test_every_row_is_in_one_cluster_even_where_centers_coincide():
    columns = np.zeros((1, 2, 6))
    columns[..., 4:] = 3.0
    member = kmeans(columns, 4, np.linspace(0, 0.9, uniforms_needed(4))[None])
    assert (member.sum(1) == 1).all()
    assert member[0, :, 0].tolist() == member[0, :, 3].tolist()
    assert member[0, :, 4].tolist() != member[0, :, 3].tolist()


@pytest.mark.parametrize("components", [1, 3, 5])
@pytest.mark.parametrize("n", [13, 257])
def test_a_replica_does_not_depend_on_the_others(components, n):
    rows = blobs(7, n, 3, 2, 2.0)
    whole = refit(rows, components, None, keys(7))
    samples, labels = sample_mixtures(whole, 50, randoms(7))
    for r in range(7):
        alone = refit(rows[[r]], components, None, keys(7)[r : r + 1])
        assert_same(alone, whole[[r]])
        drawn = sample_mixtures(alone, 50, randoms(7)[r : r + 1])
        assert np.array_equal(drawn[0][0], samples[r])
        assert np.array_equal(drawn[1][0], labels[r])


def test_one_component_is_the_gaussian_of_maximum_likelihood():
    rows = blobs(1, 100, 2, 3, 2.0)
    fit = refit(rows, 1, None, keys(1))
    gaussian = GaussianMLE()
    gaussian.fit(torch.from_numpy(rows[0]))
    np.testing.assert_allclose(fit.means[0, 0], gaussian.mean, atol=1e-14)
    np.testing.assert_allclose(fit.covariances[0, 0], gaussian.covariance, atol=1e-13)
    assert fit.weights.tolist() == [[1.0]]


def test_a_warm_start_goes_on_from_the_last_fit():
    rows = blobs(2, 300, 3, 2, 1.0)
    before = refit(rows, 3, None, keys(2))
    warm = refit(rows[:, ::-1], 3, before, keys(2), init="warm")
    assert_same(warm, fit_mixtures(rows[:, ::-1], before))
    cold = refit(rows[:, ::-1], 3, before, keys(2), init="kmeans")
    assert not np.array_equal(cold.means, warm.means)


# Components that collapse


def test_a_component_on_a_line_is_kept_on_it():
    """Two rows far from the others take a component: its covariance has rank 1."""
    rows = np.concatenate([normal(1, 40, 2), [[[100.0, 100.0], [103.0, 101.0]]]], 1)
    fit = refit(rows, 2, None, keys(1))
    (small,) = np.flatnonzero(fit.weights[0] < 0.1)
    assert fit.collapsed[0].tolist() == [k == small for k in range(2)]
    np.testing.assert_allclose(fit.means[0, small], [101.5, 100.5])
    np.testing.assert_allclose(fit.covariances[0, small], [[2.25, 0.75], [0.75, 0.25]], atol=1e-12)
    samples, labels = sample_mixtures(fit, 400, randoms(1))
    offset = samples[0][labels[0] == small] - fit.means[0, small]
    assert len(offset) > 5
    np.testing.assert_allclose(offset @ [1.0, -3.0], 0, atol=1e-12)


@pytest.mark.parametrize(
    "rows",
    [
        np.zeros((1, 5, 2)),
        np.full((1, 5, 2), 1e3 / 3),
        np.array([[[1.0, 2.0]] * 4 + [[5.0, 6.0]] * 4]),
        np.array([[[float(i), 3.0] for i in range(9)]]),
        np.array([[[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]]),
    ],
    ids=["zeros", "one point", "two points", "a line", "as many rows as components"],
)
@pytest.mark.parametrize("init", ["kmeans", "warm"])
def test_degenerate_rows_are_fitted_finitely(rows, init):
    fit = None
    for r in range(3):
        fit = refit(rows, 3, fit, [key(0, "k-means", r)], init=init)
        rows, _ = sample_mixtures(fit, rows.shape[1], [generator(0, "sample", r)])
        for field in fields(Mixtures):
            assert np.isfinite(getattr(fit, field.name)).all()
        assert np.isfinite(rows).all()
        assert fit.weights.sum() == pytest.approx(1)
        assert fit.collapsed.any()


def test_points_stay_where_they_are():
    fit = refit(np.array([[[1.0, 2.0]] * 4 + [[5.0, 6.0]] * 4]), 2, None, keys(1))
    samples, _ = sample_mixtures(fit, 50, randoms(1))
    assert {tuple(row) for row in samples[0]} == {(1.0, 2.0), (5.0, 6.0)}


def test_reg_covar_is_a_floor():
    fit = refit(np.ones((1, 5, 2)), 1, None, keys(1), reg_covar=1e-6)
    np.testing.assert_allclose(fit.covariances[0, 0], 1e-6 * np.eye(2))
    assert not fit.collapsed.any()


def test_fewer_rows_than_components_are_refused():
    with pytest.raises(ValueError, match="^n = 2: must be at least the number of components, 3$"):
        refit(np.zeros((1, 2, 2)), 3, None, keys(1))


# Samples


def test_samples_have_the_mixtures_moments_in_no_order():
    rows = blobs(1, 300, 3, 2, 3.0)
    fit, n = refit(rows, 3, None, keys(1)), 30_000
    samples, labels = sample_mixtures(fit, n, randoms(1))
    for k in range(3):
        mine = samples[0][labels[0] == k]
        share = fit.weights[0, k]
        assert abs(len(mine) / n - share) < 4 * (share * (1 - share) / n) ** 0.5
        spread = np.sqrt(np.diagonal(fit.covariances[0, k]))
        error = np.cov(mine.T) - fit.covariances[0, k]
        assert np.abs((mine.mean(0) - fit.means[0, k]) / spread).max() < 4 / len(mine) ** 0.5
        assert np.abs(error / np.outer(spread, spread)).max() < 4 * (2 / len(mine)) ** 0.5
    # The first half has as many of a component as the second: in no order.
    halves = (labels[0, : n // 2] == 0).mean() - (labels[0, n // 2 :] == 0).mean()
    assert abs(halves) < 4 / n**0.5


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_learner_is_the_engine_with_one_replica(dtype):
    rows = torch.from_numpy(blobs(1, 100, 3, 2, 3.0)[0]).to(dtype)
    learner = GaussianMixtureEM(seed=5)
    for r in range(2):
        learner.fit(rows)
        keyed = [key(5, "kmeans", r)]
        assert_same(learner.mixture, refit(rows[None].double().numpy(), 3, None, keyed))
    samples = learner.sample(7, generator(0, "sample"))
    assert samples.dtype == dtype
    assert samples.shape == (7, 2)
