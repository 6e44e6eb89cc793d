"""Callbacks and plugins of others: those that watch work beside ours, others are refused."""

from typing import Any

import pytest
from pytorch_lightning import Callback, callbacks
from pytorch_lightning.callbacks import (
    EarlyStopping,
    LearningRateMonitor,
    ModelCheckpoint,
    Timer,
    TQDMProgressBar,
)
from pytorch_lightning.loggers import CSVLogger
from tiny_runs import Fit, arguments, assert_same, outcome, records

from lightning_collapse.commands.fit import run_fit
from lightning_collapse.lit.checks import _MEDDLING

WATCHING = {
    *("BasePredictionWriter", "Callback", "Checkpoint", "DeviceStatsMonitor", "EarlyStopping"),
    *("LambdaCallback", "LearningRateMonitor", "ModelCheckpoint", "ModelSummary"),
    *("OnExceptionCheckpoint", "ProgressBar", "RichModelSummary", "RichProgressBar"),
    *("SpikeDetection", "ThroughputMonitor", "Timer", "TQDMProgressBar"),
}


def test_every_callback_of_lightning_is_known_to_watch_or_refused():
    refused = {
        name
        for name in callbacks.__all__
        if issubclass(getattr(callbacks, name), tuple(_MEDDLING))
    }
    assert refused | WATCHING == set(callbacks.__all__) and not refused & WATCHING


def test_those_that_watch_change_nothing(tmp_path, capsys):
    Fit(tmp_path / "alone")()
    watching = [
        EarlyStopping("round/fd_points", patience=5),
        LearningRateMonitor(),
        ModelCheckpoint(tmp_path / "best", monitor="round/fd_points"),
        Timer(),
        TQDMProgressBar(),
    ]
    logger = CSVLogger(tmp_path / "csv")
    Fit(tmp_path / "beside", callbacks=watching, trainer={"logger": logger})()
    assert_same(outcome(tmp_path / "beside"), outcome(tmp_path / "alone"))
    assert len(list((tmp_path / "best").glob("*.ckpt"))) == 1


def test_those_that_a_command_names_work_too_and_a_profile_is_kept(tmp_path, capsys):
    words = arguments(tmp_path, trainer__max_epochs=1, trainer__profiler="simple")
    words += ["--trainer.callbacks+=Timer", "--trainer.callbacks+=ModelCheckpoint"]
    run_fit([*words, "--trainer.callbacks.monitor=round/fd_points"])
    assert "run_training_epoch" in (tmp_path / "lightning" / "fit-profile.txt").read_text()
    told = f"profile, once the run ends: {tmp_path / 'lightning' / 'fit-profile'}*\n"
    assert told in capsys.readouterr().out


def ended(capsys: Any, words: list[str]) -> tuple[Any, str]:
    with pytest.raises(SystemExit) as left:
        run_fit(words)
    return left.value.code, capsys.readouterr().err.splitlines()[-1]


def test_a_run_that_a_callback_has_ended_is_not_finished_and_goes_on(tmp_path, capsys):
    words = arguments(tmp_path, trainer__max_epochs=5)
    words += ["--trainer.callbacks+=EarlyStopping", "--trainer.callbacks.monitor=round/n_train"]
    words += ["--trainer.callbacks.patience=1"]
    status, said = ended(capsys, words)
    assert status == 3
    assert said == (
        "stopped: the run has ended after 2 rounds, by EarlyStopping on round/n_train; "
        "the same command goes on"
    )
    # Its count is restored: it ends every start after a round.
    assert ended(capsys, words)[0] == 3
    assert len(records(tmp_path)) == 3


class Faulty(Callback):
    def on_train_batch_end(self, trainer, *args):
        if trainer.global_step == 3:
            raise KeyError("lost")


def test_an_error_of_a_callback_is_a_line_that_says_where(tmp_path, capsys):
    words = [*arguments(tmp_path), "--trainer.callbacks+=test_others_callbacks.Faulty"]
    status, said = ended(capsys, words)
    assert status == 2
    assert said.startswith("error: trainer.callbacks = Faulty: 'lost' (KeyError in test_others_c")
    run_fit(arguments(tmp_path))
    assert len(records(tmp_path)) == 2


def test_a_figure_that_is_not_there_is_a_line(tmp_path, capsys):
    early = ["--trainer.callbacks+=EarlyStopping", "--trainer.callbacks.monitor=round/nothing"]
    status, said = ended(capsys, [*arguments(tmp_path), *early])
    assert status == 2 and "Early stopping conditioned on metric `round/nothing`" in said


def test_everything_that_is_missing_is_told_at_once(tmp_path, capsys):
    missing = {
        "model__init_from": tmp_path / "none.safetensors",
        "model__restart": "warm",
        "data__source": '{"class_path": "ImageZip", "init_args": {"path": "/no.zip"}}',
        "data__source__init_args__n": None,
        "loop__features": '{"class_path": "Inception", "init_args": {"weights": "/no.pt"}}',
    }
    words = arguments(tmp_path / "run", "digits_mix", **missing)
    at = words.index("--data.source.init_args.n")
    status, said = ended(capsys, words[:at] + words[at + 2 :])
    assert status == 2 and said.startswith("error: missing before a start: (1) model.init_from = ")
    assert "(2) data.source.path = /no.zip: no such file" in said
    assert "(3) loop.features: Inception weights = /no.pt" in said


def test_an_untrained_network_is_no_generation_0(tmp_path, capsys):
    status, said = ended(capsys, arguments(tmp_path, data__train_first_round="false"))
    assert status == 2 and said.startswith("error: data.train_first_round = false: generation 0 ")
