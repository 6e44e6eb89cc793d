"""Too little room, or a folder that cannot be written: said early, and nothing is lost."""

import os
import shutil
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest
from tiny_runs import Fit, arguments, assert_same, command, outcome, warned

from lightning_collapse.commands import fit as cli
from lightning_collapse.lit import disk

Usage = namedtuple("Usage", "total used free")


def free(monkeypatch, *amounts: int) -> None:
    """Lets the disk report these amounts, round after round, the last one from then on."""
    left = list(amounts)

    def usage(path: Path) -> Usage:
        return Usage(10**12, 0, left.pop(0) if len(left) > 1 else left[0])

    monkeypatch.setattr(disk.shutil, "disk_usage", usage)


def test_a_round_without_room_is_not_begun_and_the_run_goes_on_later(
    tmp_path, monkeypatch, capsys
):
    cli.run_fit(arguments(tmp_path / "whole"))
    words = arguments(tmp_path / "run")
    with monkeypatch.context() as patch:
        free(patch, 10**10, 10**6)
        with pytest.raises(SystemExit) as left:
            cli.run_fit(words)
    assert left.value.code == 2
    (err,) = warned(capsys.readouterr().err)
    assert err.startswith(f"error: run = {tmp_path / 'run'}: round 1 needs about 16.9")
    assert " MB of disk, but 1.0 MB are free; make room" in err
    assert not (tmp_path / "run" / "pool" / "0001").exists()
    cli.run_fit(words)
    assert_same(outcome(tmp_path / "run"), outcome(tmp_path / "whole"))


@pytest.mark.slow
@pytest.mark.ddp
def test_of_two_processes_both_stop_where_one_lacks_room(tmp_path):
    words = arguments(tmp_path, trainer__devices=2, trainer__strategy="ddp")
    done = command("fit", *words, "--trainer.callbacks+=tiny_runs.FullOnRank1")
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert "round 1 needs about 16.9 MB of disk, but 0.0 MB are free" in done.stderr
    assert not (tmp_path / "pool" / "0001").exists()
    assert command("fit", *words).returncode == 0
    assert (tmp_path / "pool" / "0001" / "manifest.json").exists()


def test_the_estimate_is_above_what_a_round_writes(tmp_path):
    data = {"samples_per_round": 512}
    fit = Fit(tmp_path, rounds=1, data=data)()
    estimate = disk.round_bytes(fit.module, fit.data) - disk._MARGIN
    before = _bytes(tmp_path)
    Fit(tmp_path, rounds=2, data=data)()
    assert _bytes(tmp_path) - before < estimate < 5 * (_bytes(tmp_path) - before)


def _bytes(run: Path) -> int:
    inodes = {path.stat().st_ino: path.stat().st_size for path in run.rglob("*.*")}
    return sum(inodes.values())


@pytest.mark.skipif(os.getuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_refused(tmp_path, capsys):
    tmp_path.chmod(0o555)
    with pytest.raises(SystemExit):
        cli.run_fit(arguments(tmp_path / "run"))
    assert "cannot be written (Permission denied)" in capsys.readouterr().err


def test_a_folder_in_which_nothing_can_be_renamed_is_refused(tmp_path, monkeypatch, capsys):
    def refuse(*args: Any) -> None:
        raise PermissionError(30, "Read-only file system")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(SystemExit):
        cli.run_fit(arguments(tmp_path))
    message = capsys.readouterr().err
    assert message.startswith(
        f"error: run = {tmp_path}: cannot be written (Read-only file system)"
    )


@pytest.mark.parametrize(
    "wrong",
    [
        {"model__init_from": "/no", "model__restart": "warm"},
        {"loop__micro_batch": 0},
        {"trainer__devices": 3, "trainer__strategy": "ddp"},
    ],
    ids=str,
)
def test_a_refused_command_leaves_no_folder(tmp_path, wrong):
    with pytest.raises(SystemExit):
        cli.run_fit(arguments(tmp_path / "run", **wrong))
    assert not (tmp_path / "run").exists()


def test_a_folder_that_was_there_is_left_to_its_owner(tmp_path):
    (tmp_path / "run").mkdir()
    with pytest.raises(SystemExit):
        cli.run_fit(arguments(tmp_path / "run", model__init_from="/no", model__restart="warm"))
    assert (tmp_path / "run").exists()
    shutil.rmtree(tmp_path / "run")
