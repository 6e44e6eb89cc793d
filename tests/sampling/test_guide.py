"""Guides, on denoisers of which all is known; bit for bit where they must change nothing."""

import math

import pytest
import torch
from closed_forms import gaussian_denoiser
from tiny_runs import mlp, unet
from torch import nn

from lightning_collapse import (
    ClassifierFree,
    EDMPrecond,
    Guide,
    NegativeGuidance,
    Sampling,
    WeightExtrapolation,
)
from lightning_collapse.seeds import generator

FINE = Sampling(num_steps=2000, sigma_min=1e-4)
X = torch.randn(6, 2, generator=generator(0, "x"), dtype=torch.float64)
SIGMA = torch.tensor(0.7, dtype=torch.float64)
LABELS = torch.tensor([0, 1, 2, 0, 1, 2])


class Gaussian(nn.Module):
    """The exact denoiser of N(0, std^2) in each dimension; of another one where it has a class."""

    def __init__(self, std, std_of_class=None):
        super().__init__()
        self.calls, self.of = 0, (std, std_of_class)

    def forward(self, x, sigma, labels=None):
        self.calls += 1
        std = self.of[labels is not None and self.of[1] is not None]
        mean = torch.zeros(x.shape[1], dtype=torch.float64)
        return gaussian_denoiser(mean, torch.tensor(std**2).double())(x, sigma)


class Linear(nn.Module):
    """F(x, c_noise) = W x: its denoiser is linear in its weights."""

    def __init__(self, *path):
        super().__init__()
        self.layer = nn.Linear(2, 2)
        for value in self.layer.parameters():
            value.data = torch.randn(value.shape, generator=generator(0, *path))

    def forward(self, x, c_noise, class_labels=None, augment_labels=None):
        return self.layer(x)


def drawn(network, *path):
    denoiser = EDMPrecond(network).eval().requires_grad_(False)
    random = generator(0, *path)
    for value in denoiser.parameters():
        value.data = torch.randn(value.shape, generator=random) / 4
    return denoiser


def std_of(denoise, labels=None):
    start = torch.ones(1, 1, dtype=torch.float64)
    return abs(float(FINE(lambda x, sigma: denoise(x, sigma, labels), start)))


@pytest.mark.parametrize("weight", [0.0, 0.5, 2.0])
def test_negative_guidance_of_gaussians_widens_by_the_power_of_their_ratio(weight):
    """As d ln x / d sigma is (1 + w) sigma / (v_0 + sigma^2) - w sigma / (v_r + sigma^2)."""
    first, now = Gaussian(0.5), Gaussian(0.4)
    guided = NegativeGuidance(weight)(now, first)
    assert std_of(guided) == pytest.approx(0.5 * (0.5 / 0.4) ** weight, rel=2e-3)


@pytest.mark.parametrize("weight", [0.0, 1.0, 2.5])
def test_guidance_by_class_of_gaussians_narrows_by_the_power_of_their_ratio(weight):
    guided = ClassifierFree(weight)(Gaussian(0.5, std_of_class=0.4), None)
    expected = 0.5 * (0.4 / 0.5) ** weight
    assert std_of(guided, torch.zeros(1)) == pytest.approx(expected, rel=2e-3)


@pytest.mark.parametrize("network", [mlp, unet])
def test_guidance_by_class_is_exact_at_0_and_at_1_and_linear_beside(network):
    denoiser = drawn(network(label_dim=3), "net")
    x = X if network is mlp else torch.randn(6, 1, 8, 8, generator=generator(0, "image"))
    without, with_class = denoiser(x, SIGMA), denoiser(x, SIGMA, LABELS)
    assert not torch.equal(without, with_class)
    for weight, expected in [(0.0, without), (1.0, with_class)]:
        assert torch.equal(ClassifierFree(weight)(denoiser, None)(x, SIGMA, LABELS), expected)
    beyond = ClassifierFree(3.0)(denoiser, None)(x, SIGMA, LABELS)
    torch.testing.assert_close(beyond, 3 * with_class - 2 * without)


@pytest.mark.parametrize("guide", [NegativeGuidance, WeightExtrapolation])
def test_of_weight_0_the_first_network_samples_bit_for_bit(guide):
    now, first = drawn(mlp(), "now"), drawn(mlp(), "first")
    assert torch.equal(guide(0.0)(now, first)(X, SIGMA, None), first(X, SIGMA))


def test_negative_guidance_leads_away_from_the_rounds_network():
    now, first = drawn(mlp(), "now"), drawn(mlp(), "first")
    found = NegativeGuidance(1.5)(now, first)(X, SIGMA, None)
    torch.testing.assert_close(found, 2.5 * first(X, SIGMA) - 1.5 * now(X, SIGMA))


def test_weights_of_a_linear_network_extrapolate_as_its_denoiser_does():
    now, first = (EDMPrecond(Linear(name)) for name in ("now", "first"))
    before = [value.clone() for value in (*now.parameters(), *first.parameters())]
    by_weights = WeightExtrapolation(1.5)(now, first)(X, SIGMA, None)
    torch.testing.assert_close(by_weights, NegativeGuidance(1.5)(now, first)(X, SIGMA, None))
    after = [*now.parameters(), *first.parameters()]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_weights_are_those_of_neon():
    now, first = drawn(mlp(), "now"), drawn(mlp(), "first")
    made = dict(WeightExtrapolation(0.5)(now, first).named_parameters())
    for (name, s), r in zip(now.named_parameters(), first.parameters(), strict=True):
        torch.testing.assert_close(made[name], r - 0.5 * (s - r))


@pytest.mark.parametrize("guide", [ClassifierFree(2.0), NegativeGuidance(2.0)])
def test_tells_how_many_networks_it_calls(guide):
    now, first = Gaussian(0.4, 0.3), Gaussian(0.5)
    guide(now, first if guide.needs_first else None)(X, SIGMA, LABELS)
    assert now.calls + first.calls == guide.calls == 2
    assert WeightExtrapolation.calls == 1


def test_in_round_0_nothing_leads_away_from_round_0():
    assert NegativeGuidance().at(0) is None and WeightExtrapolation().at(0) is None
    assert NegativeGuidance().at(1) == NegativeGuidance()
    assert ClassifierFree().at(0) == ClassifierFree()


@pytest.mark.parametrize("guide", [ClassifierFree, NegativeGuidance, WeightExtrapolation])
@pytest.mark.parametrize("weight", [-0.1, math.nan, math.inf])
def test_a_weight_below_0_or_of_no_size_is_refused(guide, weight):
    with pytest.raises(ValueError, match=f"weight = {weight}: must be a number of at least 0"):
        guide(weight)


@pytest.mark.parametrize(
    ("guide", "network", "restart", "said"),
    [
        (ClassifierFree(), {}, "scratch", "needs a network with classes"),
        (ClassifierFree(), {"label_dim": 3}, "scratch", "label_dropout above 0"),
        (WeightExtrapolation(), {}, "scratch", "set model.restart to warm"),
    ],
)
@pytest.mark.parametrize("kind", [mlp, unet])
def test_a_network_that_it_cannot_guide_is_refused(guide, network, restart, said, kind):
    with pytest.raises(ValueError, match=said):
        guide.check(kind(**network), restart)


@pytest.mark.parametrize("kind", [mlp, unet])
def test_a_network_that_has_learned_to_do_without_classes_is_taken(kind):
    ClassifierFree().check(kind(label_dim=3, label_dropout=0.1), "scratch")
    for restart in ("warm", "initial", None):
        WeightExtrapolation().check(kind(), restart)


def test_is_described_by_plain_values():
    assert NegativeGuidance(0.5).described() == {
        "class_path": "lightning_collapse.sampling.guide.NegativeGuidance",
        "init_args": {"weight": 0.5},
    }
    assert issubclass(ClassifierFree, Guide)
