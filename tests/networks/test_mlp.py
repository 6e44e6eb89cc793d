"""The MLP learns a mixture: its denoiser approaches the exact one."""

import pytest
import torch

from lightning_collapse.networks.edm import EDMLoss, EDMPrecond
from lightning_collapse.networks.mlp import SigmaMLP

MEANS = torch.tensor([[0.0, 0.6], [-0.54, -0.3], [0.54, -0.3]])
WEIGHTS = torch.tensor([0.5, 0.3, 0.2])
STD = 0.1


def mixture(n, generator):
    modes = torch.multinomial(WEIGHTS, n, replacement=True, generator=generator)
    return MEANS[modes] + STD * torch.randn(n, 2, generator=generator)


def exact_denoiser(x, sigma):
    """Posterior mean of the mixture, given x (B, 2) at the noise level sigma."""
    variance = STD**2 + sigma**2
    offset = x[:, None] - MEANS
    modes = (WEIGHTS.log() - offset.square().sum(2) / (2 * variance)).softmax(dim=1)
    return (modes[:, :, None] * (MEANS + STD**2 / variance * offset)).sum(1)


def test_learns_a_three_mode_mixture():
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    network, loss = EDMPrecond(SigmaMLP(2)), EDMLoss()
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=300)
    for _ in range(300):
        x = mixture(256, generator)
        optimizer.zero_grad()
        loss(network, x, *loss.draw((256, 2), generator)).sum().div(256).backward()
        optimizer.step()
        schedule.step()
    for sigma in (0.05, 0.2, 0.5, 2.0):
        y = mixture(4096, generator)
        x = y + sigma * torch.randn(y.shape, generator=generator)
        with torch.no_grad():
            error = (network(x, sigma) - exact_denoiser(x, sigma)).square().mean()
        # A constant guess errs by the data's variance, about 0.2.
        assert error < 0.002


@pytest.mark.parametrize("label_dim", [0, 3])
def test_every_parameter_learns(label_dim):
    network = SigmaMLP(2, width=16, depth=2, label_dim=label_dim)
    torch.nn.init.normal_(network.last.weight)
    labels = torch.tensor([0, 1, 2, 0])
    network(torch.randn(4, 2), torch.randn(4), labels).square().sum().backward()
    still = [name for name, p in network.named_parameters() if not p.grad.abs().sum() > 0]
    assert still == []


def test_starts_at_zero():
    assert not SigmaMLP(5)(torch.randn(3, 5), torch.randn(3)).any()


def test_class_indices_are_one_hot_vectors_and_none_is_no_class():
    network = SigmaMLP(2, label_dim=3)
    torch.nn.init.normal_(network.last.weight)
    x, c_noise = torch.randn(2, 2), torch.randn(2)
    index, vectors = torch.tensor([0, 2]), torch.eye(3)[[0, 2]]
    assert torch.equal(network(x, c_noise, index), network(x, c_noise, vectors))
    assert torch.equal(network(x, c_noise), network(x, c_noise, torch.zeros(2, 3)))
    assert not torch.allclose(network(x, c_noise), network(x, c_noise, index))


def test_label_dropout_trains_without_class():
    network = SigmaMLP(2, label_dim=3, label_dropout=1.0)
    torch.nn.init.normal_(network.last.weight)
    x, c_noise, index = torch.randn(2, 2), torch.zeros(2), torch.tensor([0, 2])
    assert torch.equal(network(x, c_noise, index), network(x, c_noise))
    network.eval()
    assert not torch.equal(network(x, c_noise, index), network(x, c_noise))
