"""How a round starts and is trained: restarts, learning rate, average; by hand where possible."""

import pickle
import shutil
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from pytorch_lightning import Callback
from safetensors.torch import save_file
from tiny_runs import BATCH, POINTS, STEPS, Fit, assert_same, mlp, outcome, records, unet

from lightning_collapse import Accumulate, CollapseModule, Replace
from lightning_collapse.lit.checks import check_network
from lightning_collapse.networks.augment import AugmentPipe


class Watch(Callback):
    """Notes weights, learning rate and the optimizer's memory, before and after every step."""

    def __init__(self) -> None:
        self.started, self.stepped, self.rates, self.adam = {}, [], [], {}

    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        if batch_idx == 0:
            r = trainer.current_epoch
            self.started[r] = weights(module.model), weights(module.ema)
            self.adam[r] = dict(trainer.optimizers[0].state)

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        self.stepped.append((weights(module.model), weights(module.ema)))
        self.rates.append(trainer.optimizers[0].param_groups[0]["lr"])


def weights(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def flat(tree: dict[str, torch.Tensor]) -> torch.Tensor:
    return torch.cat([value.flatten() for value in tree.values()]).double()


def saved(run, round: int, prefix: str) -> dict[str, torch.Tensor]:
    state = torch.load(run / "checkpoints" / f"round-{round:04d}.ckpt", weights_only=True)
    parts = state["state_dict"].items()
    return {n.removeprefix(prefix): v for n, v in parts if n.startswith(prefix)}


def watched(folder, **options: Any) -> Watch:
    watch = Watch()
    Fit(folder, callbacks=[watch], **options)()
    return watch


def test_scratch_draws_weights_keyed_by_seed_and_round(tmp_path):
    torch.manual_seed(1)
    here = watched(tmp_path / "a", rounds=3)
    torch.manual_seed(2)
    there = watched(tmp_path / "b", rounds=3, data={**POINTS, "regime": Accumulate()})
    other = watched(tmp_path / "c", seed=1)
    assert_same(here.started, there.started)
    firsts = [flat(w.started[r][0]) for w in (here, other) for r in range(2)]
    assert len({tuple(first.tolist()) for first in firsts}) == 4
    for model, ema in here.started.values():
        assert_same(model, ema)


def test_warm_starts_from_the_average_that_sampled_the_last_round(tmp_path):
    watch = watched(tmp_path, restart="warm", rounds=3)
    for r in (1, 2):
        sampled = saved(tmp_path, r - 1, "ema.")
        assert_same(watch.started[r], (sampled, sampled))


def test_initial_starts_from_the_weights_of_round_0(tmp_path):
    watch = watched(tmp_path, restart="initial", rounds=3)
    assert_same(watch.started[1], watch.started[0])
    assert_same(watch.started[2], watch.started[0])
    assert_same(watch.started[0][0], weights(CollapseModule(mlp()).model))


@pytest.mark.parametrize("restart", ["scratch", "warm", "initial"])
def test_every_round_has_an_optimizer_without_memory(tmp_path, restart):
    watch = watched(tmp_path, restart=restart)
    assert watch.adam == {0: {}, 1: {}}
    state = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    adam = state["optimizer_states"][0]["state"]
    assert {float(entry["step"]) for entry in adam.values()} == {STEPS}


def test_weights_are_replaced_in_place():
    # The optimizer and DDP hold on to the parameters.
    module = CollapseModule(mlp())
    places = [value.data_ptr() for value in module.model.parameters()]
    before = weights(module.model)
    module._start_from("init", 1)
    assert [value.data_ptr() for value in module.model.parameters()] == places
    assert not torch.equal(flat(before), flat(weights(module.model)))


def test_drawing_weights_leaves_torchs_own_randomness_alone():
    network = mlp()
    before = torch.get_rng_state()
    CollapseModule(network)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("restart", ["scratch", "warm"])
def test_weights_moved_is_the_relative_way_of_the_average(tmp_path, restart):
    watch = watched(tmp_path, restart=restart)
    for r, record in enumerate(records(tmp_path)):
        start, end = flat(watch.started[r][1]), flat(saved(tmp_path, r, "ema."))
        expected = float((end - start).norm() / start.norm())
        assert record["weights_moved"] == pytest.approx(expected, rel=1e-9)
        assert record["weights_moved"] > 0


def test_the_learning_rate_rises_over_a_share_of_each_round(tmp_path):
    watch = watched(tmp_path, lr_rampup=0.5)
    ramp = 0.5 * STEPS * BATCH
    seen = [step * BATCH for step in range(STEPS)]
    expected = [1e-3 * min(1.0, images / ramp) for images in seen]
    assert watch.rates == pytest.approx(expected * 2)
    assert watch.rates[0] == 0 and watch.rates[STEPS - 1] == 1e-3


def test_no_ramp_is_the_full_rate_at_once(tmp_path):
    assert watched(tmp_path, lr_rampup=0.0).rates == [1e-3] * 2 * STEPS


@pytest.mark.parametrize(("halflife", "rampup"), [(None, 0.5), (20, 0.5), (20, 0.0), (None, 0.05)])
def test_the_average_follows_its_half_life_in_images(tmp_path, halflife, rampup):
    watch = watched(tmp_path, rounds=1, ema_halflife=halflife, ema_rampup=rampup)
    average = flat(watch.started[0][1])
    for step, (model, ema) in enumerate(watch.stepped):
        longest = float("inf") if halflife is None else halflife
        halflife_now = min(longest, rampup * step * BATCH)
        kept = 0.5 ** (BATCH / halflife_now) if halflife_now else 0.0
        average = kept * average + (1 - kept) * flat(model)
        torch.testing.assert_close(flat(ema), average, rtol=0, atol=1e-6)


def test_accumulated_batches_count_as_one_step_of_the_optimizer(tmp_path):
    watch = watched(
        tmp_path,
        rounds=1,
        lr_rampup=1.0,
        ema_halflife=1000,
        ema_rampup=1.0,
        trainer={"accumulate_grad_batches": 2},
    )
    assert watch.rates == pytest.approx([1e-3, 0, 0, 1e-3 * 2 / STEPS])
    kept = 0.5 ** (2 * BATCH / (2 * BATCH))
    average = kept * flat(watch.stepped[1][1]) + (1 - kept) * flat(watch.stepped[3][0])
    torch.testing.assert_close(flat(watch.stepped[3][1]), average, rtol=0, atol=1e-6)


@pytest.mark.parametrize("restart", ["scratch", "warm", "initial"])
def test_an_untrained_first_round_samples_the_network_as_it_is(tmp_path, restart):
    fit = Fit(tmp_path, restart=restart, data={"train_first_round": False})()
    first, second = records(tmp_path)
    start = weights(CollapseModule(mlp()).model)
    assert_same(saved(tmp_path, 0, "ema."), start)
    assert_same(saved(tmp_path, 0, "model."), start)
    assert first["weights_moved"] == 0 and first["train_loss"] is None
    assert first["images_seen"] == 0 and second["images_seen"] == STEPS * BATCH
    assert second["weights_moved"] > 0 and second["train_loss"] > 0
    assert fit.trainer.global_step == STEPS


@pytest.mark.parametrize("kind", ["checkpoint", "safetensors"])
def test_weights_from_a_file_start_round_0(tmp_path, kind):
    Fit(tmp_path / "first", rounds=1, seed=7)()
    path = tmp_path / "first" / "checkpoints" / "round-0000.ckpt"
    given = saved(tmp_path / "first", 0, "ema.")
    if kind == "safetensors":
        path = tmp_path / "weights.safetensors"
        save_file({name: value.contiguous() for name, value in given.items()}, path)
    watch = watched(tmp_path / "second", restart="initial", init_from=path)
    assert_same(watch.started, {0: (given, given), 1: (given, given)})
    assert [r["real_data_in_init"] for r in records(tmp_path / "second")] == [True, True]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"restart": "scratch", "init_from": "x.ckpt"}, "init_from = x.ckpt: has no effect"),
        ({"restart": "warm", "init_from": "x.ckpt"}, "init_from = x.ckpt: no such file"),
        ({"lr_rampup": 1.5}, "lr_rampup = 1.5"),
        ({"ema_rampup": float("nan")}, "ema_rampup = nan"),
        ({"ema_halflife": 0}, "ema_halflife = 0"),
        ({"sigma_data": 0.0}, "sigma_data = 0.0"),
    ],
)
def test_options_out_of_range_are_refused(options, said):
    with pytest.raises((ValueError, FileNotFoundError), match=f"model.{said}"):
        CollapseModule(mlp(), **options)


@pytest.mark.parametrize("network", [mlp(), unet()], ids=["points", "images"])
def test_augmentation_that_the_network_is_not_told_of_is_refused(network):
    with pytest.raises(ValueError, match="model.network.augment_dim = 0: must be 9"):
        CollapseModule(network, augment=AugmentPipe(p=0.1))


def test_weights_of_another_network_are_refused(tmp_path):
    Fit(tmp_path, rounds=1)()
    path = tmp_path / "checkpoints" / "last.ckpt"
    with pytest.raises(ValueError, match="init_from = .* do not fit the network, such as"):
        CollapseModule(mlp(label_dim=3), restart="warm", init_from=path)


@pytest.mark.parametrize("name", ["nvidia.pkl", "torn.safetensors", "torn.ckpt", "other.ckpt"])
def test_a_file_that_holds_no_weights_is_refused(tmp_path, name):
    path = tmp_path / name
    if name == "nvidia.pkl":
        path.write_bytes(pickle.dumps({"ema": SimpleNamespace()}))
    elif name == "other.ckpt":
        torch.save({"epoch": 1}, path)
    else:
        path.write_bytes(b"torn")
    with pytest.raises(ValueError, match=f"init_from = .*{name}: holds no weights"):
        CollapseModule(mlp(), restart="warm", init_from=path)


def test_a_layer_that_cannot_be_drawn_anew_is_refused():
    class Stubborn(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(2))

    with pytest.raises(ValueError, match="Stubborn has parameters but no method reset_parameters"):
        CollapseModule(Stubborn())


def test_the_network_is_tried_where_its_weights_are(tmp_path):
    # In `setup` Lightning names the device that the weights will go to; they are still here.
    fit = Fit(tmp_path)
    fit.data.prepare_data()
    fit.data.setup()
    fit.module._device = torch.device("meta")
    check_network(fit.module, fit.data)


def test_training_differs_between_regimes_only_from_round_1_on(tmp_path):
    a = records(Fit(tmp_path / "a", data={"regime": Replace()})().folder)
    b = records(Fit(tmp_path / "b", data={"regime": Accumulate()})().folder)
    assert a[0]["train_loss"] == b[0]["train_loss"]
    assert a[1]["train_loss"] != b[1]["train_loss"]


@pytest.mark.parametrize(
    ("lr", "said"), [(-1, "Invalid learning rate: -1"), (1e39, "lr = 1e.39: must fit")]
)
def test_an_option_that_the_optimizer_cannot_have_is_said_to_be_its(lr, said):
    module = CollapseModule(mlp(), optimizer=lambda weights: torch.optim.Adam(weights, lr=lr))
    with pytest.raises(ValueError, match=rf"model\.optimizer: {said}"):
        module.configure_optimizers()


@pytest.mark.parametrize("kind", [torch.optim.Adam, torch.optim.AdamW])
def test_adam_is_fused_on_a_cpu_and_steps_as_torch_s_own_loop_does(kind):
    fused = CollapseModule(mlp(), optimizer=lambda weights: kind(weights, lr=0.01))
    loop = CollapseModule(mlp(), optimizer=lambda weights: kind(weights, lr=0.01, fused=False))
    optimizers = [module.configure_optimizers() for module in (fused, loop)]
    assert [o.param_groups[0]["fused"] for o in optimizers] == [True, False]
    gradients = torch.Generator().manual_seed(0)
    for _ in range(5):
        for a, b in zip(fused.model.parameters(), loop.model.parameters(), strict=True):
            a.grad = torch.randn(a.shape, generator=gradients)
            b.grad = a.grad.clone()
        for optimizer in optimizers:
            optimizer.step()
    assert_close = torch.testing.assert_close
    assert_close(weights(fused.model), weights(loop.model), rtol=1e-5, atol=1e-6)
    assert optimizers[0].state_dict()["state"].keys() == optimizers[1].state_dict()["state"].keys()


def test_other_optimizers_and_a_chosen_loop_are_left_as_they_are():
    sgd = CollapseModule(mlp(), optimizer=lambda weights: torch.optim.SGD(weights, lr=0.01))
    assert not sgd.configure_optimizers().param_groups[0]["fused"]
    each = CollapseModule(mlp(), optimizer=lambda w: torch.optim.Adam(w, lr=0.01, foreach=True))
    assert not each.configure_optimizers().param_groups[0]["fused"]


def test_the_network_that_is_trained_is_compiled_and_the_average_is_not():
    module = CollapseModule(mlp(), compile=True)
    assert module.model._compiled_call_impl is not None
    assert module.ema._compiled_call_impl is None
    assert module.model.state_dict().keys() == CollapseModule(mlp()).model.state_dict().keys()


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a compiler")
def test_a_compiled_run_goes_on_bit_for_bit_and_is_an_eager_one_but_for_rounding(tmp_path):
    plain, whole = Fit(tmp_path / "a")(), Fit(tmp_path / "b", compile=True)()
    Fit(tmp_path / "c", rounds=1, compile=True)()
    Fit(tmp_path / "c", compile=True)()
    assert_same(outcome(tmp_path / "b"), outcome(tmp_path / "c"))
    for eager, compiled in zip(plain.records, whole.records, strict=True):
        assert compiled["train_loss"] == pytest.approx(eager["train_loss"], rel=1e-4)
