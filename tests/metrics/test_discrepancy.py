import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from scipy.stats import energy_distance
from sklearn.metrics.pairwise import rbf_kernel

from lightning_collapse.metrics.discrepancy import MMD, Energy
from lightning_collapse.metrics.measure import RealRows, Sample
from lightning_collapse.metrics.neighbours import all_distances
from lightning_collapse.seeds import generator


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=generator(seed, *shape))


def sample(x):
    return Sample(x, x, "points", "fd_points")


def unbiased(xx, xy, yy):
    n, m = xy.shape
    return (
        (xx.sum() - xx.trace()) / (n * (n - 1))
        + (yy.sum() - yy.trace()) / (m * (m - 1))
        - 2 * xy.mean()
    )


def test_mmd_is_that_of_scikit_learns_kernel_at_the_median_real_distance():
    x, y = 0.4 + 0.8 * normal(40, 3), normal(50, 3, seed=1)
    told = MMD().figures(sample(x), RealRows(sample(y), None))
    apart = cdist(y, y)
    middle = torch.from_numpy(apart[torch.triu_indices(50, 50, 1).unbind()]).median()
    kernels = [rbf_kernel(a, b, 0.5 / float(middle) ** 2) for a, b in [(x, x), (x, y), (y, y)]]
    assert told["mmd_points"] == pytest.approx(unbiased(*kernels), abs=1e-6)


def test_the_energy_distance_is_scipys():
    x, y = 0.4 + 0.8 * normal(40, 1), normal(50, 1, seed=1)
    told = Energy().figures(sample(x), RealRows(sample(y), None))["energy_points"]
    # Scipy's is of all pairs, a row with itself too.
    own = cdist(x, x).mean() / 39 + cdist(y, y).mean() / 49
    theirs = energy_distance(x[:, 0], y[:, 0]) ** 2
    assert told == pytest.approx(theirs - own, abs=1e-5)


def test_z_is_that_of_a_plain_permutation_test():
    x, y = 0.3 + normal(30, 2), normal(30, 2, seed=1)
    z = Energy(permutations=2000).figures(sample(x), RealRows(sample(y), None))["energy_z_points"]
    both, others = cdist(torch.cat([x, y]), torch.cat([x, y])), []
    for i in range(2000):
        order = torch.randperm(60, generator=generator(7, i))
        a, b = order[:30], order[30:]
        others.append(unbiased(-both[a][:, a], -both[a][:, b], -both[b][:, b]))
    others = torch.tensor(others)
    own = unbiased(-both[:30, :30], -both[:30, 30:], -both[30:, 30:])
    assert z == pytest.approx(float((own - others.mean()) / others.std()), rel=0.1)


def test_equal_distributions_have_a_z_like_a_unit_normal():
    told = [
        MMD(permutations=99).figures(
            sample(normal(40, 2, seed=i)), RealRows(sample(normal(40, 2, seed=100 + i)), None)
        )["mmd_z_points"]
        for i in range(40)
    ]
    z = torch.tensor(told)
    assert abs(float(z.mean())) < 4 / 40**0.5 and 0.5 < float(z.std()) < 1.7


def test_rows_that_are_all_the_same_have_no_bandwidth():
    measure, real = MMD(), RealRows(sample(torch.zeros(9, 2)), None)
    assert measure.figures(sample(normal(9, 2)), real) == {
        "mmd_points": None,
        "mmd_z_points": None,
    }
    assert "all the same" in measure.caution("mmd_points", 9)


@settings(deadline=None, max_examples=25)
@given(n=st.integers(1, 40), m=st.integers(1, 40), away=st.sampled_from([0, 1e3]))
def test_distances_are_scipys(n, m, away):
    x, y = away + normal(n, 3), away + normal(m, 3, seed=1)
    assert all_distances(x, y).numpy() == pytest.approx(cdist(x, y), rel=1e-6, abs=1e-6)
    assert all_distances(x, x).diagonal().count_nonzero() == 0
