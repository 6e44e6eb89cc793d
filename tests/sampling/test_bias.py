from functools import partial

import pytest
import torch
from closed_forms import SamplerBias, gaussian_denoiser

from lightning_collapse.sampling.schedules import karras_sigmas, log_uniform_sigmas
from lightning_collapse.sampling.solvers import (
    dpmpp_2m_sampler,
    dpmpp_3m_sampler,
    euler_sampler,
    heun_sampler,
    unipc_3m_sampler,
)
from lightning_collapse.seeds import generator

SAMPLERS = [euler_sampler, heun_sampler, dpmpp_2m_sampler, dpmpp_3m_sampler, unipc_3m_sampler]


def rank_3_covariance():
    axes = torch.linalg.qr(torch.randn(5, 5, generator=generator(0, "axes")).double())[0]
    return axes, (axes * torch.tensor([0.0, 0.0, 0.01, 0.25, 1.0])) @ axes.T


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_is_the_linear_map_of_the_whole_sampler(sampler):
    """Pushing a basis through the sampler gives its matrix A; samples have covariance A A^T."""
    axes, C = rank_3_covariance()
    sigmas = karras_sigmas(12)
    A = sampler(gaussian_denoiser(torch.zeros(5), C), torch.eye(5), sigmas).T
    sampled = (axes.T @ A @ A.T @ axes).diagonal()
    bias = SamplerBias(sampler, sigmas, C)
    true = torch.tensor([0.01, 0.25, 1.0], dtype=torch.float64)
    torch.testing.assert_close(bias.variances, true)
    torch.testing.assert_close(bias.variance_errors, sampled[2:] / true - 1)
    assert bias.total_variance_error == pytest.approx(float(sampled.sum()) / 1.26 - 1)


@pytest.mark.parametrize(
    ("sampler", "sigmas", "percent"),
    [
        (heun_sampler, karras_sigmas(18), [11.1, 7.3, 5.5, 4.5]),
        (dpmpp_3m_sampler, log_uniform_sigmas(24), [0.17, 0.24, 0.24, 0.23]),
    ],
)
def test_known_standard_deviations(sampler, sigmas, percent):
    variances = torch.tensor([0.05, 0.2, 0.5, 1.0], dtype=torch.float64) ** 2
    bias = SamplerBias(sampler, sigmas, variances.diag())
    assert (100 * bias.std_errors).tolist() == pytest.approx(percent, rel=0.03)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_vanishes_with_many_steps(sampler):
    few, many = (
        SamplerBias(sampler, log_uniform_sigmas(n), torch.eye(2)).total_variance_error
        for n in (10, 2000)  # few enough for the last two levels' own bias to be small beside it
    )
    assert abs(many) < 0.02 * abs(few)


def test_heun_with_churn_of_0_is_heun():
    plain, churned = (
        SamplerBias(s, karras_sigmas(18), torch.eye(1)).total_variance_error
        for s in (heun_sampler, partial(heun_sampler, S_churn=0.0))
    )
    assert plain == churned


def test_a_standard_deviation_has_no_sign():
    bias = SamplerBias(lambda denoise, noise, sigmas: -noise, karras_sigmas(4), torch.eye(2) / 4)
    assert bias.std_errors.tolist() == [1, 1]
    assert bias.total_variance_error == 3
