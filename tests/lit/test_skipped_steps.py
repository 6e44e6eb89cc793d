"""A step whose loss or gradient is not finite does not happen, is counted, and is told."""

import math
import re

import pytest
import torch
from pytorch_lightning import Callback
from pytorch_lightning.plugins import MixedPrecision
from safetensors.torch import save_file
from tiny_runs import (
    BATCH,
    STEPS,
    At,
    CrashError,
    Fit,
    Poison,
    arguments,
    assert_same,
    command,
    crash,
    mlp,
    outcome,
    records,
    warned,
    without_seconds,
)

from lightning_collapse.commands.fit import run_fit
from lightning_collapse.lit.module import CollapseModule
from lightning_collapse.lit.steps import bad_gradient, poisoned
from lightning_collapse.lit.telling import RunError
from lightning_collapse.networks.edm import EDMLoss
from lightning_collapse.runs.config_file import ConfigFile

CLIPPED = {"trainer": {"gradient_clip_val": 0.5}}


class BadGradient(Callback):
    """Makes one gradient of a step infinite; its loss is as it was."""

    def __init__(self, round: int, step: int) -> None:
        self.at = round, step

    def on_after_backward(self, trainer, module):
        if (trainer.current_epoch, trainer.datamodule.step) == self.at:
            next(module.model.parameters()).grad.view(-1)[0] = math.inf


class Losses(Callback):
    """Notes the loss of every step of round 0."""

    def __init__(self) -> None:
        self.values = []

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        if trainer.current_epoch == 0:
            self.values.append(float(outputs["loss"]) / 2)  # of two numbers a point


def without_update(monkeypatch, *steps: tuple[int, int]) -> None:
    """Has the optimizer and the average pass over steps, by leaving out the calls."""
    real = CollapseModule.optimizer_step

    def optimizer_step(self, epoch, batch_idx, optimizer, closure):
        if (epoch, batch_idx) in steps:
            closure()
            self.progress.end_step(False)
        else:
            real(self, epoch, batch_idx, optimizer, closure)

    monkeypatch.setattr(CollapseModule, "optimizer_step", optimizer_step)


def results(folder) -> dict:
    """The outcome without what counts the steps skipped."""
    whole = outcome(folder)
    whole["round_progress"].pop("steps_skipped")
    for record in whole["rounds"]:
        record.pop("steps_skipped")
    whole["pool"] = {n: data for n, data in whole["pool"].items() if n.endswith(".npy")}
    return whole


@pytest.mark.parametrize(
    ("bad", "options"),
    [
        (Poison((0, 1), (1, 2)), {}),
        (Poison((0, 1), (1, 2), value=math.inf), {}),
        (Poison((0, 1), (1, 2), value=1e30), {}),
        (Poison((0, 1), (1, 2)), CLIPPED),
        (Poison((0, 1), (1, 2)), {"optimizer": lambda p: torch.optim.SGD(p, 0.1, momentum=0.9)}),
    ],
    ids=["nan", "inf", "overflow", "clipped", "sgd"],
)
def test_a_step_with_a_bad_loss_is_as_if_its_update_had_not_happened(
    tmp_path, monkeypatch, bad, options
):
    Fit(tmp_path / "bad", callbacks=[bad], **options)()
    assert [record["steps_skipped"] for record in records(tmp_path / "bad")] == [1, 1]
    with monkeypatch.context() as patch:
        without_update(patch, (0, 1), (1, 2))
        Fit(tmp_path / "without", **options)()
    assert_same(results(tmp_path / "bad"), results(tmp_path / "without"))


def test_an_infinite_loss_is_bad_where_its_gradients_are_not(tmp_path, monkeypatch):
    fit = Fit(tmp_path / "bad")

    class Unbounded(EDMLoss):
        def __call__(self, denoise, *args):
            bad = denoise is fit.module.model and fit.module.current_epoch == fit.data.step == 1
            return super().__call__(denoise, *args) + (math.inf if bad else 0.0)

    fit.module.loss = Unbounded()
    fit()
    assert [record["steps_skipped"] for record in records(tmp_path / "bad")] == [0, 1]
    with monkeypatch.context() as patch:
        without_update(patch, (1, 1))
        Fit(tmp_path / "without")()
    assert_same(results(tmp_path / "bad"), results(tmp_path / "without"))


def test_a_step_with_a_bad_gradient_too(tmp_path, monkeypatch, capfd):
    Fit(tmp_path / "bad", callbacks=[BadGradient(0, 2)])()
    assert "round 0, step 2: the gradient of model." in capfd.readouterr().err
    with monkeypatch.context() as patch:
        without_update(patch, (0, 2))
        Fit(tmp_path / "without")()
    assert_same(results(tmp_path / "bad"), results(tmp_path / "without"))


def test_of_accumulated_batches_the_whole_step_is_skipped(tmp_path, monkeypatch):
    options = {
        "trainer": {"accumulate_grad_batches": 2},
        "data": {"images_per_round": 5 * BATCH},
    }
    Fit(tmp_path / "bad", callbacks=[Poison((0, 2))], **options)()
    assert [record["steps_skipped"] for record in records(tmp_path / "bad")] == [1, 0]
    with monkeypatch.context() as patch:
        without_update(patch, (0, 3))
        Fit(tmp_path / "without", **options)()
    assert_same(results(tmp_path / "bad"), results(tmp_path / "without"))


def test_the_mean_loss_is_that_of_the_steps_made(tmp_path):
    losses = Losses()
    Fit(tmp_path, rounds=1, callbacks=[Poison((0, 1)), losses])()
    made = [loss for loss in losses.values if math.isfinite(loss)]
    assert len(made) == STEPS - 1
    assert records(tmp_path)[0]["train_loss"] == pytest.approx(sum(made) / len(made))


def test_a_round_without_any_step_has_no_loss(tmp_path):
    bad = Poison(*((0, step) for step in range(STEPS)))
    Fit(tmp_path, callbacks=[bad], rounds=1)()
    (record,) = records(tmp_path)
    assert record["train_loss"] is None and record["steps_skipped"] == STEPS
    assert record["weights_moved"] == 0


@pytest.mark.parametrize("step", [1, 3])
def test_going_on_after_a_skipped_step_is_the_uninterrupted_run(tmp_path, step):
    def bad():
        return Poison((1, 0), (1, 2), (1, 3))

    Fit(tmp_path / "whole", callbacks=[bad()])()
    with pytest.raises(CrashError):
        dying = At("on_train_batch_end", 1, step, crash)
        Fit(tmp_path / "broken", callbacks=[bad(), dying])()
    Fit(tmp_path / "broken", callbacks=[bad()])()
    assert_same(outcome(tmp_path / "broken"), outcome(tmp_path / "whole"))
    assert records(tmp_path / "broken")[1]["steps_skipped"] == 3


def test_every_skipped_step_is_told_in_one_line(tmp_path, capfd):
    Fit(tmp_path, callbacks=[Poison((0, 1), (1, 2))])()
    assert warned(capfd.readouterr().err) == [
        f"warning: round {r}, step {r + 1}: the loss is not finite; "
        "step skipped, 1 of at most 10 in a round"
        for r in (0, 1)
    ]


def test_the_lines_are_bounded(tmp_path, capfd):
    data = {"images_per_round": 130 * BATCH}
    bad = Poison(*((0, step) for step in range(130)))
    Fit(tmp_path, rounds=1, data=data, callbacks=[bad], max_skipped_steps=1000)()
    assert len(warned(capfd.readouterr().err)) == 21


def test_beyond_the_limit_the_run_stops_and_what_is_saved_is_whole(tmp_path):
    bad = Poison((1, 1), (1, 2), (1, 3))
    Fit(tmp_path / "whole", callbacks=[bad])()
    with pytest.raises(RunError, match="round 1, step 3: the loss is not finite, as in 2 steps"):
        Fit(tmp_path / "run", callbacks=[bad], max_skipped_steps=2)()
    assert len(records(tmp_path / "run")) == 1
    for path in (tmp_path / "run" / "checkpoints").iterdir():
        state = torch.load(path, weights_only=True)["state_dict"]
        assert all(value.isfinite().all() for value in state.values())
    assert_same(
        without_seconds(records(tmp_path / "run")[0]),
        without_seconds(records(tmp_path / "whole")[0]),
    )
    # A higher limit goes on, from the step last saved.
    Fit(tmp_path / "run", callbacks=[bad], max_skipped_steps=3)()
    assert_same(outcome(tmp_path / "run"), outcome(tmp_path / "whole"))


def test_the_limit_is_a_rounds(tmp_path):
    bad = Poison(*((r, step) for r in range(3) for step in (0, 2)))
    Fit(tmp_path, rounds=3, callbacks=[bad], max_skipped_steps=2)()
    assert [record["steps_skipped"] for record in records(tmp_path)] == [2, 2, 2]


@pytest.mark.parametrize("every", [1, 100], ids=["saved in the round", "at its end"])
def test_weights_that_are_not_finite_are_never_saved(tmp_path, every):
    Fit(tmp_path, rounds=1)()
    before = (tmp_path / "checkpoints" / "last.ckpt").read_bytes()
    break_in = BreakWeights(1, 2)
    with pytest.raises(RunError, match=r"round 1: model\..* is not finite; the rounds before"):
        Fit(tmp_path, callbacks=[break_in], checkpoint_every=every)()
    state = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    assert all(value.isfinite().all() for value in state["state_dict"].values())
    assert every == 1 or (tmp_path / "checkpoints" / "last.ckpt").read_bytes() == before
    assert len(records(tmp_path)) == 1
    Fit(tmp_path)()
    Fit(tmp_path.with_name("whole"))()
    assert_same(
        results(tmp_path)["state_dict"], results(tmp_path.with_name("whole"))["state_dict"]
    )


class BreakWeights(Callback):
    """Overflows a weight just before the end of a step, as a step too large does."""

    def __init__(self, round: int, step: int) -> None:
        self.at = round, step

    def on_before_zero_grad(self, trainer, module, optimizer):
        if (trainer.current_epoch, trainer.datamodule.step) == self.at:
            with torch.no_grad():
                next(module.model.parameters()).view(-1)[0] = math.inf


def scaled(init_scale: float) -> MixedPrecision:
    return MixedPrecision("16-mixed", "cpu", torch.amp.GradScaler("cpu", init_scale=init_scale))


def test_a_scaler_that_seeks_its_factor_is_no_fault(tmp_path, capfd):
    plugin = scaled(2.0**40)
    data = {"images_per_round": 40 * BATCH}
    Fit(tmp_path, rounds=1, data=data, plugins=[plugin], max_skipped_steps=0)()
    assert 1 < plugin.scaler.get_scale() < 2.0**40
    (record,) = records(tmp_path)
    assert record["steps_skipped"] == 0 and math.isfinite(record["train_loss"])
    assert record["weights_moved"] > 0 and not warned(capfd.readouterr().err)


def test_with_a_scaler_a_bad_loss_is_skipped_and_counted(tmp_path, capfd):
    Fit(tmp_path, rounds=1, plugins=[scaled(2.0)], callbacks=[Poison((0, 1))])()
    assert records(tmp_path)[0]["steps_skipped"] == 1
    assert "round 0, step 1: the loss is not finite" in capfd.readouterr().err
    with pytest.raises(RunError, match="model.max_skipped_steps"):
        bad = Poison(*((1, step) for step in range(STEPS)))
        Fit(tmp_path, plugins=[scaled(2.0)], callbacks=[bad], max_skipped_steps=2)()


def test_a_bad_gradient_is_named():
    model = mlp()
    assert bad_gradient(model.named_parameters()) is None
    model(torch.ones(3, 2), torch.ones(3)).sum().backward()
    assert bad_gradient(model.named_parameters()) is None
    name, parameter = list(model.named_parameters())[2]
    parameter.grad.view(-1)[-1] = math.nan
    assert bad_gradient(model.named_parameters()) == name


def test_a_loss_is_as_it_was_or_poisons_its_gradients():
    x = torch.tensor(3.0, requires_grad=True)
    loss = poisoned(x * 2)
    loss.backward()
    assert float(loss.detach()) == 6 and float(x.grad) == 2
    y = torch.tensor(1.0, requires_grad=True)
    poisoned(y + math.inf).backward()  # whose gradient would be 1
    assert math.isnan(y.grad)


def test_weights_to_start_from_that_are_not_finite_are_refused(tmp_path):
    weights = dict(CollapseModule(mlp()).model.state_dict())
    name = list(weights)[-1]
    save_file({**weights, name: weights[name] * math.nan}, tmp_path / "bad.safetensors")
    with pytest.raises(ValueError, match=f"model.init_from = .*: {name} is not finite"):
        CollapseModule(mlp(), init_from=tmp_path / "bad.safetensors", restart="warm")


def test_a_bad_limit_is_refused():
    with pytest.raises(ValueError, match="model.max_skipped_steps = -1: must be at least 0"):
        CollapseModule(mlp(), max_skipped_steps=-1)


POISON = "--trainer.callbacks+=tiny_runs.Poison"


def test_the_command_ends_in_one_line_and_goes_on_with_a_higher_limit(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setenv("POISON", "1,*,*")
    limit = {"model__max_skipped_steps": 2}
    with pytest.raises(SystemExit) as end:
        run_fit([*arguments(tmp_path, **limit), POISON])
    assert end.value.code == 2
    *warnings, error = warned(capsys.readouterr().err)
    assert len(warnings) == 2 and all(line.startswith("warning: ") for line in warnings)
    assert re.fullmatch(
        r"error: round 1, step 2: the loss is not finite.*lets this run go on", error
    )
    monkeypatch.setenv("POISON", "1,0,*")
    run_fit([*arguments(tmp_path, **{"model__max_skipped_steps": 5}), POISON])
    assert "recorded" in capsys.readouterr().out
    assert ConfigFile(tmp_path / "config.yaml").read()["model"]["max_skipped_steps"] == 5
    assert len(records(tmp_path)) == 2


@pytest.mark.ddp
def test_a_bad_loss_of_one_process_skips_the_step_in_all(tmp_path):
    two = {"trainer__devices": 2, "trainer__strategy": "ddp"}
    line = [*arguments(tmp_path, **two), POISON, "--trainer.callbacks+=tiny_runs.SameWeights"]
    done = command("fit", *line, POISON="1,2,1")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("round 1, step 2: the loss is not finite; step skipped") == 1
    first, second = records(tmp_path)
    assert (first["steps_skipped"], second["steps_skipped"]) == (0, 1)
    assert math.isfinite(second["train_loss"])
