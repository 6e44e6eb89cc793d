import pytest
import torch

from lightning_collapse.sampling.oracles import mixture_denoiser
from lightning_collapse.seeds import generator


def normal(*shape):
    return torch.randn(*shape, dtype=torch.float64, generator=generator(1, *shape))


def covariance(d, rank):
    root = normal(d, rank)
    return root @ root.T


def log_density(x, sigma, means, covariances, weights):
    """Of the noisy mixture, by torch.distributions."""
    noisy = covariances + sigma**2 * torch.eye(x.shape[-1], dtype=torch.float64)
    parts = torch.distributions.MultivariateNormal(means, noisy).log_prob(x[:, None])
    return torch.logsumexp(parts + (weights / weights.sum()).log(), dim=1)


@pytest.mark.parametrize("rank", [4, 2])
@pytest.mark.parametrize("sigma", [0.1, 3.0])
def test_mixture_obeys_tweedies_formula(sigma, rank):
    """E[x0 | x] = x + sigma^2 grad log p(x; sigma)."""
    means, weights = normal(3, 4), torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    covariances = torch.stack([covariance(4, rank), *[0.1 * torch.eye(4).double()] * 2])
    x = normal(6, 4).requires_grad_()
    (score,) = torch.autograd.grad(log_density(x, sigma, means, covariances, weights).sum(), x)
    denoise = mixture_denoiser(means, covariances, weights)
    torch.testing.assert_close(denoise(x, torch.tensor(sigma)), x + sigma**2 * score)


def test_a_mixture_of_one_is_the_wiener_filter():
    mean, C, x, eye = normal(4), covariance(4, 4), normal(6, 4), torch.eye(4).double()
    expected = mean + (C @ torch.linalg.solve(C + 0.3**2 * eye, (x - mean).T)).T
    torch.testing.assert_close(
        mixture_denoiser(mean[None], C[None], torch.ones(1))(x, torch.tensor(0.3)), expected
    )


def test_a_level_for_each_row():
    covariances = torch.stack([covariance(18, 20)] * 2)
    denoise = mixture_denoiser(normal(2, 18), covariances, torch.ones(2))
    x, sigma = normal(4, 18), torch.tensor([0.1, 1.0, 5.0, 80.0])
    each = torch.cat([denoise(row[None], level) for row, level in zip(x, sigma, strict=True)])
    together = denoise(x.float(), sigma)
    assert together.dtype == torch.float64
    assert together.shape == x.shape
    torch.testing.assert_close(together, each, rtol=1e-5, atol=1e-5)


def test_mixture_survives_points_far_from_every_component():
    denoise = mixture_denoiser(
        torch.tensor([[-1.0], [1.0]]), torch.full((2, 1, 1), 1e-4), torch.ones(2)
    )
    far = denoise(torch.tensor([[1e4], [-1e4]]), torch.tensor(0.01))
    assert far.isfinite().all()
    assert (far.sign().flatten() == torch.tensor([1, -1])).all()


def test_a_singular_covariance_of_any_scale():
    """Rounding may leave eigenvalues below -sigma^2."""
    direction = normal(8, 1)
    C = 1e12 * direction @ direction.T
    x, sigma = direction.T, torch.tensor(1e-4)
    expected = x.expand(1, 8)
    mixture = mixture_denoiser(torch.zeros(2, 8), torch.stack([C, C]), torch.ones(2))
    torch.testing.assert_close(mixture(x, sigma), expected)


def test_a_component_of_weight_0_has_no_say():
    means, covariances = torch.tensor([[-1.0], [1.0]]), torch.full((2, 1, 1), 0.1)
    alone = mixture_denoiser(means[:1], covariances[:1], torch.ones(1))
    both = mixture_denoiser(means, covariances, torch.tensor([1.0, 0.0]))
    x, sigma = normal(5, 1), torch.tensor(1.0)
    torch.testing.assert_close(both(x, sigma), alone(x, sigma))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: mixture_denoiser(torch.zeros(2, 3), torch.eye(3), torch.ones(2)), "covariances"),
        (
            lambda: mixture_denoiser(
                torch.zeros(2, 1), torch.ones(2, 1, 1), torch.tensor([2.0, -1.0])
            ),
            "non-negative",
        ),
    ],
)
def test_refuses_what_does_not_fit(make, message):
    with pytest.raises(ValueError, match=message):
        make()
