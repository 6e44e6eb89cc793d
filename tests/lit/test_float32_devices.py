"""Apple's GPUs have no float64: nothing that runs on the device may use it there.

There is no such device here. Instead every operation of training and sampling is watched on the
CPU, told that it is one.
"""

import pytest
import torch
from tiny_runs import DIGITS, Fit, unet
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from lightning_collapse import EDMPrecond
from lightning_collapse.lit.module import CollapseModule
from lightning_collapse.networks.augment import AugmentPipe
from lightning_collapse.samples.rounds import RoundSampler
from lightning_collapse.samples.seeds import SeedSampler
from lightning_collapse.sampling.choice import Sampling
from lightning_collapse.sampling.solvers import state_dtype

CHURN = Sampling("heun", "karras", 4, S_churn=2.0)


class NoFloat64(TorchDispatchMode):
    """Fails in an operation that gives float64, but for a schedule, a vector that stays behind."""

    operations = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        NoFloat64.operations += 1
        for value in tree_leaves(out):
            if isinstance(value, torch.Tensor) and value.ndim != 1:
                assert value.dtype != torch.float64, f"{func} gives float64"
        return out


@pytest.fixture
def no_float64(monkeypatch):
    """Makes the CPU pass for an Apple GPU, to all who ask."""
    as_mps = state_dtype(torch.device("mps"))
    for module in ("sampling.solvers", "lit.steps", "samples.seeds"):
        monkeypatch.setattr(f"lightning_collapse.{module}.state_dtype", lambda device: as_mps)
    NoFloat64.operations = 0


def watched(monkeypatch, owner, name):
    plain = getattr(owner, name)

    def method(self, *args, **kwargs):
        with NoFloat64():
            return plain(self, *args, **kwargs)

    monkeypatch.setattr(owner, name, method)


def test_the_state_is_float64_where_there_is_such():
    assert state_dtype(torch.device("mps")) == torch.float32
    assert state_dtype(torch.device("cpu")) == state_dtype(torch.device("cuda")) == torch.float64


def test_training_and_a_rounds_samples_do_without(tmp_path, monkeypatch, no_float64):
    for owner, name in [
        (CollapseModule, "training_step"),
        (CollapseModule, "optimizer_step"),
        (RoundSampler, "make"),
    ]:
        watched(monkeypatch, owner, name)
    network = unet(label_dim=10, augment_dim=9)
    run = Fit(tmp_path, network=network, data=DIGITS, augment=AugmentPipe(p=0.5))()
    assert len(run.records) == 2 and NoFloat64.operations > 1000


@pytest.mark.parametrize(
    "sampling",
    [
        CHURN,
        *(
            Sampling(solver, "karras", 4)
            for solver in ("euler", "dpmpp_2m", "dpmpp_3m", "unipc_3m")
        ),
    ],
    ids=lambda sampling: sampling.solver,
)
def test_samples_of_seeds_do_without(sampling, no_float64):
    denoiser = EDMPrecond(unet(label_dim=3)).eval()
    sampler = SeedSampler(denoiser, sampling, (1, 8, 8), 4, 3, None, torch.device("cpu"))
    with NoFloat64():
        rows = sampler.sample([0, 1])
    assert rows.shape == (2, 1, 8, 8) and NoFloat64.operations > 100


def test_the_watch_sees_float64():
    denoiser = EDMPrecond(unet()).eval()
    sampler = SeedSampler(denoiser, CHURN, (1, 8, 8), 4, 0, None, torch.device("cpu"))
    with pytest.raises(AssertionError, match="gives float64"), NoFloat64():
        sampler.sample([0])
