import numpy as np
import pytest
import torch

from lightning_collapse.metrics import moments as module
from lightning_collapse.metrics.moments import Moments, mass_center, mass_tails
from lightning_collapse.metrics.sums import Sums
from lightning_collapse.seeds import generator


@pytest.fixture(params=[2**19, 7])
def block_numbers(request, monkeypatch):
    """Every result must be the same for one block and for blocks of a row or two."""
    monkeypatch.setattr(module, "BLOCK_NUMBERS", request.param)


def rows(n, d=5, offset=0.0):
    return torch.randn(n, d, generator=generator(0, n, d)).double() + offset


def images(n=50):
    shape = (n, 3, 4, 4)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator(0, "images"))


def moments_of(*parts, full=True):
    moments = Moments(parts[0].shape[1], full)
    for part in parts:
        moments.update(part)
    return moments


@pytest.mark.usefixtures("block_numbers")
def test_matches_numpy_far_from_the_origin():
    X = rows(100, offset=1e6)
    moments = moments_of(X[:30], X[30:31], X[:0], X[31:])
    assert moments.count == 100
    np.testing.assert_allclose(moments.mean, X.numpy().mean(0), rtol=1e-14)
    np.testing.assert_allclose(moments.covariance(), np.cov(X.numpy().T), rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(moments.variance(), X.numpy().var(0, ddof=1), rtol=1e-8)


@pytest.mark.parametrize("full", [True, False])
def test_merging_is_seeing_all_rows(full):
    X = rows(60, offset=3.0)
    left, right = moments_of(X[:25], full=full), moments_of(X[25:], full=full)
    left.merge(right)
    left.merge(Moments(5, full))
    empty = Moments(5, full)
    empty.merge(left)
    for merged in (left, empty):
        assert merged.count == 60
        torch.testing.assert_close(merged.mean, X.mean(0))
        torch.testing.assert_close(merged.scatter, moments_of(X, full=full).scatter)
    assert right.count == 35


def test_the_merged_part_stays_apart():
    part = moments_of(rows(10))
    before = part.mean.clone(), part.scatter.clone()
    whole = Moments(5)
    whole.merge(part)
    whole.update(rows(20))
    assert torch.equal(part.mean, before[0])
    assert torch.equal(part.scatter, before[1])


@pytest.mark.parametrize("full", [True, False])
def test_rows_are_added_to_the_one_scatter_and_stay_as_they_were(full):
    X = rows(60)
    before, moments = X.clone(), Moments(5, full)
    place = moments.scatter.data_ptr()
    moments.update(X)
    moments.merge(moments_of(X, full=full))
    assert moments.scatter.data_ptr() == place
    assert torch.equal(X, before)


@pytest.mark.usefixtures("block_numbers")
def test_a_constant_column_has_no_variance_at_all():
    X = rows(100)
    X[:, 2] = 0.1
    assert moments_of(X[:41], X[41:]).variance()[2] == 0
    assert moments_of(X).mean[2] == 0.1


def test_a_single_row_has_covariance_0():
    assert torch.equal(moments_of(rows(1)).covariance(), torch.zeros(5, 5).double())


def test_refuses_what_it_cannot_do():
    with pytest.raises(ValueError, match="rows must be"):
        Moments(3).update(rows(4))
    with pytest.raises(ValueError, match="cannot be merged"):
        Moments(5).merge(Moments(5, full=False))
    with pytest.raises(ValueError, match="not kept"):
        Moments(5, full=False).covariance()
    with pytest.raises(ValueError, match="no rows"):
        Moments(5).covariance()


def summed(samples):
    sums = Sums(moments_of(rows(9, samples[0].numel())))
    for part in samples.split(13):
        sums.update(part)
    return {name: value for name, value in sums.figures().items() if "mass" not in name}


@pytest.mark.usefixtures("block_numbers")
def test_sums_of_images_are_in_network_units():
    x = images().numpy().astype(np.float64).reshape(50, -1) / 127.5 - 1
    trace = np.cov(x.T).trace()
    expected = {"mean": x.mean(), "variance": x.var(), "total_variance": trace}
    assert summed(images()) == pytest.approx(expected, rel=1e-12)


def test_float_samples_are_in_network_units_already():
    x = rows(40).numpy()
    trace = np.cov(x.T).trace()
    expected = {"mean": x.mean(), "variance": x.var(), "total_variance": trace}
    assert summed(rows(40)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.usefixtures("block_numbers")
def test_mass_is_counted_in_each_dimension_that_varies():
    real_mean, real_std = torch.tensor([0.0, 1.0, 5.0]), torch.tensor([1.0, 0.1, 0.0])
    samples = torch.tensor([[0.5, 1.0, 9], [0.51, 1.04, 9], [-2.0, 1.3, 9], [-2.1, 0.7, 9]])
    assert mass_center(samples, real_mean, real_std) == 3 / 8
    assert mass_tails(samples, real_mean, real_std) == 3 / 8


def test_mass_of_a_gaussian_and_of_a_shrunken_one():
    X = rows(20000)
    center = torch.zeros(5), torch.ones(5)
    assert mass_center(X, *center) == pytest.approx(0.3829, abs=0.01)
    assert mass_tails(X, *center) == pytest.approx(0.0455, abs=0.004)
    assert mass_center(X / 2, *center) == pytest.approx(0.6827, abs=0.01)
    assert mass_tails(X / 2, *center) < 1e-3


def test_mass_leaves_out_pixels_constant_but_for_rounding():
    real = images().flatten(1).double() / 127.5 - 1
    real[:, 0] = 0.1
    real_std = real.std(0)
    real_std[0] = 1e-17
    kept = mass_center(real[:, 1:], real[:, 1:].mean(0), real_std[1:])
    assert mass_center(real, real.mean(0), real_std) == pytest.approx(kept)


def test_refuses_samples_without_content():
    with pytest.raises(ValueError, match="empty"):
        mass_center(rows(0), torch.zeros(5), torch.ones(5))
    with pytest.raises(ValueError, match="real_std is 0"):
        mass_center(rows(3), torch.zeros(5), torch.zeros(5))
