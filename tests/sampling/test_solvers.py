import math
from functools import partial

import numpy as np
import pytest
import torch
from closed_forms import gaussian_denoiser
from scipy.integrate import quad

from lightning_collapse.sampling.oracles import mixture_denoiser
from lightning_collapse.sampling.schedules import karras_sigmas, log_uniform_sigmas
from lightning_collapse.sampling.solvers import (
    dpmpp_2m_sampler,
    dpmpp_3m_sampler,
    euler_sampler,
    heun_sampler,
    state_dtype,
    unipc_3m_sampler,
)
from lightning_collapse.seeds import generator

SAMPLERS = [euler_sampler, heun_sampler, dpmpp_2m_sampler, dpmpp_3m_sampler]
SAMPLERS += [unipc_3m_sampler]
SIGMA_MIN, SIGMA_MAX = 0.002, 80.0


def name(function):
    return getattr(function, "__name__", None)


def tensor(*values):
    return torch.tensor(values, dtype=torch.float64)


# Every sampler ends in x = D(x_min; sigma_min), whose first factor is the probability flow's
# solution at sigma_min. The two flows below are known in closed form.


def gaussian_case(steps, schedule, sampler):
    mean, std = tensor(0.3, -0.2, 0.5), tensor(1.0, 0.5, 0.05)
    axes = torch.linalg.qr(torch.tensor([[1.0, 2, 3], [0, 1, 4], [5, 6, 0]]).double())[0]
    covariance = (axes * std**2) @ axes.T
    denoise = gaussian_denoiser(mean, covariance)
    noise = torch.randn(5, 3, dtype=torch.float64, generator=generator(0, "test"))
    flow = ((std**2 + SIGMA_MIN**2) / (std**2 + SIGMA_MAX**2)).sqrt()
    x_min = ((noise * SIGMA_MAX - mean) @ axes * flow) @ axes.T + mean
    return sampler(denoise, noise, schedule(steps)), denoise(x_min, tensor(SIGMA_MIN))


MIXTURE = {"means": [[-1.0], [0.5]], "stds": [0.2, 0.1], "weights": [0.3, 0.7]}


def mixture_cdf(x, sigma):
    spread = (tensor(*MIXTURE["stds"]) ** 2 + sigma**2).sqrt()
    z = (x[..., None] - tensor(*MIXTURE["means"]).flatten()) / spread
    return (torch.special.ndtr(z) * tensor(*MIXTURE["weights"])).sum(-1)


def mixture_quantile(p, sigma):
    low, high = torch.full_like(p, -50.0), torch.full_like(p, 50.0)
    for _ in range(60):
        middle = (low + high) / 2
        below = mixture_cdf(middle, sigma) < p
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    return low


def mixture_case(steps, schedule, sampler):
    denoise = mixture_denoiser(
        tensor(*MIXTURE["means"]),
        tensor(*MIXTURE["stds"]).reshape(-1, 1, 1) ** 2,
        tensor(*MIXTURE["weights"]),
    )
    noise = torch.linspace(-2, 2, 41, dtype=torch.float64)
    # In one dimension the flow keeps every point's quantile.
    x_min = mixture_quantile(mixture_cdf(noise * SIGMA_MAX, SIGMA_MAX), SIGMA_MIN)[:, None]
    return sampler(denoise, noise[:, None], schedule(steps)), denoise(x_min, tensor(SIGMA_MIN))


def error(case, steps, schedule, sampler):
    samples, exact = case(steps, schedule, sampler)
    return float((samples - exact).abs().max())


@pytest.mark.parametrize("case", [gaussian_case, mixture_case], ids=name)
@pytest.mark.parametrize("schedule", [karras_sigmas, log_uniform_sigmas], ids=name)
@pytest.mark.parametrize(
    ("sampler", "steps", "tolerance"),
    [
        (euler_sampler, 1000, 1e-2),
        (heun_sampler, 250, 1e-3),
        (dpmpp_2m_sampler, 250, 1e-3),
        (dpmpp_3m_sampler, 200, 1e-4),
        (unipc_3m_sampler, 200, 1e-4),
    ],
    ids=name,
)
def test_converges_to_the_exact_flow(sampler, steps, tolerance, schedule, case):
    assert error(case, steps, schedule, sampler) < tolerance


@pytest.mark.parametrize("case", [gaussian_case, mixture_case], ids=name)
@pytest.mark.parametrize(
    ("sampler", "order", "steps"),
    [
        (euler_sampler, 1, 400),
        (heun_sampler, 2, 150),
        (dpmpp_2m_sampler, 2, 150),
        # Not more steps: the first step is of first order, and where D changes as little as at
        # sigma_max its error shows below 1e-7 only.
        (dpmpp_3m_sampler, 3, 100),
        (unipc_3m_sampler, 3, 100),
    ],
    ids=name,
)
def test_order_of_convergence(sampler, order, steps, case):
    coarse, fine = (error(case, n, log_uniform_sigmas, sampler) for n in (steps, 2 * steps))
    measured = math.log2(coarse / fine)
    assert measured > order - 0.12
    assert order == 3 or measured < order + 0.3


# Relative error of the standard deviation in percent, for s = 1, 0.5, 0.2 and 0.05: as printed by
# a separate scalar recursion (18 to 127 network calls).
BIAS = [
    (heun_sampler, karras_sigmas, 18, "4.5 5.5 7.3 11.1"),
    (heun_sampler, karras_sigmas, 40, "0.8 1.0 1.3 1.8"),
    (heun_sampler, karras_sigmas, 64, "0.3 0.4 0.5 0.6"),
    (dpmpp_2m_sampler, karras_sigmas, 35, "1.1 1.4 1.8 2.5"),
    (dpmpp_2m_sampler, log_uniform_sigmas, 35, "0.6 0.6 0.6 0.5"),
    (dpmpp_3m_sampler, log_uniform_sigmas, 18, "0.77 0.79 0.74 0.71"),
    (dpmpp_3m_sampler, log_uniform_sigmas, 24, "0.23 0.24 0.24 0.17"),
    (dpmpp_3m_sampler, log_uniform_sigmas, 35, "0.04 0.05 0.05 -0.02"),
    (dpmpp_3m_sampler, karras_sigmas, 35, "-0.28 -0.38 -0.57 -1.04"),
]


@pytest.mark.parametrize(("sampler", "schedule", "steps", "printed"), BIAS)
def test_bias_with_the_exact_denoiser(sampler, schedule, steps, printed):
    for s, expected in zip((1, 0.5, 0.2, 0.05), printed.split(), strict=True):
        denoise = gaussian_denoiser(torch.zeros(1), s**2)
        std = sampler(denoise, torch.ones(1, 1), schedule(steps)).item()
        last_digit = 10 ** -len(expected.split(".")[1])
        assert 100 * (std / s - 1) == pytest.approx(float(expected), abs=0.51 * last_digit)


def integrated(D, start, end):
    """The step from lambda = start to end: exp(lambda - end) D, D through pairs, by quadrature."""
    fit = np.polynomial.Polynomial.fit(*zip(*D, strict=True), deg=len(D) - 1)
    return quad(lambda at: math.exp(at - end) * fit(at), start, end, epsabs=1e-13)[0]


@pytest.mark.parametrize("s", [1, 0.2])
def test_the_corrector_takes_each_step_again_with_the_denoised_end(s):
    sigmas = log_uniform_sigmas(6, 0.1, 10.0)
    levels = sigmas[:-1].tolist()
    at, gains = -np.log(levels), [s**2 / (s**2 + level**2) for level in levels]
    x, D = levels[0], [(at[0], gains[0] * levels[0])]
    for i in range(1, len(levels)):
        kept = levels[i] / levels[i - 1] * x
        # The predictor's second step has a rule of its own, of second order too: the middle of D.
        middle = np.polynomial.Polynomial.fit(*zip(*D[-2:], strict=True), deg=len(D[-2:]) - 1)
        predicted = kept + (
            -math.expm1(at[i - 1] - at[i]) * middle((at[i - 1] + at[i]) / 2)
            if i < 3
            else integrated(D[-3:], at[i - 1], at[i])
        )
        D.append((at[i], gains[i] * predicted))
        x = kept + integrated(D[-4:], at[i - 1], at[i])
    found = unipc_3m_sampler(gaussian_denoiser(torch.zeros(1), s**2), torch.ones(1, 1), sigmas)
    assert found.item() == pytest.approx(D[-1][1], rel=1e-9)


@pytest.mark.parametrize("steps", [35, 70])
def test_the_corrector_errs_less_on_a_mixture_at_the_same_calls(steps):
    plain, corrected = (
        error(mixture_case, steps, log_uniform_sigmas, sampler)
        for sampler in (dpmpp_3m_sampler, unipc_3m_sampler)
    )
    assert corrected < plain


def test_one_dimensional_mixture_keeps_its_weights():
    denoise = mixture_denoiser(
        tensor([-1.0], [0.5]), tensor(0.0025, 0.0025).reshape(2, 1, 1), tensor(0.3, 0.7)
    )
    quantiles = torch.special.ndtri((torch.arange(2000).double() + 0.5) / 2000)
    samples = dpmpp_3m_sampler(denoise, quantiles[:, None], log_uniform_sigmas(35))
    assert (samples < -0.25).double().mean().item() == pytest.approx(0.3, abs=2e-3)
    assert (samples[samples > -0.25] - 0.5).abs().max() < 0.25


@pytest.mark.parametrize(
    ("sampler", "calls"),
    [(euler_sampler, 7), (heun_sampler, 13), (dpmpp_2m_sampler, 7), (dpmpp_3m_sampler, 7)]
    + [(unipc_3m_sampler, 7)],
    ids=name,
)
def test_network_calls(sampler, calls):
    seen = []

    def denoise(x, sigma):
        seen.append((x.dtype, sigma.shape))
        return x.float() / 2  # as a network would

    samples = sampler(denoise, torch.ones(2, 3, 4, 4), karras_sigmas(7))
    assert seen == [(torch.float64, ())] * calls
    assert samples.dtype == torch.float64
    assert samples.shape == (2, 3, 4, 4)


@pytest.mark.parametrize("sampler", SAMPLERS, ids=name)
@pytest.mark.parametrize("num_steps", [1, 2, 3])
def test_few_steps_end_in_a_denoised_state(sampler, num_steps):
    sigmas = log_uniform_sigmas(num_steps, sigma_min=0.1)
    constant = sampler(lambda x, sigma: torch.full_like(x, 0.25), torch.ones(2, 1), sigmas)
    torch.testing.assert_close(constant, torch.full((2, 1), 0.25, dtype=torch.float64))


@pytest.mark.parametrize("sampler", SAMPLERS, ids=name)
def test_builds_no_graph(sampler):
    weight = torch.ones((), requires_grad=True)
    samples = sampler(lambda x, sigma: x * weight / 2, torch.ones(1, 1), karras_sigmas(4))
    assert not samples.requires_grad


def churned_variance(s, num_steps, **churn):
    """Exact: the sample is linear in its noises, so each is set to 1 in a row of its own."""
    noises = torch.eye(num_steps + 1)[:, :, None]
    drawn = []

    def randn_like(x):
        drawn.append(x)
        return noises[len(drawn)]

    denoise = gaussian_denoiser(torch.zeros(1), s**2)
    sigmas = karras_sigmas(num_steps)
    samples = heun_sampler(denoise, noises[0], sigmas, randn_like=randn_like, **churn)
    return float((samples**2).sum()), len(drawn)


@pytest.mark.parametrize("s", [1.0, 0.2])
def test_churn_keeps_a_gaussians_variance(s):
    variance, drawn = churned_variance(s, 256, S_churn=40)
    assert variance == pytest.approx(s**2, rel=5e-3)
    assert drawn == 256


def test_churn_adds_noise_only_where_asked():
    sigmas = karras_sigmas(16)
    wanted = int(((sigmas >= 0.05) & (sigmas <= 10)).sum())
    churn = {"S_churn": 8, "S_min": 0.05, "S_max": 10}
    assert churned_variance(0.5, 16, **churn)[1] == wanted
    less, _ = churned_variance(0.5, 16, **churn, S_noise=0.5)
    assert less < churned_variance(0.5, 16, **churn)[0]


def test_churn_is_capped():
    huge, capped = (churned_variance(0.5, 16, S_churn=c)[0] for c in (1e9, 16 * (2**0.5 - 1)))
    assert huge == pytest.approx(capped)


def test_keyed_churn_makes_samples_independent_of_their_batch():
    def sample(indices):
        streams = [generator(0, "sample", i) for i in indices]
        noise = torch.stack([torch.randn(3, generator=g) for g in streams])

        def randn_like(x):
            return torch.stack([torch.randn(3, generator=g) for g in streams])

        sampler = partial(heun_sampler, S_churn=10, randn_like=randn_like)
        return sampler(gaussian_denoiser(torch.zeros(3), 0.25), noise, karras_sigmas(10))

    together = sample(range(8))
    assert torch.equal(sample([5, 2]), together[[5, 2]])
    assert not torch.equal(together[5], together[2])


@pytest.mark.parametrize("schedule", [karras_sigmas, log_uniform_sigmas], ids=name)
def test_schedules(schedule):
    sigmas = schedule(10, sigma_min=0.01, sigma_max=5.0)
    assert sigmas.shape == (11,)
    assert sigmas.dtype == torch.float64
    assert (sigmas.diff() < 0).all()
    torch.testing.assert_close(sigmas[[0, -2, -1]], tensor(5.0, 0.01, 0.0))
    spaced = sigmas[:-1] ** (1 / 7) if schedule is karras_sigmas else sigmas[:-1].log()
    torch.testing.assert_close(spaced.diff(), spaced.diff()[:1].expand(9))


def test_karras_with_rho_1_is_linear():
    expected = torch.cat([torch.linspace(80, 0.002, 5, dtype=torch.float64), tensor(0.0)])
    torch.testing.assert_close(karras_sigmas(5, rho=1), expected)


@pytest.mark.parametrize("schedule", [karras_sigmas, log_uniform_sigmas], ids=name)
@pytest.mark.parametrize(
    "options",
    [
        {"num_steps": 0},
        {"num_steps": 5, "sigma_min": 0.0},
        {"num_steps": 5, "sigma_min": 1.0, "sigma_max": 1.0},
        {"num_steps": 5, "sigma_max": -1.0},
        {"num_steps": 5, "sigma_max": math.inf},
        {"num_steps": 5, "sigma_min": math.nan},
    ],
)
def test_schedules_refuse_bad_levels(schedule, options):
    wrong = "num_steps must be" if options["num_steps"] < 1 else "0 < sigma_min < sigma_max"
    with pytest.raises(ValueError, match=wrong):
        schedule(**options)


def test_karras_refuses_a_bad_rho():
    with pytest.raises(ValueError, match="rho"):
        karras_sigmas(5, rho=0)


@pytest.mark.parametrize("sampler", SAMPLERS, ids=name)
@pytest.mark.parametrize(
    ("sigmas", "message"),
    [
        ([0.0], "at least 2"),
        ([2.0, -1.0], "end in 0"),
        ([1.0, 2.0, 0.0], "decreasing"),
        ([1.0, 1.0, 0.0], "decreasing"),
        ([math.nan, 1.0, 0.0], "decreasing"),
        ([math.inf, 1.0, 0.0], "finite"),
    ],
)
def test_samplers_refuse_bad_sigmas(sampler, sigmas, message):
    with pytest.raises(ValueError, match=message):
        sampler(lambda x, sigma: x, torch.ones(1, 1), torch.tensor(sigmas))


def test_state_is_float32_where_float64_is_missing():
    assert state_dtype(torch.device("cpu")) == torch.float64
    assert state_dtype(torch.device("mps")) == torch.float32
