"""Replicas trained together: each is the run that `fit` makes of its seed."""

from dataclasses import dataclass

import pytest
import torch
from tiny_runs import BATCH, POINTS, STEPS, Fit, mlp, records

from lightning_collapse import (
    Accumulate,
    Augment,
    ByDensity,
    Mixture,
    NegativeGuidance,
    RealWeight,
    Replace,
    Sampling,
    SigmaMLP,
    Turnover,
    WeightExtrapolation,
)
from lightning_collapse.networks.edm import EDMPrecond
from lightning_collapse.networks.stacked import StackedMLP
from lightning_collapse.regimes import REAL, Fixed, Regime
from lightning_collapse.toys.stacked import Replicas
from lightning_collapse.toys.training import Training

SEEDS = (3, 4, 7)
MANY = 8 * STEPS * BATCH


def stacked(regime, seeds=SEEDS, training=None, source=POINTS["source"], network=None, **options):
    given = {
        "sampling": Sampling(num_steps=4),
        "micro_batch": 8,
        "train_rows": POINTS["train_rows"],
        "held_out_rows": POINTS["held_out_rows"],
        **options,
    }
    how = Training(**{"images_per_round": MANY, "batch_size": BATCH, **(training or {})})
    return Replicas(source, regime, network or mlp(), seeds, training=how, **given)


def fitted(folder, regime, seed, *, data=None, options=None, **module):
    named = {"regime": regime, "images_per_round": MANY, "seed": seed, **(data or {})}
    return Fit(folder, data=named, seed=seed, options=options, **module)()


def assert_close(found, known, where):
    """Numbers within rounding, and everything else the same."""
    if isinstance(known, dict):
        assert found.keys() == known.keys(), where
        for name in known:
            assert_close(found[name], known[name], f"{where}.{name}")
    elif isinstance(known, list):
        assert len(found) == len(known), where
        for i, (a, b) in enumerate(zip(found, known, strict=True)):
            assert_close(a, b, f"{where}[{i}]")
    elif isinstance(known, float):
        assert found == pytest.approx(known, rel=2e-3, abs=2e-5), where
    else:
        assert found == known, where


@dataclass(frozen=True)
class Halves(Regime):
    """A regime of a user's own: half of the real rows, and as many of the newest samples."""

    def blocks(self, n_real, r):
        half = range(n_real // 2)
        return [Fixed(REAL, half), *([Fixed(range(r, r + 1), half)] if r else [])]

    def samples_needed(self, n_real):
        return n_real


@pytest.mark.parametrize(
    "regime", [Replace(), Accumulate(), Augment(0.5), Turnover(0.3), Halves()], ids=str
)
def test_a_replica_is_the_run_of_its_seed(tmp_path, regime):
    runs = [fitted(tmp_path / str(seed), regime, seed) for seed in SEEDS[:2]]
    made = list(stacked(regime, SEEDS[:2]).rounds(2))
    for i, run in enumerate(runs):
        for r, known in enumerate(records(run.folder)):
            samples = run.data.generations[r][torch.arange(known["n_samples"])]
            torch.testing.assert_close(made[r].samples[i], samples, rtol=0, atol=1e-4)
            ours = made[r].records[i]
            assert_close(ours, {name: known[name] for name in ours}, f"round {r}")
            told = {"sw2_points", "mmd_points", "fd_points", "variance", "mean", "val_loss"}
            assert told | {"real_variance", "fd_points_floor", "val_loss_by_noise"} <= ours.keys()


def test_so_it_is_with_every_option_that_training_has(tmp_path):
    """Those that a round of the defaults would not show."""
    module = {"P_mean": -1.0, "P_std": 1.0, "sigma_data": 0.4, "restart": "warm"}
    module |= {"lr_rampup": 0.5, "ema_halflife": 40, "ema_rampup": 0.2}
    options = {"sampling": Sampling("heun", "karras", 5, S_churn=3.0), "micro_batch": 8}
    data = {"samples_per_round": 60, "split_seed": 9}
    run = fitted(
        *(tmp_path, Replace(0.5), 5),
        data=data,
        options=options,
        optimizer=lambda parameters: torch.optim.Adam(parameters, lr=3e-3),
        **module,
    )
    made = stacked(
        *(Replace(0.5), [5, 6]),
        training={"lr": 3e-3, **module},
        **options,
        samples_per_round=60,
        split_seeds=[9, 9],
    )
    for ours, known in zip(made.rounds(2), records(run.folder), strict=True):
        ours = ours.records[0]
        assert_close(ours, {name: known[name] for name in ours}, f"round {ours['round']}")


@pytest.mark.parametrize("guide", [NegativeGuidance(0.5), WeightExtrapolation(0.5)], ids=str)
def test_so_it_is_with_a_guide(tmp_path, guide):
    options = {"sampling": Sampling(num_steps=4), "micro_batch": 8, "guide": guide}
    run = fitted(tmp_path, Replace(), 5, options=options, restart="warm")
    made = list(stacked(Replace(), [4, 5], training={"restart": "warm"}, **options).rounds(2))
    plain = list(stacked(Replace(), [4, 5], training={"restart": "warm"}).rounds(2))
    for r, known in enumerate(records(run.folder)):
        ours = made[r].records[1]
        assert_close(ours, {name: known[name] for name in ours}, f"round {r}")
        assert torch.equal(made[r].samples, plain[r].samples) is (r == 0)


@pytest.mark.parametrize("curator", [ByDensity(order="top"), RealWeight(0.8)], ids=str)
def test_so_it_is_with_a_curator(tmp_path, curator):
    run = fitted(tmp_path, Augment(0.5), 5, data={"curator": curator})
    made = list(stacked(Augment(0.5), [4, 5], curator=curator).rounds(2))
    plain = list(stacked(Augment(0.5), [4, 5]).rounds(2))
    for r, known in enumerate(records(run.folder)):
        ours = made[r].records[1]
        assert_close(ours, {name: known[name] for name in ours}, f"round {r}")
        assert torch.equal(made[r].samples, plain[r].samples) is (r == 0)
    assert ours["curator"] == type(curator).__name__ and ours["n_offered"] > 0


def test_who_is_trained_beside_it_does_not_matter():
    together = [made.samples[1] for made in stacked(Accumulate()).rounds(2)]
    alone = [made.samples[0] for made in stacked(Accumulate(), SEEDS[1:2]).rounds(2)]
    for one, other in zip(together, alone, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-4)


def test_the_stacked_network_is_its_networks_and_so_are_its_gradients():
    random = torch.Generator().manual_seed(0)
    networks = [SigmaMLP(2, width=12, depth=2) for _ in range(3)]
    for network in networks:
        for parameter in network.parameters():
            parameter.data = 0.3 * torch.randn(parameter.shape, generator=random)
    x, sigma = torch.randn(15, 2, generator=random), torch.rand(15, generator=random) + 0.1
    together = StackedMLP(networks)
    out = EDMPrecond(together)(x, sigma)
    out.square().sum().backward()
    for i, network in enumerate(networks):
        mine = slice(5 * i, 5 * (i + 1))
        own = EDMPrecond(network)(x[mine], sigma[mine])
        own.square().sum().backward()
        torch.testing.assert_close(out[mine], own)
        for layer, parameter in zip(together.layers, network.parameters(), strict=True):
            gradient = layer.grad[i].mT if parameter.ndim == 2 else layer.grad[i, 0]
            torch.testing.assert_close(gradient, parameter.grad, rtol=1e-4, atol=1e-5)
        other = SigmaMLP(2, width=12, depth=2)
        together.copy_to(i, other)
        assert all(map(torch.equal, other.parameters(), network.parameters()))


def test_the_process_is_left_as_it_was():
    tiny, network = torch.full((1,), 1e-40), mlp()
    state = torch.random.get_rng_state()
    next(stacked(Replace(), SEEDS[:1], network=network).rounds(1))
    assert (tiny * 1.0).any() and torch.equal(torch.random.get_rng_state(), state)


def test_rounds_go_on_where_they_were_left():
    some, all_at_once = stacked(Turnover(0.5)), stacked(Turnover(0.5))
    whole = [made.samples for made in all_at_once.rounds(2)]
    parts = [made.samples for n in (1, 2) for made in some.rounds(n)]
    assert len(parts) == 2 and all(map(torch.equal, parts, whole))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"seeds": []}, r"seeds = \[\]: must be one or more"),
        ({"split_seeds": [1]}, "as many as split_seeds"),
        ({"micro_batch": 0}, "micro_batch = 0: must be at least 1"),
        ({"train_rows": 80}, "train_rows = 80: the set has 64 rows"),
        ({"network": SigmaMLP(3)}, "must be points of network.dim = 3 numbers"),
        ({"network": SigmaMLP(2, label_dim=3)}, "network.label_dim = 3: must be 0"),
        ({"guide": WeightExtrapolation()}, "set model.restart to warm, not scratch"),
        ({"training": {"batch_size": 0}}, "batch_size = 0: must be at least 1"),
        ({"training": {"images_per_round": 0}}, "images_per_round = 0: must be at least 1"),
        ({"training": {"lr_rampup": 2.0}}, r"lr_rampup = 2.0: must be a share in \[0, 1\]"),
        ({"training": {"sigma_data": 0.0}}, "sigma_data = 0.0: must be a number > 0"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_trained(change, said):
    network = change.pop("network", mlp())
    with pytest.raises(ValueError, match=said):
        stacked(Replace(), **{"network": network, **change})


def test_a_curator_that_keeps_too_few_is_refused_before_anything_is_trained():
    with pytest.raises(ValueError, match="curator = .* keeps 0 of the 48 samples that round 1"):
        next(stacked(Replace(), curator=ByDensity(keep=0.01)).rounds(2))


def test_too_few_samples_are_refused_before_anything_is_trained():
    with pytest.raises(ValueError, match="samples_per_round = 10: the regime needs 48 samples"):
        next(stacked(Replace(), samples_per_round=10).rounds(2))


def test_a_loss_that_is_not_finite_names_its_seed():
    """Of three, the one whose points are too large to be squared."""

    @dataclass(frozen=True)
    class Broken(Mixture):
        def read(self, seed):
            rows, labels = super().read(seed)
            return (rows * 1e25 if seed == SEEDS[1] else rows), labels

    bad = stacked(Replace(), source=Broken(64), measures=())
    with pytest.raises(ValueError, match="seed = 4: round 0: the loss is not finite by step 0"):
        next(bad.rounds(1))
