"""Preconditioning and loss against the paper's formulas, and the shapes they must take."""

import math

import pytest
import torch
from torch import nn

from lightning_collapse.networks.edm import EDMLoss, EDMPrecond
from lightning_collapse.networks.unet import ddpmpp

SHAPES = pytest.mark.parametrize("shape", [(3, 2), (3, 5, 4), (3, 1, 8, 8)])


class Probe(nn.Module):
    """A network that records its inputs and gives `gain` times its first."""

    def __init__(self, gain):
        super().__init__()
        self.gain = gain

    def forward(self, x, c_noise, class_labels=None, augment_labels=None):
        self.inputs = (x, c_noise, class_labels, augment_labels)
        return self.gain * x


@SHAPES
def test_no_network_leaves_c_skip(shape):
    x, sigma = torch.randn(shape), torch.tensor([0.1, 0.5, 3.0])
    c_skip = torch.tensor([0.25 / 0.26, 0.5, 0.25 / 9.25]).view(-1, *[1] * (len(shape) - 1))
    torch.testing.assert_close(EDMPrecond(Probe(0))(x, sigma), c_skip * x)


def test_table_1_by_hand():
    probe = Probe(1)
    x = torch.full((1, 2), 2.0)
    denoised = EDMPrecond(probe, sigma_data=0.6)(x, 0.8)
    # sigma^2 + sigma_data^2 = 1: c_in = 1, c_skip = 0.36, c_out = 0.48.
    torch.testing.assert_close(probe.inputs[0], x)
    torch.testing.assert_close(probe.inputs[1], torch.tensor([math.log(0.8) / 4]))
    torch.testing.assert_close(denoised, (0.36 + 0.48) * x)


@SHAPES
def test_input_of_the_network_has_unit_variance(shape):
    probe = Probe(0)
    generator = torch.Generator().manual_seed(0)
    y = 0.5 * torch.randn(20_000, *shape[1:], generator=generator)
    for sigma in (0.01, 0.5, 50.0):
        EDMPrecond(probe)(y + sigma * torch.randn(y.shape, generator=generator), sigma)
        assert probe.inputs[0].std().item() == pytest.approx(1, abs=0.02)


def test_gaussian_data_need_no_network():
    """For N(0, sigma_data^2) the best denoiser is c_skip x: F = 0 is the exact answer."""
    generator = torch.Generator().manual_seed(0)
    y, noise = torch.randn(2, 100_000, 1, generator=generator)
    y = 0.5 * y
    x = y + 0.7 * noise
    slope = (x * y).mean() / x.square().mean()
    denoised = EDMPrecond(Probe(0))(x, 0.7)
    assert (denoised / x).mean().item() == pytest.approx(slope.item(), rel=0.02)


@pytest.mark.parametrize("sigma", [1.5, torch.tensor(1.5), torch.tensor(1.5).double()])
def test_one_sigma_serves_all_rows(sigma):
    network = EDMPrecond(Probe(0.3))
    x = torch.randn(3, 1, 4, 4)
    torch.testing.assert_close(network(x, sigma), network(x, torch.full((3,), 1.5)))
    assert network.model.inputs[1].shape == (3,)


def test_rows_are_denoised_at_their_own_sigma():
    network = EDMPrecond(Probe(0.3))
    x, sigma = torch.randn(3, 2), torch.tensor([0.1, 1.0, 10.0])
    alone = [network(x[i : i + 1], sigma[i].item()) for i in range(3)]
    torch.testing.assert_close(network(x, sigma), torch.cat(alone))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_computes_in_float32(dtype):
    network = EDMPrecond(Probe(0.3))
    x = torch.randn(3, 2).to(dtype)
    out = network(x, torch.tensor(0.7, dtype=dtype))
    assert out.dtype == network.model.inputs[0].dtype == torch.float32
    torch.testing.assert_close(out, network(x.float(), 0.7), rtol=5e-3, atol=5e-3)


def test_survives_autocast():
    torch.manual_seed(0)
    network = EDMPrecond(
        ddpmpp(8, 1, model_channels=8, channel_mult=(1, 2), num_blocks=1, attn_resolutions=(4,))
    )
    x = torch.randn(2, 1, 8, 8)
    with torch.autocast("cpu", torch.bfloat16):
        out = network(x, 1.0)
    assert out.dtype == torch.float32
    torch.testing.assert_close(out, network.eval()(x, 1.0), rtol=0, atol=0.02)
    out.sum().backward()


def test_labels_reach_the_network():
    network = EDMPrecond(Probe(0))
    labels = (torch.tensor([0, 1, 2]), torch.randn(3, 9))
    network(torch.randn(3, 2), 1.0, *labels)
    assert all(a is b for a, b in zip(network.model.inputs[2:], labels, strict=True))


@SHAPES
def test_weight_makes_the_network_the_unit_of_error(shape):
    """lambda c_out^2 = 1 (Appendix B.6): the loss is the raw network's own squared error."""
    loss = EDMLoss()
    x = torch.randn(shape)
    sigma, noise = loss.draw(shape, torch.Generator().manual_seed(0))
    precond = EDMPrecond(Probe(0))
    exact = loss(precond, x, sigma, noise)
    c_in, x_in = precond.model.inputs[0], x + sigma.view(-1, *[1] * (len(shape) - 1)) * noise
    scale = (c_in / x_in).abs()  # 1 / sqrt(sigma^2 + sigma_data^2)
    level = sigma.view(-1, *[1] * (len(shape) - 1))
    c_skip, c_out = 0.25 * scale**2, level * 0.5 * scale
    target = (x - c_skip * x_in) / c_out
    torch.testing.assert_close(exact, target.square(), rtol=1e-4, atol=1e-5)


def test_exact_denoiser_has_no_loss():
    loss = EDMLoss()
    x = torch.randn(4, 2)
    out = loss(lambda noisy, sigma, c, a: x, x, *loss.draw((4, 2)))
    assert torch.equal(out, torch.zeros(4, 2))


def test_draws_are_lognormal_then_unit_normal():
    generator = torch.Generator().manual_seed(0)
    sigma, noise = EDMLoss(P_mean=0.4, P_std=2.0).draw((50_000, 3), generator)
    assert sigma.shape == (50_000,)
    assert noise.shape == (50_000, 3)
    assert sigma.log().mean().item() == pytest.approx(0.4, abs=0.05)
    assert sigma.log().std().item() == pytest.approx(2.0, abs=0.05)
    assert noise.std().item() == pytest.approx(1, abs=0.01)


def test_draws_depend_on_the_generator_alone():
    first = EDMLoss().draw((4, 2), torch.Generator().manual_seed(1))
    # NVIDIA's order: the levels, then the noise.
    levels = torch.randn(4, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(first[0], (1.2 * levels - 1.2).exp())
    torch.manual_seed(5)
    again = EDMLoss().draw((4, 2), torch.Generator().manual_seed(1))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


def test_loss_prints_its_settings():
    said = "noise=LogNormal(P_mean=-0.4, P_std=1.2), preconditioning=EDM(sigma_data=0.5)"
    assert repr(EDMLoss(P_mean=-0.4)) == f"EDMLoss({said})"
