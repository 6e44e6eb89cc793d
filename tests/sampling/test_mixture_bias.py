"""A sampler's bias on mixtures, against one-dimensional flows, which keep every quantile."""

import pytest
import torch

from lightning_collapse.data.store.shards import StoredRows, write_rows
from lightning_collapse.sampling.bias import (
    compounded_std,
    data_bias,
    exact_samples,
    mixture_bias,
)
from lightning_collapse.sampling.choice import Sampling
from lightning_collapse.sampling.oracles import Groups, grouped
from lightning_collapse.seeds import generator


def line(*, apart=1.0, std=0.1):
    """Two modes on a line, unequal."""
    return Groups(
        "classes",
        torch.tensor([[-0.3], [apart - 0.3]]).double(),
        torch.full((2, 1, 1), std**2).double(),
        torch.tensor([0.3, 0.7]).double(),
    )


def quantiles(groups, p):
    low, high = torch.full_like(p, -9.0), torch.full_like(p, 9.0)
    for _ in range(60):
        middle = (low + high) / 2
        z = (middle[:, None] - groups.means[:, 0]) / groups.covariances[:, 0, 0].sqrt()
        below = torch.special.ndtr(z) @ groups.weights < p
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    return low


def stored(tmp_path, rows, labels):
    write_rows(tmp_path / "rows", [(rows, labels)], lambda: {})
    return StoredRows(tmp_path / "rows")


def some_rows():
    labels = torch.arange(300) % 3
    noise = torch.randn(300, 2, generator=generator(0, "rows")) / 20
    return labels.float()[:, None] * torch.tensor([1.0, -0.5]) + noise, labels


def test_the_exact_flow_keeps_quantiles():
    groups = line()
    p = (torch.arange(200).double() + 0.5) / 200
    noise, exact = torch.special.ndtri(p)[:, None], quantiles(groups, p)
    error = (exact_samples(groups, noise)[:, 0] - exact).abs()
    usual = (Sampling()(groups.denoiser, noise)[:, 0] - exact).abs()
    assert error.max() < 5e-3  # in the gap between the modes, where few samples fall
    assert error.mean() < usual.mean() / 10


@pytest.mark.parametrize("sampling", [Sampling(num_steps=18), Sampling("heun", "karras", 12)])
def test_bias_on_a_mixture_is_that_of_evenly_drawn_noise(sampling):
    groups = line()
    p = (torch.arange(20_000).double() + 0.5) / 20_000
    samples = sampling(groups.denoiser, torch.special.ndtri(p)[:, None])
    variance = float(samples.var(correction=0))
    true = variance / float(groups.covariance.trace()) - 1
    told = mixture_bias(sampling, groups, n=4000)
    assert told.error == pytest.approx(true, abs=4 * told.standard_error)
    assert told.standard_error < abs(true) / 5


def test_bias_of_one_gaussian_is_the_gaussians():
    one = torch.ones(1).double()
    groups = Groups("clusters", torch.zeros(1, 1).double(), one.reshape(1, 1, 1), one)
    sampling = Sampling("heun", "karras", 18)
    std = compounded_std(sampling, torch.ones(1), 1)[1]
    told = mixture_bias(sampling, groups, n=2000)
    assert told.error == pytest.approx(float(std**2) - 1, abs=4 * told.standard_error)


def test_a_mixture_errs_more_than_a_gaussian_of_its_covariance():
    """On the three modes of `data.source: Mixture`."""
    means = torch.tensor([[-0.5, -0.5], [0.0, 0.5], [0.5, -0.5]]).double()
    covariances = torch.eye(2).double().expand(3, 2, 2) / 128
    groups = Groups("classes", means, covariances, torch.ones(3).double() / 3)
    std = torch.linalg.eigvalsh(groups.covariance).sqrt()
    course = compounded_std(Sampling(), std, 1).square().sum(1)
    gaussian = float(course[1] / course[0]) - 1
    told = mixture_bias(Sampling(), groups, n=1000)
    assert abs(told.error) - 2 * told.standard_error > 3 * abs(gaussian)


def test_churn_is_drawn_by_sample_and_told(tmp_path):
    sampling = Sampling("heun", "karras", 18, S_churn=20.0)
    first, again = (mixture_bias(sampling, line(), n=200) for _ in range(2))
    assert first == again
    assert first.standard_error > mixture_bias(Sampling(), line(), n=200).standard_error


def test_groups_are_the_classes_and_together_have_the_rows_mean_and_covariance(tmp_path):
    rows, labels = some_rows()
    groups = grouped(stored(tmp_path, rows, labels))
    assert str(groups) == "3 classes"
    torch.testing.assert_close(groups.means[1], rows[labels == 1].double().mean(0))
    torch.testing.assert_close(groups.mean, rows.double().mean(0))
    torch.testing.assert_close(groups.covariance, torch.cov(rows.double().T, correction=0))


def test_rows_without_classes_are_clustered(tmp_path):
    rows, _ = some_rows()
    groups = grouped(stored(tmp_path, rows, None))
    assert str(groups) == "8 clusters"
    torch.testing.assert_close(groups.covariance, torch.cov(rows.double().T, correction=0))


def test_rows_that_are_all_equal_or_too_long_are_told_no_bias(tmp_path):
    assert data_bias(Sampling(), stored(tmp_path / "a", torch.ones(9, 2), None)) is None
    assert data_bias(Sampling(), stored(tmp_path / "b", torch.randn(9, 300), None)) is None
