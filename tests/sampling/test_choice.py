"""What `Sampling`'s fields do to a Gaussian, where all of it is known exactly."""

import math
from dataclasses import asdict, replace

import pytest
import torch
from closed_forms import gaussian_denoiser

from lightning_collapse.sampling import solvers
from lightning_collapse.sampling.bias import compounded_std, sampled_std
from lightning_collapse.sampling.choice import Sampling
from lightning_collapse.seeds import generator

FINE = Sampling(num_steps=2000)
CHURN = Sampling("heun", "karras", 18, S_churn=6.0, S_min=0.05, S_max=20.0, S_noise=1.01)
KINDS = [
    Sampling(num_steps=8),
    Sampling("dpmpp_2m", num_steps=8),
    Sampling("euler", "karras", 8),
    Sampling("heun", "karras", 8),
    CHURN,
]
STD = torch.tensor([1.0, 0.5, 0.2, 0.05], dtype=torch.float64)


def noise(*path):
    return torch.randn(50, 3, dtype=torch.float64, generator=generator(0, "noise", *path))


@pytest.mark.parametrize("last", ["denoise", "stop"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_temperature_multiplies_a_gaussians_covariance_and_keeps_its_mean(kind, last):
    kind = replace(kind, last=last)
    mean, C = torch.tensor([0.3, -0.2, 0.0]), torch.diag(torch.tensor([1.0, 0.25, 0.01]))

    def sample(sampling, start):
        random, size = generator(0, "fresh"), float(start.any())

        def fresh(x):
            return size * torch.randn(x.shape, generator=random, dtype=x.dtype)

        return sampling(gaussian_denoiser(mean, C), start, fresh)

    center = sample(kind, torch.zeros(1, 3))
    apart = sample(kind, noise()) - center
    cold = sample(replace(kind, temperature=0.49), noise()) - center
    torch.testing.assert_close(cold, 0.7 * apart)
    hot = sampled_std(replace(kind, temperature=4.0), STD)
    torch.testing.assert_close(hot, 2 * sampled_std(kind, STD))


def test_a_loop_at_a_temperature_is_mads_biased_one():
    course = compounded_std(replace(FINE, temperature=0.9, sigma_min=1e-4), STD, 5)
    expected = STD * 0.9 ** (torch.arange(6).double()[:, None] / 2)
    torch.testing.assert_close(course, expected, rtol=1e-3, atol=0)


@pytest.mark.parametrize(
    ("last", "ratios"), [("denoise", [0.9701, 0.7071]), ("stop", [1.0308, 1.4142])]
)
@pytest.mark.parametrize("solver", ["heun", "dpmpp_3m"])
def test_the_end_shrinks_or_widens_by_what_is_known(last, ratios, solver):
    """s / sqrt(s^2 + sigma_min^2), and its inverse."""
    end = replace(FINE, solver=solver, sigma_min=0.05, last=last)
    found = sampled_std(end, STD[2:]) / STD[2:]
    assert found.tolist() == pytest.approx(ratios, rel=2e-3)


@pytest.mark.parametrize("last", ["denoise", "stop"])
@pytest.mark.parametrize("temperature", [1.0, 0.8])
def test_with_churn_the_variance_follows_its_recursion(last, temperature):
    """x' = a (x + sqrt(raised^2 - sigma^2) S_noise e): var' = a^2 (var + (...) S_noise^2)."""
    sampling = replace(CHURN, last=last, temperature=temperature)
    v, levels = STD**2, sampling.sigmas.tolist()
    variance = torch.full_like(v, temperature * levels[0] ** 2)
    for sigma, after in zip(levels, levels[1:], strict=False):
        most = 6.0 / 18
        raised = sigma * (1 + most * (0.05 <= sigma <= 20.0))
        variance = variance + temperature * 1.01**2 * (raised**2 - sigma**2)
        slope = raised / (v + raised**2)
        a = 1 + (after - raised) * slope
        if after:
            a = 1 + (after - raised) / 2 * (slope + after / (v + after**2) * a)
        variance = a**2 * variance
    torch.testing.assert_close(sampled_std(sampling, STD), variance.sqrt())


def test_with_churn_samples_have_that_deviation():
    random = generator(0, "many")
    start = torch.randn(40_000, 1, generator=random, dtype=torch.float64)
    C = torch.tensor([[0.25]])
    found = CHURN(
        gaussian_denoiser(torch.zeros(1), C),
        start,
        lambda x: torch.randn(x.shape, generator=random, dtype=x.dtype),
    ).std()
    exact = float(sampled_std(CHURN, STD[1:2]))
    assert float(found) == pytest.approx(exact, rel=4 / math.sqrt(2 * 40_000))
    assert abs(exact / float(sampled_std(replace(CHURN, S_churn=0.0), STD[1:2])) - 1) > 0.02


@pytest.mark.parametrize("kind", KINDS[:4])
def test_by_default_samples_are_the_solvers_own_bit_for_bit(kind):
    solver = getattr(solvers, f"{kind.solver}_sampler")
    denoise = gaussian_denoiser(torch.zeros(3), torch.eye(3) / 4)
    start = noise().float()
    assert torch.equal(kind(denoise, start), solver(denoise, start, kind.sigmas))


@pytest.mark.parametrize("last", ["denoise", "stop"])
@pytest.mark.parametrize("start", ["zero", "mean"])
@pytest.mark.parametrize("kind", KINDS)
def test_tells_how_often_it_calls_the_denoiser(kind, start, last):
    called = []
    sampling = replace(kind, start=start, last=last)
    sampling(lambda x, sigma: called.append(float(sigma)) or x / 2, noise())
    assert len(called) == sampling.calls
    assert min(called) == pytest.approx(0.002) or last == "stop"


@pytest.mark.parametrize("solver", ["dpmpp_3m", "unipc_3m", "heun"])
def test_around_the_mean_samples_have_the_datas_own(solver):
    """Around zero they are off by m s / sigma_max: of a mean of 20, by 20 s / 80."""
    kind = Sampling(solver, num_steps=200)
    mean, std = torch.tensor([20.0, -0.4, 0.0]), torch.tensor([1.0, 0.5, 0.2])
    denoise = gaussian_denoiser(mean, torch.diag(std**2))
    still = torch.zeros(1, 3)
    off = kind(denoise, still, torch.zeros_like) - mean
    found = replace(kind, start="mean")(denoise, still, torch.zeros_like) - mean
    torch.testing.assert_close(off[0], -mean * std.double() / 80, rtol=0.02, atol=1e-9)
    assert (found.abs() <= 2e-3 * off.abs() + 1e-12).all()


@pytest.mark.parametrize("kind", KINDS[:4])
def test_the_start_hardly_changes_a_deviation(kind):
    """By s^2 / sigma_max^2: the denoiser's answer varies as the noise does."""
    zero, mean = (sampled_std(replace(kind, start=start), STD) for start in ("zero", "mean"))
    torch.testing.assert_close(mean / zero - 1, STD**2 / 80**2, rtol=0.5, atol=1e-6)


def test_a_recipe_of_before_is_read_and_still_written():
    younger = {"temperature", "start", "last", "latents", "levels"}
    before = {k: v for k, v in asdict(FINE).items() if k not in younger}
    assert FINE.recipe == before
    assert Sampling.recorded(before | {"S_max": None}) == FINE
    chosen = replace(FINE, temperature=0.9, last="stop", latents="same")
    assert Sampling.recorded(chosen.recipe) == chosen
    assert chosen.recipe.keys() - before.keys() == {"temperature", "last", "latents"}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"temperature": 0.0}, "temperature = 0.0: must be a number > 0"),
        ({"temperature": -1.0}, "temperature = -1.0"),
        ({"temperature": math.nan}, "temperature = nan"),
        ({"temperature": math.inf}, "temperature = inf"),
        ({"last": "stop", "num_steps": 1}, "last = stop: needs num_steps of at least 2"),
    ],
)
def test_what_cannot_work_is_refused(options, said):
    with pytest.raises(ValueError, match=said):
        Sampling(**options)
