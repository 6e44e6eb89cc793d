"""Inpainting of Gaussian data, whose conditional law and exact denoiser are known."""

import pytest
import torch

from lightning_collapse import Inpainting, Sampling
from lightning_collapse.sampling.bias import sampled_std
from lightning_collapse.sampling.oracles import mixture_denoiser

LEVELS = Sampling("heun", "log_uniform", 36)
STD = 0.5


def gaussian(correlation: float):
    """The exact denoiser of two numbers of standard deviation 0.5."""
    covariance = STD**2 * torch.tensor([[[1, correlation], [correlation, 1]]]).double()
    return mixture_denoiser(torch.zeros(1, 2).double(), covariance, torch.ones(1).double())


def slope(correlation: float, resamples: int, levels: Sampling = LEVELS) -> float:
    """How the sample follows the given number: without noise, since all of it is linear."""
    known = torch.tensor([[1.0, 99.0]]).double()
    zeros = torch.zeros(1, 2).double()
    made = Inpainting(0.5, resamples)(
        gaussian(correlation), zeros, known, levels.sigmas, torch.zeros_like
    )
    assert made[0, 0] == 1
    return float(made[0, 1])


@pytest.mark.parametrize("correlation", [-0.6, 0.5, 0.9])
def test_resampling_leads_to_the_conditional_mean(correlation):
    """E[u | k] = correlation k; replacement alone falls far short of it, as is said of it."""
    errors = [1 - slope(correlation, n) / correlation for n in (1, 3, 10, 30, 100)]
    assert 0.45 < errors[0] < 0.65
    # About one over the number of times, and no other limit.
    assert all(0 < b < 0.75 * a for a, b in zip(errors, errors[1:], strict=False))
    assert errors[-1] < 0.02
    assert errors[-1] * 100 < 1.2 * errors[2] * 10


def test_the_bias_is_of_replacement_and_not_of_the_steps():
    fine = Sampling("heun", "karras", 144)
    assert slope(0.9, 1, fine) == pytest.approx(slope(0.9, 1), abs=0.01)
    assert slope(0.9, 1) == pytest.approx(0.45, abs=0.01)
    assert slope(0.9, 10) == pytest.approx(0.85, abs=0.01)


@pytest.mark.parametrize(("resamples", "low", "high"), [(1, 2.0, 3.0), (30, 0.97, 1.1)])
def test_resampling_leads_to_the_conditional_variance(resamples, low, high):
    n, random = 4_000, torch.Generator().manual_seed(0)

    def noise(like):
        return torch.randn(like.shape, generator=random, dtype=torch.float64)

    zero = torch.zeros(n, 2).double()
    made = Inpainting(0.5, resamples)(gaussian(0.9), noise(zero), zero, LEVELS.sigmas, noise)
    assert low < made[:, 1].var() / (STD**2 * (1 - 0.9**2)) < high


@pytest.mark.parametrize("resamples", [1, 4])
def test_what_does_not_depend_on_the_given_part_is_sampled_as_without_it(resamples):
    n, random = 20_000, torch.Generator().manual_seed(0)

    def noise(like):
        return torch.randn(like.shape, generator=random, dtype=torch.float64)

    known = STD * noise(torch.zeros(n, 2))
    made = Inpainting(0.5, resamples)(gaussian(0.0), noise(known), known, LEVELS.sigmas, noise)
    assert torch.equal(made[:, 0], known[:, 0])
    assert abs(torch.corrcoef(made.T)[0, 1]) < 0.03
    alone = torch.tensor([STD]).double()
    plain = sampled_std(LEVELS, alone)
    assert made[:, 1].std() == pytest.approx(plain.item(), rel=0.02)


def test_everything_sampled_is_the_plain_sampler():
    noise, known = torch.randn(4, 2), torch.full((4, 2), 99.0)
    denoise = gaussian(0.7)
    made = Inpainting(1.0, 1)(denoise, noise, known, LEVELS.sigmas, torch.zeros_like)
    torch.testing.assert_close(made, LEVELS(denoise, noise))


def test_the_mask_is_the_right_hand_columns():
    mask = Inpainting(0.25).mask((3, 4, 8))
    assert mask[..., 6:].all() and not mask[..., :6].any()
    assert Inpainting(0.5).mask((3,)).tolist() == [False, True, True]


def test_calls_are_counted():
    called = []

    def denoise(x, sigma):
        called.append(sigma)
        return torch.zeros_like(x)

    inpaint = Inpainting(0.5, 3)
    zeros = torch.zeros(1, 2)
    inpaint(denoise, zeros, zeros, LEVELS.sigmas, torch.zeros_like)
    assert len(called) == inpaint.calls(LEVELS) == 2 * 3 * 35 + 1


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda: Inpainting(0), r"share = 0: must lie in \(0, 1\]"),
        (lambda: Inpainting(1.5), r"share = 1.5: must lie in \(0, 1\]"),
        (lambda: Inpainting(0.5, 0), "resamples = 0: must be at least 1"),
        (lambda: Inpainting(0.01).check(LEVELS, (1, 8, 8)), "share = 0.01: is none of the 8 col"),
        (lambda: Inpainting().check(Sampling(), (2,)), "needs loop.sampling.solver = heun, got"),
        (
            lambda: Inpainting().check(Sampling("heun", S_churn=1.0), (2,)),
            "needs loop.sampling.S_churn = 0, got 1.0",
        ),
        (
            lambda: Inpainting().check(Sampling("heun", start="mean"), (2,)),
            "needs loop.sampling.start = zero, got mean",
        ),
    ],
)
def test_what_cannot_work_is_refused(made, said):
    with pytest.raises(ValueError, match=f"^{said}"):
        made()
