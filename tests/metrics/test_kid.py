import itertools

import pytest
import torch
from torch_fidelity.metric_kid import kid_features_to_metric
from torchmetrics.image.kid import poly_mmd

from lightning_collapse.metrics.kernel import kernel_distance
from lightning_collapse.seeds import generator


def normal(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=generator(seed, *shape))


@pytest.mark.parametrize(("n", "d"), [(2, 3), (40, 8), (60, 200)])
def test_a_whole_set_gives_the_estimate_of_torchmetrics(n, d):
    x, y = normal(n, d), 0.3 + 1.2 * normal(n, d, seed=1)
    mean, deviation = kernel_distance(x, y, subsets=2, subset_size=n)
    assert mean == pytest.approx(float(poly_mmd(y, x)), rel=1e-9)
    assert deviation == pytest.approx(0, abs=1e-9)


def test_subsets_are_those_of_torch_fidelity():
    """Not row by row: both draw at random. Means agree within their errors, spreads roughly."""
    x, y = normal(300, 16), 0.2 + normal(400, 16, seed=1)
    theirs = kid_features_to_metric(
        x, y, kid_subsets=400, kid_subset_size=100, verbose=False, rng_seed=0
    )
    mean, deviation = kernel_distance(x, y, subsets=400, subset_size=100)
    spread = theirs["kernel_inception_distance_std"]
    assert mean == pytest.approx(theirs["kernel_inception_distance_mean"], abs=spread / 4)
    assert deviation == pytest.approx(spread, rel=0.25)


def test_is_the_kernel_written_out():
    x, y = normal(4, 3), normal(4, 3, seed=1)

    def k(a, b):
        return (float(a @ b) / 3 + 1) ** 3

    within = sum(k(a, b) for s in (x, y) for a, b in itertools.permutations(s, 2)) / 12
    across = sum(k(a, b) for a, b in itertools.product(x, y)) / 16
    assert kernel_distance(x, y, subsets=1, subset_size=4)[0] == pytest.approx(within - 2 * across)


def test_equal_distributions_are_at_0_on_average_and_a_shift_is_not():
    draws = [normal(2, 50, 4, seed=seed) for seed in range(200)]
    same = torch.tensor([kernel_distance(x, y, 1, 50)[0] for x, y in draws])
    assert same.min() < 0
    assert abs(same.mean()) < 4 * same.std() / 200**0.5
    assert kernel_distance(draws[0][0], draws[0][1] + 1)[0] > same.max()


def test_subsets_depend_on_the_seed_alone():
    x, y = normal(50, 4), normal(60, 4, seed=1)
    state = torch.get_rng_state()
    assert kernel_distance(x, y, seed=1) == kernel_distance(x, y, seed=1)
    assert kernel_distance(x, y, seed=1) != kernel_distance(x, y, seed=2)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("n", [2, 3, 4])
def test_collapsed_and_tiny_sets_are_finite(n):
    collapsed = normal(1, 5).expand(n, 5)
    mean, deviation = kernel_distance(collapsed, normal(n, 5, seed=1))
    assert torch.tensor([mean, deviation]).isfinite().all()
    assert kernel_distance(collapsed, collapsed)[0] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("size", [1, 5, -1])
def test_refuses_subsets_that_the_sets_do_not_have(size):
    with pytest.raises(ValueError, match=rf"^subset_size = {size}: must lie in 2\.\.4"):
        kernel_distance(normal(4, 2), normal(9, 2), subset_size=size)
