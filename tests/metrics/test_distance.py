import numpy as np
import ot
import pytest
import torch
from scipy.stats import wasserstein_distance

from lightning_collapse.metrics.distance import (
    directions,
    sliced_wasserstein,
    sorted_projections,
)
from lightning_collapse.seeds import generator


def normal(*shape, seed=0):
    random = generator(seed, "normal")
    return torch.randn(shape, dtype=torch.float64, generator=random).numpy()


def distance(a, b, unit):
    return sliced_wasserstein(sorted_projections(a, unit), sorted_projections(b, unit))


@pytest.mark.parametrize(("n", "m"), [(100, 100), (100, 37), (7, 60), (1, 5), (6, 4)])
@pytest.mark.parametrize("d", [1, 2, 5])
def test_is_that_of_the_reference(n, m, d):
    a, b, unit = normal(n, d), 1 + 2 * normal(m, d, seed=1), directions(d, 20, seed=0)
    expected = ot.sliced_wasserstein_distance(a, b, projections=unit.T, p=2)
    assert distance(a, b, unit) == pytest.approx(expected, rel=1e-10)


def test_sets_are_compared_one_by_one():
    a, b, unit = normal(4, 50, 2), normal(30, 2, seed=1), directions(2, 10, seed=0)
    assert distance(a, b, unit) == pytest.approx([distance(x, b, unit) for x in a], rel=1e-12)


@pytest.mark.parametrize("m", [40, 27])
def test_a_shift_is_seen_along_each_direction(m):
    """Moved by s, the distance is the root mean square of s along the directions."""
    a, unit, shift = normal(m, 2), directions(2, 50, seed=0), np.array([3.0, -1.0])
    expected = np.sqrt(np.square(unit @ shift).mean())
    assert distance(a, a + shift, unit) == pytest.approx(expected)
    assert distance(a, a[::-1], unit) == 0


def test_in_one_dimension_it_bounds_the_mean_transport():
    a, b, unit = normal(80, 1), 2 + normal(80, 1, seed=1), directions(1, 3, seed=0)
    assert distance(a, b, unit) >= wasserstein_distance(a[:, 0], b[:, 0])


def test_directions_are_unit_vectors_all_around():
    unit = directions(3, 4000, seed=0)
    np.testing.assert_allclose(np.square(unit).sum(1), 1)
    np.testing.assert_allclose(unit.T @ unit / 4000, np.eye(3) / 3, atol=0.03)
    assert np.abs(unit.mean(0)).max() < 0.05
    assert np.array_equal(unit, directions(3, 4000, seed=0))
    assert not np.array_equal(unit, directions(3, 4000, seed=1))
