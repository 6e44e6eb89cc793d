import numpy as np
import pytest
import torch
from scipy.linalg import eigvalsh
from scipy.spatial.distance import cdist
from scipy.special import gammaln, psi
from scipy.stats import entropy, ks_2samp, multivariate_normal
from sklearn.metrics.pairwise import cosine_similarity

from lightning_collapse.metrics.diversity import Entropy, KolmogorovSmirnov, Vendi
from lightning_collapse.metrics.measure import RealRows, Sample
from lightning_collapse.seeds import generator


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=generator(seed, *shape))


def told(measure, x, y=None):
    one, other = (Sample(part, part, "points", "fd_points") for part in (x, x if y is None else y))
    (value,) = measure.figures(one, RealRows(other, None)).values()
    return value


@pytest.mark.parametrize(("n", "d"), [(30, 4), (10, 20)])
def test_vendi_is_that_of_scikit_learns_cosines(n, d):
    x = 0.5 + normal(n, d)
    shares = eigvalsh(cosine_similarity(x.double().numpy()) / n).clip(0)
    assert told(Vendi(), x) == pytest.approx(np.exp(entropy(shares)), rel=1e-6)


def test_vendi_counts_different_samples():
    assert told(Vendi(), torch.eye(5).repeat(3, 1)) == pytest.approx(5)
    assert told(Vendi(), torch.zeros(5, 2)) is None


@pytest.mark.parametrize("k", [1, 4])
def test_entropy_is_that_of_its_formula_and_near_the_gaussians(k):
    x = normal(2000, 2)
    away = np.sort(cdist(x, x), 1)[:, k]
    formula = psi(2000) - psi(k) + np.log(np.pi) - gammaln(2) + 2 * np.log(away).mean()
    assert told(Entropy(k=k), x) == pytest.approx(formula, abs=1e-5)
    assert formula == pytest.approx(multivariate_normal(np.zeros(2)).entropy(), abs=0.1)


def test_equal_samples_have_no_entropy():
    x = normal(20, 2)
    assert told(Entropy(), torch.cat([x, x[:1]])) is None and told(Entropy(k=5), x[:5]) is None


def test_the_kolmogorov_smirnov_statistic_is_scipys():
    x, y = 0.3 + normal(40, 3).round(decimals=1), normal(50, 3, seed=1).round(decimals=1)
    theirs = max(ks_2samp(x[:, i], y[:, i]).statistic for i in range(3))
    assert told(KolmogorovSmirnov(), x, y) == pytest.approx(theirs, abs=1e-6)
    images = torch.zeros(9, 1, 2, 2, dtype=torch.uint8)
    one = Sample(images, images.flatten(1).float(), "pixels", "fd_pixels")
    assert KolmogorovSmirnov().figures(one, RealRows(one, None)) == {"ks_pixels": None}
