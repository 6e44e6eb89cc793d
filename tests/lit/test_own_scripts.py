"""The three parts under a Trainer of a user's own: they work as in `fit`, or refuse."""

import warnings
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning_fabric.plugins.io import TorchCheckpointIO
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import EMAWeightAveraging, LearningRateFinder, Timer
from pytorch_lightning.strategies import SingleDeviceStrategy
from tiny_runs import (
    At,
    Fit,
    arguments,
    assert_same,
    outcome,
    outcome_of_script,
    records,
    without_seconds,
)

from lightning_collapse import GenerationLoop, run
from lightning_collapse.commands.fit import run_fit
from lightning_collapse.lit.checks import check_trainer
from lightning_collapse.lit.telling import RunError
from lightning_collapse.runs.checkpoints import is_sealed
from lightning_collapse.runs.lock import RunFolder

PLAIN = {"accelerator": "cpu", "logger": False, "enable_progress_bar": False}
QUIET = {**PLAIN, "enable_model_summary": False, "enable_checkpointing": False}


def trained(folder: Path, **options: Any) -> Fit:
    """Fits the parts of a tiny run under a plain Trainer; gives them."""
    fit = Fit(folder)
    callbacks = [fit.loop, *options.pop("callbacks", [])]
    trainer = Trainer(**{"max_epochs": 2, **QUIET, **options, "callbacks": callbacks})
    trainer.fit(fit.module, fit.data)
    return fit


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("whole")
    torch.set_num_threads(1)
    return outcome(Fit(folder)().folder)


def test_a_plain_trainer_makes_the_rounds_of_fit(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fit = Fit(tmp_path / "own")
    Trainer(max_epochs=2, callbacks=[fit.loop], **PLAIN).fit(fit.module, fit.data)
    run_fit(arguments(tmp_path / "fit"))
    assert_same(without_optimizer(tmp_path / "own"), without_optimizer(tmp_path / "fit"))
    # Also beside Lightning's own callback for checkpoints, ours are written whole or not at all.
    assert all(is_sealed(path) for path in (tmp_path / "own" / "checkpoints").iterdir())


def without_optimizer(folder: Path) -> dict[str, Any]:
    """What two runs must share, but for options that a configuration writes 0.0 and torch 0."""
    made = outcome_of_script(folder)
    del made["optimizer_states"]
    return made


class NotOurs(LightningModule):
    def training_step(self, batch, batch_idx): ...

    def configure_optimizers(self): ...


class Other(SingleDeviceStrategy):
    """Of which nobody knows what it does."""


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"fast_dev_run": True}, "fast_dev_run = True: would break the rounds; use data.images"),
        ({"overfit_batches": 1}, "overfit_batches = 1: "),
        ({"limit_train_batches": 1}, "limit_train_batches = 1: "),
        ({"limit_train_batches": 0}, "limit_train_batches = 0: "),
        ({"limit_train_batches": 0.5}, "limit_train_batches = 0.5: "),
        ({"max_steps": 3}, "max_steps = 3: .* trainer.max_epochs"),
        ({"max_steps": 0}, "max_steps = 0: "),
        ({"min_epochs": 2}, "min_epochs = 2: .* trainer.max_epochs"),
        ({"min_steps": 2}, "min_steps = 2: "),
        ({"reload_dataloaders_every_n_epochs": 1}, "reload_dataloaders_every_n_epochs = 1: "),
        ({"max_epochs": 0}, "max_epochs = 0: must be at least 1 round"),
        ({"max_epochs": -1}, "max_epochs = -1: must be at least 1 round"),
        ({"precision": "bf16-true"}, "precision = bf16-true: must be one of 32-true, "),
        ({"strategy": Other(device=torch.device("cpu"))}, "strategy = Other: must be one of auto"),
        ({"callbacks": [EMAWeightAveraging()]}, "callbacks = EMAWeightAveraging: .*ema_halflife"),
        ({"callbacks": [LearningRateFinder()]}, "callbacks = LearningRateFinder: .*optimizer"),
        ({"callbacks": [GenerationLoop()]}, "callbacks: must have one GenerationLoop"),
        ({"plugins": [type("Mine", (TorchCheckpointIO,), {})()]}, "plugins = Mine: must leave"),
    ],
    ids=lambda part: part[:20] if isinstance(part, str) else "",  # objects' have addresses
)
def test_what_would_break_the_rounds_is_refused(tmp_path, options, said):
    with pytest.raises(ValueError, match=rf"^trainer\.{said}"):
        trained(tmp_path / "run", **options)
    assert not list(tmp_path.glob("run/checkpoints/*"))


@pytest.mark.parametrize("strategy", ["ddp_spawn", "ddp_fork"])
def test_processes_that_are_not_started_as_commands_are_refused(strategy):
    trainer = Trainer(**QUIET, max_epochs=2, devices=2, strategy=strategy)
    with pytest.raises(ValueError, match=r"trainer\.strategy = DDPStrategy, which forks or"):
        check_trainer(trainer)


def test_parts_that_are_missing_are_named(tmp_path):
    fit = Fit(tmp_path)
    with pytest.raises(ValueError, match=r"trainer\.callbacks: must have a GenerationLoop"):
        Trainer(max_epochs=2, **QUIET).fit(fit.module, fit.data)
    for module, data in ((NotOurs(), fit.data), (fit.module, None)):
        trainer = Trainer(max_epochs=2, **QUIET, callbacks=[fit.loop])
        with pytest.raises(TypeError, match="CollapseModule|PoolDataModule"):
            trainer.fit(module, datamodule=data)


@pytest.mark.parametrize("rounds", [1, 2])
def test_a_run_that_was_started_is_not_begun_again(tmp_path, whole, rounds):
    Fit(tmp_path, rounds=rounds)()
    if rounds == 1:
        # As if it had died before its first round was committed.
        (tmp_path / "pool" / "0000" / "manifest.json").unlink()
    before = (tmp_path / "checkpoints" / "last.ckpt").read_bytes()
    with pytest.raises(ValueError, match=r"ckpt_path = None: .* go on with .*last\.ckpt"):
        trained(tmp_path)
    assert (tmp_path / "checkpoints" / "last.ckpt").read_bytes() == before
    Fit(tmp_path)()
    assert_same(outcome(tmp_path), whole)


def test_a_run_is_not_asked_for_fewer_rounds_than_it_has(tmp_path):
    Fit(tmp_path)()
    with pytest.raises(ValueError, match=r"trainer\.max_epochs = 1: the run in .* has 2 rounds"):
        Fit(tmp_path, rounds=1)()


def position(folder: Path) -> dict[str, int]:
    last = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    return last["PoolDataModule"]


def stop(trainer: Trainer) -> None:
    trainer.should_stop = True


def time_is_up(trainer: Trainer) -> None:
    next(c for c in trainer.callbacks if isinstance(c, Timer))._offset = 2 * 24 * 3600


@pytest.mark.parametrize(
    ("hook", "act", "said", "saved"),
    [
        # Saved last after step 2, since the callback comes after the loop.
        ("on_train_batch_end", stop, "cut short at step 3, by a callback", (1, 2)),
        ("on_train_batch_start", time_is_up, r"cut short at step 3, by trainer\.max_time", (1, 3)),
        ("on_train_epoch_start", stop, "cut short at step 0, by a callback", (1, 0)),
    ],
)
def test_a_round_cut_short_by_others_than_us_raises(tmp_path, whole, hook, act, said, saved):
    at = At(hook, 1, {"on_train_batch_start": 2, "on_train_epoch_start": 0}.get(hook, 3), act)
    fit = Fit(tmp_path, callbacks=[at, Timer(timedelta(days=1))], checkpoint_every=2)
    with pytest.raises(RunError, match=f"^round 1 was {said}.*the same command goes on$"):
        fit()
    assert position(tmp_path) == dict(zip(("round", "step"), saved, strict=True))
    # Time starts anew with the same limit.
    Fit(tmp_path, callbacks=[Timer(timedelta(days=1))])()
    assert_same(outcome(tmp_path), whole)


def test_a_round_trained_but_kept_from_sampling_raises(tmp_path, whole):
    at = At("on_train_batch_end", 1, 4, stop)
    with pytest.raises(RunError, match="round 1 is trained, but was not sampled, by a callback"):
        Fit(tmp_path, callbacks=[at])()
    Fit(tmp_path)()
    assert_same(outcome(tmp_path), whole)


def test_a_fit_that_makes_no_round_raises(tmp_path):
    with pytest.raises(RunError, match=r"no round was made, by trainer\.max_time"):
        trained(tmp_path, max_time={"seconds": 0})


def test_a_callback_may_end_the_run_between_rounds(tmp_path):
    trained(tmp_path, callbacks=[At("on_train_epoch_end", 0, None, stop)])
    assert len(records(tmp_path)) == 1


def test_the_command_says_that_time_is_up_and_goes_on(tmp_path, whole, capsys):
    for _ in range(2):
        with pytest.raises(SystemExit) as left:
            run_fit(arguments(tmp_path, trainer__max_time="00:00:00:00"))
        assert left.value.code == 3
        said = capsys.readouterr().err.splitlines()
        assert said[-1].startswith("stopped: no round was made, by trainer.max_time;"), said
    run_fit(arguments(tmp_path))
    for record, expected in zip(records(tmp_path), whole["rounds"], strict=True):
        assert without_seconds(record) == expected | {"config_sha256": record["config_sha256"]}


def test_run_goes_on_where_it_stopped_and_keeps_others_out(tmp_path, whole, capsys):
    for rounds in (1, 2):
        fit = Fit(tmp_path)
        assert run(fit.module, fit.data, fit.loop, max_epochs=rounds, **PLAIN) is None
    assert_same(outcome(tmp_path), whole)
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == [
        *("round", "0"),
        *("round", "0", "1"),
    ]
    with RunFolder(tmp_path).locked(), pytest.raises(OSError, match="in use by process"):
        run(fit.module, fit.data, fit.loop, max_epochs=3, **PLAIN)


@pytest.mark.parametrize(("given", "told"), [({}, True), ({"max_epochs": 2}, False)])
def test_rounds_that_nobody_has_named_are_told(tmp_path, capsys, given, told):
    fit = Fit(tmp_path)
    trainer = Trainer(**QUIET, **given, callbacks=[fit.loop, Leaves()])
    with warnings.catch_warnings(), pytest.raises(LeftError):
        warnings.simplefilter("ignore")  # Lightning's own, which advises max_epochs=-1
        trainer.fit(fit.module, fit.data)
    lines = capsys.readouterr().err.splitlines()
    said = [line for line in lines if line.startswith("warning: trainer.max_epochs = 1000: ")]
    assert len(said) == told


class LeftError(Exception):
    pass


class Leaves(Callback):
    def on_train_start(self, trainer, pl_module):
        raise LeftError
