"""Karras et al.'s Table 1, column by column, computed a second time in double precision."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import kstest
from torch import nn

from lightning_collapse import (
    EDM,
    VE,
    VP,
    DenoisingLoss,
    EDMLoss,
    EDMPrecond,
    LogNormal,
    LogUniform,
    Precond,
    UniformTime,
)

LEVELS = [0.02, 0.3, 1.0, 7.0, 90.0]


def table_1(name: str, sigma: float) -> tuple[float, ...]:
    """c_skip, c_out, c_in, c_noise and lambda."""
    if name == "EDM":
        total = sigma**2 + 0.25
        skip = (0.25 / total, sigma * 0.5 / math.sqrt(total), 1 / math.sqrt(total))
        return *skip, math.log(sigma) / 4, total / (sigma * 0.5) ** 2
    if name == "VP":
        beta_d, beta_min = 19.9, 0.1
        t = (math.sqrt(beta_min**2 + 2 * beta_d * math.log(sigma**2 + 1)) - beta_min) / beta_d
        return 1.0, -sigma, 1 / math.sqrt(sigma**2 + 1), 999 * t, 1 / sigma**2
    return 1.0, sigma, 1.0, math.log(sigma / 2), 1 / sigma**2


class Probe(nn.Module):
    def forward(self, x, c_noise, class_labels=None, augment_labels=None):
        self.x, self.c_noise = x, c_noise
        return torch.ones_like(x)


@pytest.mark.parametrize("shape", [(5, 2), (5, 1, 4, 4)])
@pytest.mark.parametrize("kind", [EDM, VP, VE])
def test_a_denoiser_is_table_1s(kind, shape):
    probe, sigma = Probe(), torch.tensor(LEVELS)
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    denoised = Precond(probe, kind())(x, sigma)
    weight = kind().weight(sigma)
    for i, level in enumerate(LEVELS):
        c_skip, c_out, c_in, c_noise, told = table_1(kind.__name__, level)
        expected = c_skip * x[i].double() + c_out
        torch.testing.assert_close(denoised[i].double(), expected, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(probe.x[i].double(), c_in * x[i].double(), rtol=1e-5, atol=0)
        assert probe.c_noise[i].item() == pytest.approx(c_noise, rel=1e-4, abs=1e-6)
        assert weight[i].item() == pytest.approx(told, rel=1e-5)


@pytest.mark.parametrize("kind", [EDM, VP, VE])
def test_the_loss_is_the_squared_error_of_the_network_itself(kind):
    sigma = torch.tensor(LEVELS)
    c_out = kind().scales(sigma)[1]
    torch.testing.assert_close(kind().weight(sigma) * c_out**2, torch.ones(5))


def test_a_vp_network_is_told_its_time_down_to_the_earliest():
    for t in (1e-5, 1e-3, 0.1, 0.5, 1.0):
        # The schedule in double precision; its inverse in the network's.
        sigma = math.sqrt(math.expm1(19.9 * t**2 / 2 + 0.1 * t))
        assert VP().c_noise(torch.tensor(sigma)).item() == pytest.approx(999 * t, rel=1e-3)
    lowest, highest = VP().levels
    assert lowest == pytest.approx(0.0010005, rel=1e-3) and highest == pytest.approx(
        152.2, rel=1e-3
    )


@pytest.mark.parametrize(
    ("noise", "share"),
    [
        (LogNormal(0.4, 2.0), lambda s: 0.5 * math.erfc(-(math.log(s) - 0.4) / 2 / math.sqrt(2))),
        (UniformTime(), lambda s: (table_1("VP", s)[3] / 999 - 1e-5) / (1 - 1e-5)),
        (LogUniform(), lambda s: math.log(s / 0.02) / math.log(5000)),
    ],
)
def test_levels_are_drawn_from_table_1s_distributions(noise, share):
    drawn = noise.draw(4000, torch.Generator().manual_seed(0)).double()
    assert kstest([share(s) for s in drawn.tolist()], "uniform").pvalue > 0.01
    lowest, highest = noise.levels
    assert ((drawn >= lowest * (1 - 1e-5)) & (drawn <= highest * (1 + 1e-5))).all()
    quantiles = noise.ln_quantile(torch.tensor([0.1, 0.5, 0.9]).double()).exp()
    assert [share(s) for s in quantiles.tolist()] == pytest.approx([0.1, 0.5, 0.9], abs=1e-6)
    again = noise.draw(4000, torch.Generator().manual_seed(0)).double()
    assert torch.equal(drawn, again)


def test_edm_is_what_it_was_to_the_last_bit():
    x, sigma = torch.randn(4, 3), torch.tensor([0.01, 0.4, 2.0, 70.0])
    level = sigma[:, None]
    total = level.square() + 0.6**2
    c_skip, c_out = 0.6**2 / total, level * 0.6 * total.rsqrt()
    assert torch.equal(EDMPrecond(Probe(), 0.6)(x, sigma), c_skip * x + c_out)
    loss = EDMLoss(-0.4, 1.1, 0.6)
    weight = (level.square() + 0.6**2) / (level * 0.6).square()
    zero = loss(lambda noisy, *_: torch.zeros_like(noisy), x, sigma, torch.zeros_like(x))
    assert torch.equal(zero, weight * (torch.zeros_like(x) - x).square())
    sigma, noise = loss.draw((4, 3), torch.Generator().manual_seed(3))
    random = torch.Generator().manual_seed(3)
    assert torch.equal(sigma, (torch.randn(4, generator=random) * 1.1 - 0.4).exp())
    assert torch.equal(noise, torch.randn(4, 3, generator=random))


@pytest.mark.parametrize("kind", [VP, VE])
def test_an_exact_network_has_no_loss(kind):
    """F = minus the noise in VP, plus in VE's sign: D is then the clean row."""
    loss, x = DenoisingLoss(LogUniform(0.1, 10), kind()), torch.randn(64, 2)
    sigma, noise = loss.draw((64, 2), torch.Generator().manual_seed(0))
    sign = 1 if kind is VP else -1
    exact = Precond(nn.Identity(), kind())
    exact.model.forward = lambda *_: sign * noise
    assert loss(exact, x, sigma, noise).max() < 1e-8
    # What the other takes for noise is twice of it.
    other = Precond(exact.model, VE() if kind is VP else VP())
    assert loss(other, x, sigma, noise).mean() > 1


def test_a_denoiser_serves_what_both_allow():
    made = Precond(Probe(), VE(0.02, 50), *LogUniform(0.1, 100).levels)
    assert (made.sigma_min, made.sigma_max) == (0.1, 50)
    made = Precond(Probe(), EDM(), *LogNormal().levels)
    assert (made.sigma_min, made.sigma_max) == (0, np.inf)


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda: EDM(0), "sigma_data = 0: must be a number > 0"),
        (lambda: VP(beta_d=200), "beta_d, beta_min = 200, 0.1: must be > 0, and beta_d / 4"),
        (lambda: VP(epsilon_t=0), r"epsilon_t = 0: must lie in \(0, 1\)"),
        (lambda: VP(M=1), "M = 1: must lie in 2"),
        (lambda: VE(2, 1), "sigma_min = 2: must be > 0, and below sigma_max = 1"),
        (lambda: UniformTime(beta_min=-1), "beta_d, beta_min = 19.9, -1: must be > 0"),
        (lambda: LogUniform(0, 1), "sigma_min = 0: must be > 0, and below"),
        (lambda: LogNormal(P_std=-1), "P_std = -1: must be at least 0"),
        (lambda: LogNormal(P_mean=math.nan), "P_mean = nan: must be finite"),
    ],
)
def test_numbers_out_of_range_are_refused(made, said):
    with pytest.raises(ValueError, match=f"^{said}"):
        made()
