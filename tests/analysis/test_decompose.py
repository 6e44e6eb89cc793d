"""Error = bias² + variance, against vectors whose law is known."""

import numpy as np
import pytest

from lightning_collapse.analysis.decompose import Errors, crossed

RNG = np.random.default_rng(0)


def test_the_split_is_exact_in_vectors_and_in_products():
    vectors, truth = RNG.standard_normal((9, 50)) + 3, RNG.standard_normal(50)
    errors = vectors - truth
    mean = vectors.mean(0)
    for made in (Errors.of_vectors(vectors, truth), Errors.of_products(errors @ errors.T)):
        told = made.decompose()
        assert told.error == pytest.approx(told.bias2 + told.variance, rel=1e-12)
        assert told.bias2 == pytest.approx(np.square(mean - truth).sum(), rel=1e-12)
        assert told.variance == pytest.approx(np.square(vectors - mean).sum(1).mean(), rel=1e-12)
        # theory.md's: bias² less Var/(R - 1), Var the 1/R variance.
        debiased = told.bias2 - told.variance / 8
        assert told.bias2_debiased == pytest.approx(debiased, rel=1e-12)
        assert told.variance_debiased == pytest.approx(told.variance * 9 / 8, rel=1e-12)


def test_debiased_parts_are_right_in_the_mean_and_their_intervals_cover():
    # Bias² 4 · 0.25 = 1, variance 4 · 1 = 4, in few replicas.
    told = [
        Errors.of_vectors(RNG.standard_normal((8, 4)) + 0.5, np.zeros(4)).decompose()
        for _ in range(400)
    ]
    bias2 = np.array([one.bias2_debiased for one in told])
    variance = np.array([one.variance_debiased for one in told])
    assert bias2.mean() == pytest.approx(1, abs=4 * bias2.std() / 20)
    assert variance.mean() == pytest.approx(4, abs=4 * variance.std() / 20)
    for name, truth in (("bias2_interval", 1), ("variance_interval", 4)):
        inside = [i.low <= truth <= i.high for i in (getattr(one, name) for one in told)]
        assert 0.85 < np.mean(inside) < 0.99


def test_the_jackknife_leaves_each_replica_out():
    vectors = RNG.standard_normal((8, 3))
    interval = Errors.of_vectors(vectors, np.zeros(3)).decompose().variance_interval
    without = [
        Errors.of_vectors(np.delete(vectors, i, 0), np.zeros(3)).decompose().variance_debiased
        for i in range(8)
    ]
    error = np.sqrt(7 / 8 * np.square(without - np.mean(without)).sum())
    assert interval.high - interval.mean == pytest.approx(2.364624 * error, rel=1e-5)


def test_fewer_than_eight_replicas_have_no_interval_and_one_no_split():
    told = Errors.of_vectors(RNG.standard_normal((7, 3)), np.zeros(3)).decompose()
    assert told.bias2_interval is None and told.variance_interval is None
    with pytest.raises(ValueError, match="at least 2"):
        Errors.of_vectors(np.ones((1, 3)), np.zeros(3)).decompose()


def test_noise_of_draws_is_taken_off():
    # θ_r is the mean of 5 draws about its own centre, and the truth of 5 about 0.
    told = []
    for _ in range(400):
        centres = RNG.standard_normal((6, 10)) * 0.3
        draws = centres[:, None] + RNG.standard_normal((6, 5, 10))
        real = RNG.standard_normal((5, 10))
        noise = draws.var(1, ddof=1).sum(1) / 5, real.var(0, ddof=1).sum() / 5
        errors = draws.mean(1) - real.mean(0)
        told.append(Errors.of_products(errors @ errors.T, *noise).decompose())
    bias2 = np.array([one.bias2_debiased for one in told])
    variance = np.array([one.variance_debiased for one in told])
    assert abs(bias2.mean()) < 4 * bias2.std() / 20
    assert variance.mean() == pytest.approx(0.9, abs=4 * variance.std() / 20)


@pytest.mark.parametrize("share", [True, False])
def test_data_and_chance_are_told_apart_where_they_are_crossed(share):
    """Equal seeds have an effect of their own in every split, which no split's variance is."""
    told, plain = [], []
    for _ in range(600):
        of_split = np.repeat(RNG.standard_normal((3, 10)), 4, 0)
        of_seed = np.tile(RNG.standard_normal((4, 10)), (3, 1)) if share else 0
        vectors = of_split + of_seed + 2 * RNG.standard_normal((12, 10)) + 1
        seeds = [0, 1, 2, 3] * 3 if share else list(range(12))
        errors = Errors.of_vectors(vectors, 0.0)
        parts = crossed(vectors @ vectors.T, np.repeat([7, 8, 9], 4).tolist(), seeds)
        told.append((parts.bias2, parts.data, parts.chance))
        one = errors.decompose().of_crossed(parts, errors)
        plain.append((one.bias2_debiased, one.variance_debiased))
        assert one.error == pytest.approx(one.bias2 + one.variance, rel=1e-12)
        assert one.bias2_interval is None
    truth = [10, 10, 50 if share else 40]
    spread = 4 * np.std(told, 0) / 600**0.5
    assert np.all(np.abs(np.mean(told, 0) - truth) < spread)
    assert np.mean(plain, 0) == pytest.approx([truth[0], sum(truth[1:])], rel=0.08)


def test_without_pairs_of_one_split_or_of_nothing_in_common_nothing_is_told_apart():
    assert crossed(np.eye(4), [1, 2, 3, 4], [1, 2, 3, 4]) is None
    assert crossed(np.eye(4), [1, 1, 1, 1], [1, 2, 3, 4]) is None
    assert crossed(np.eye(3), [1, 1, 2], [1, 2, 1]).chance == 1
