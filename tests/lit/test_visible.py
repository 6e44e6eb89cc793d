"""A run is seen while it runs: by loggers, on a terminal and without one."""

import csv
import io
import sys
from pathlib import Path

import pytest
import yaml
from pytorch_lightning.loggers import CSVLogger
from tiny_runs import BATCH, STEPS, At, CrashError, Fit, arguments, crash, records

from lightning_collapse.commands.fit import run_fit
from lightning_collapse.lit import progress


def logged(folder: Path) -> list[dict[str, str]]:
    with open(folder / "metrics.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_a_logger_of_ones_own_is_told_steps_rounds_and_options(tmp_path):
    logger = CSVLogger(tmp_path / "csv", name="", version="")
    Fit(tmp_path / "run", trainer={"logger": logger, "log_every_n_steps": 2})()
    steps = [row for row in logged(tmp_path / "csv") if row["train/lr"]]
    assert [(row["step"], row["round"]) for row in steps] == [
        *(("2", "0.0"), ("4", "0.0")),
        *(("6", "1.0"), ("8", "1.0")),
    ]
    for r in (0, 1):
        losses = [float(row["train/loss"]) for row in steps[2 * r : 2 * r + 2]]
        assert sum(losses) / 2 == pytest.approx(records(tmp_path / "run")[r]["train_loss"])
    assert float(steps[1]["train/lr"]) == pytest.approx(1e-3)
    assert all(float(row["train/images_per_second"]) > 0 for row in steps)
    assert any(row.get("round/val_loss") for row in logged(tmp_path / "csv"))
    told = yaml.safe_load((tmp_path / "csv" / "hparams.yaml").read_text())
    assert told["data"]["batch_size"] == BATCH and told["data"]["regime"].startswith("Replace(")
    assert told["model"]["restart"] == "scratch" and told["loop"]["micro_batch"] == 8


def test_the_command_tells_loggers_its_configuration(tmp_path):
    logger = {"trainer__logger": "CSVLogger", "trainer__logger__save_dir": tmp_path / "csv"}
    run_fit(arguments(tmp_path / "run", **logger, trainer__max_epochs=1))
    (file,) = tmp_path.glob("csv/**/hparams.yaml")
    assert yaml.safe_load(file.read_text())["data"]["images_per_round"] == STEPS * BATCH


def test_without_a_terminal_a_run_says_where_it_begins_and_goes_on(tmp_path, capsys):
    with pytest.raises(CrashError):
        Fit(tmp_path, callbacks=[At("on_train_batch_end", 1, 3, crash)])()
    (first,) = capsys.readouterr().err.splitlines()
    assert first == f"started: {tmp_path}, rounds 0 to 1 of {STEPS} training steps"
    Fit(tmp_path)()
    assert capsys.readouterr().err == f"goes on from round 1, step 2 of {STEPS}: {tmp_path}\n"
    Fit(tmp_path)()
    assert capsys.readouterr().err == f"{tmp_path} has all of its 2 rounds\n"


def test_now_and_then_it_says_round_step_loss_and_the_time_left(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(progress, "_ELSEWHERE", 0.0)
    Fit(tmp_path)()
    lines = capsys.readouterr().err.splitlines()[1:]
    assert len(lines) == 2 * STEPS
    assert lines[0].startswith(f"round 0 of 0-1, step 1 of {STEPS}, loss ")
    # Nobody knows yet how long samples take.
    assert ", over 0:00:" in lines[0] and lines[0].endswith(" left")
    assert "trained, makes its samples, loss" in lines[STEPS - 1]
    assert "over" not in lines[STEPS] and lines[STEPS].startswith("round 1 of 0-1, step 1")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_on_a_terminal_one_line_is_kept_up_to_date(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setattr(progress, "_TERMINAL", 0.0)
    Fit(tmp_path, rounds=1)()
    shown = sys.stderr.getvalue()
    assert f"\rround 0 of 0-0, step 2 of {STEPS}, loss " in shown
    assert "\nround 0 of 0-0, step" not in shown
