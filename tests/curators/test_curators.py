"""What curators choose, on sets where the right choice is known."""

import math

import numpy as np
import pytest
import torch
from sklearn.neighbors import KernelDensity

from lightning_collapse import ByDensity, ByDiscriminator, ByEntropy, Curator, Offer, RealWeight
from lightning_collapse.curators.curator import KeepsShare
from lightning_collapse.curators.density import log_density

N = 60
SHARE = [ByEntropy, ByDensity, ByDiscriminator]


def offer(samples, seed=0, n_real=0):
    real = torch.randn(80, samples[0].numel(), generator=torch.Generator().manual_seed(5))
    return Offer(samples, real, n_real, seed)


def points(n=N, seed=1):
    return torch.randn(n, 2, generator=torch.Generator().manual_seed(seed))


EVERY = [
    ByEntropy(0.4),
    ByDensity(0.4, "top"),
    ByDensity(0.4, "bottom"),
    ByDensity(0.4, "random"),
    ByDensity(0.4, "top", of="real"),
    ByDiscriminator(0.4),
]


@pytest.mark.parametrize("curator", EVERY, ids=repr)
@pytest.mark.parametrize("kind", ["points", "images", "equal"])
def test_a_share_is_kept_whatever_the_rows_and_the_same_again(curator, kind):
    rows = {
        "points": points(),
        "images": torch.randint(0, 256, (N, 1, 4, 4), dtype=torch.uint8),
        "equal": torch.zeros(N, 2),
    }[kind]
    real = torch.randn(80, 2)
    if kind == "images":
        real = torch.randint(0, 256, (80, 1, 4, 4), dtype=torch.uint8)
    offered = Offer(rows, real, 0, 3)
    weights = curator.weights(offered)
    assert weights.shape == (N,)
    assert set(weights.tolist()) == {0.0, 1.0}
    assert int(weights.sum()) == curator.keeps(N) == 24
    assert torch.equal(weights, curator.weights(offered))
    # No sample is preferred for its place: in another order the same number are kept.
    assert curator.weights(Offer(rows.flip(0), real, 0, 3)).sum() == 24


def test_a_density_is_that_of_scikit_learn():
    rows, at = points(200).double(), points(20, seed=2).double()
    width = math.sqrt(float(rows.var(0, unbiased=False).mean())) * 200 ** (-1 / 6)
    expected = KernelDensity(bandwidth=width).fit(rows).score_samples(at)
    ours = log_density(at, rows).numpy()
    assert ours - ours.mean() == pytest.approx(expected - expected.mean(), abs=1e-4)


def test_top_keeps_the_middle_and_bottom_the_rest():
    rows = points(400)
    inner, outer = (ByDensity(0.5, order).weights(offer(rows)) > 0 for order in ("top", "bottom"))
    assert torch.equal(inner, ~outer)
    assert rows[inner].norm(dim=1).mean() < 0.6 * rows[outer].norm(dim=1).mean()


def test_random_keeps_every_sample_as_often():
    rows, kept = points(10), torch.zeros(10)
    for seed in range(400):
        kept += ByDensity(0.5, "random").weights(offer(rows, seed=seed))
    assert (kept / 400 - 0.5).abs().max() < 4 * 0.5 / 20


def test_density_of_real_rows_keeps_what_is_near_them():
    rows = torch.cat([points(30), points(30) + 20])
    weights = ByDensity(0.5, "top", of="real").weights(offer(rows))
    assert weights.tolist() == [1.0] * 30 + [0.0] * 30


def test_entropy_keeps_the_rare_ones():
    """Of a tight heap and a few far away, these first, and distances stay large."""
    rows = torch.cat([0.01 * points(50), 10 * torch.eye(2)[[0, 1]], -10 * torch.eye(2)])
    weights = ByEntropy(5 / 54).weights(offer(rows))
    assert weights[50:].tolist() == [1.0] * 4
    wide = points(200)
    kept = wide[ByEntropy(0.25).weights(offer(wide)) > 0]
    some = wide[ByDensity(0.25, "random").weights(offer(wide)) > 0]

    def apart(x):
        return (torch.cdist(x, x) + 1e9 * torch.eye(len(x))).min(1).values.log().mean()

    # Kozachenko and Leonenko's estimate is d times this, and a constant of n.
    assert apart(kept) > apart(some) + 0.5


def test_a_discriminator_keeps_what_looks_real():
    chance = torch.Generator().manual_seed(2)
    real = torch.randn(300, 2, generator=chance)
    good, shifted = torch.randn(100, 2, generator=chance), torch.randn(100, 2) + 4
    shrunk = 0.05 * torch.randn(100, 2, generator=chance)
    for bad in (shifted, shrunk):
        weights = ByDiscriminator(0.5).weights(Offer(torch.cat([good, bad]), real, 0, 0))
        assert weights[:100].mean() > 0.8


# Weights of real rows


def test_real_rows_have_their_share_of_the_loss():
    for n_real in (20, 60, 200):
        (one,) = set(RealWeight(0.7).weights(offer(points(), n_real=n_real)).tolist())
        assert n_real / (n_real + N * one) == pytest.approx(0.7)
    assert set(RealWeight().weights(offer(points(), n_real=0)).tolist()) == {1.0}


def test_the_golden_ratio_is_the_best_weight_of_a_mean_in_a_loop():
    """He et al.: as many new real rows as samples; simulated with the weights that it gives."""
    n, rounds, replicas = 10, 40, 20_000

    def error(weight):
        chance, mean = np.random.default_rng(4), np.zeros(replicas)
        (one,) = set(RealWeight(weight).weights(offer(points(n), n_real=n)).tolist())
        late = []
        for r in range(rounds):
            real = chance.standard_normal(replicas) / n**0.5
            made = mean + chance.standard_normal(replicas) / n**0.5
            mean = (n * real + n * one * made) / (n + n * one)
            late += [np.square(mean).mean()] * (r > 15)
        return np.mean(late) * n

    golden = RealWeight().weight
    assert golden == pytest.approx(2 / (1 + 5**0.5))
    for w in (golden, 0.3, 0.5, 0.9):
        expected = (w**2 + (1 - w) ** 2) / (w * (2 - w))
        assert error(w) == pytest.approx(expected, rel=0.01)
    assert error(golden) == pytest.approx(golden, rel=0.01)
    assert error(golden) < min(error(0.3), error(0.9))


# What is refused


@pytest.mark.parametrize("kind", SHARE)
@pytest.mark.parametrize("keep", [0, -1, 1.5, math.nan])
def test_what_is_no_share_is_refused(kind, keep):
    with pytest.raises(ValueError, match=rf"^keep = {keep}: must be a share in \(0, 1\]$"):
        kind(keep)


@pytest.mark.parametrize("weight", [0, 1, -0.5, math.nan])
def test_what_is_no_weight_is_refused(weight):
    with pytest.raises(ValueError, match=rf"^weight = {weight}: must be a share in \(0, 1\)$"):
        RealWeight(weight)


def test_a_penalty_must_be_a_number():
    with pytest.raises(ValueError, match="^penalty = 0: must be a finite number > 0"):
        ByDiscriminator(penalty=0)


def test_the_tests_cover_every_curator():
    kinds = {*Curator.__subclasses__(), *KeepsShare.__subclasses__()} - {KeepsShare}
    ours = {kind for kind in kinds if kind.__module__.startswith("lightning_")}
    assert ours == {type(curator) for curator in EVERY} | {RealWeight}
