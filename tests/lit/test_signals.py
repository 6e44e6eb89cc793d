"""Signals save and stop; kill -9 does not save; the same command then ends the same run."""

import os
import signal
import socket
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_runs import STEPS, arguments, assert_same, command, outcome

from lightning_collapse.commands import fit as cli
from lightning_collapse.lit import assemble
from lightning_collapse.lit.progress import RoundTable
from lightning_collapse.lit.signals import requeue
from lightning_collapse.samples.rounds import RoundSampler


class Sender(RoundTable):
    """Sends signals in one step of one round."""

    at = (1, 1)
    signals: tuple[int, ...] = (signal.SIGINT,)

    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        if (trainer.current_epoch, batch_idx) == self.at:
            for number in self.signals:
                os.kill(os.getpid(), number)


@pytest.fixture
def send(monkeypatch):
    """Runs a command, sending signals in a step; gives its exit status."""

    def run(words: list[str], at: tuple[int, int], *signals: int) -> int:
        sender = type("OneSender", (Sender,), {"at": at, "signals": signals})
        with monkeypatch.context() as patch, pytest.raises(SystemExit) as left:
            patch.setattr(assemble, "RoundTable", sender)
            cli.run_fit(words)
        return left.value.code

    return run


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    torch.set_num_threads(1)
    cli.run_fit(arguments(folder / "run"))
    return outcome(folder / "run")


def position(run: Any) -> dict[str, int]:
    return torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["PoolDataModule"]


def finish(words: list[str], run: Any, whole: Any) -> None:
    cli.run_fit(words)
    assert_same(outcome(run), whole)


@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGUSR1, 143)],
    ids=["INT", "TERM", "USR1"],
)
def test_a_signal_in_a_step_saves_that_step(tmp_path, whole, send, number, status, capsys):
    words = arguments(tmp_path, loop__checkpoint_every=1000)
    before = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
    assert send(words, (1, 1), number) == status
    assert position(tmp_path) == {"round": 1, "step": 2}
    assert "the same command goes on" in capsys.readouterr().out
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == before
    finish(words, tmp_path, whole)


def test_a_signal_in_a_rounds_last_step_leaves_sampling_for_later(tmp_path, whole, send):
    words = arguments(tmp_path)
    assert send(words, (1, STEPS - 1), signal.SIGINT) == 130
    assert position(tmp_path) == {"round": 2, "step": 0}
    assert not (tmp_path / "pool" / "0001").exists()
    finish(words, tmp_path, whole)


@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.slow)],
)
def test_a_second_signal_does_not_wait_for_the_step(tmp_path, whole, number, status):
    words = [*arguments(tmp_path, loop__checkpoint_every=1000)]
    callback = "--trainer.callbacks+=tiny_runs.KillAt"
    left = command("fit", *words, callback, KILL_AT=f"1,1,{number:d},2")
    assert left.returncode == status, left.stderr
    assert position(tmp_path) == {"round": 1, "step": 0}
    finish(words, tmp_path, whole)


def test_a_signal_in_sampling_finishes_the_shard(tmp_path, whole, monkeypatch):
    words = arguments(tmp_path)
    make = RoundSampler.make
    # Then once more, where the next start would finish the round.
    for first_row, shards in ((24, 4), (32, 5)):

        def interrupted(self: RoundSampler, first: int, at: int = first_row) -> Any:
            if (self.round, first) == (1, at):
                os.kill(os.getpid(), signal.SIGTERM)
            return make(self, first)

        with monkeypatch.context() as patch:
            patch.setattr(RoundSampler, "make", interrupted)
            with pytest.raises(SystemExit) as left:
                cli.run_fit(words)
        assert left.value.code == 143
        assert len(list((tmp_path / "pool" / "0001").glob("*.npy"))) == shards
    finish(words, tmp_path, whole)


def test_a_stop_waits_for_the_optimizers_step(tmp_path, send):
    changed = {"trainer__accumulate_grad_batches": 2, "loop__checkpoint_every": 1000}
    words = arguments(tmp_path / "broken", **changed)
    assert send(words, (1, 0), signal.SIGINT) == 130
    assert position(tmp_path / "broken") == {"round": 1, "step": 2}
    cli.run_fit(words)
    cli.run_fit(arguments(tmp_path / "whole", **changed))
    assert_same(outcome(tmp_path / "broken"), outcome(tmp_path / "whole"))


@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGKILL, -9), pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow)],
)
def test_a_process_killed_mid_round_ends_the_same(tmp_path, whole, number, status):
    words = [*arguments(tmp_path), "--trainer.callbacks+=tiny_runs.KillAt"]
    died = command("fit", *words, KILL_AT=f"1,2,{number:d}")
    assert died.returncode == status, died.stderr
    assert position(tmp_path) == {"round": 1, "step": 2 if number == signal.SIGKILL else 3}
    finish(words, tmp_path, whole)


def test_a_stop_ends_with_the_status_asked_for(tmp_path, send):
    words = arguments(tmp_path, exit_code_on_stop=85)
    assert send(words, (1, 1), signal.SIGTERM) == 85


def test_a_run_evicted_by_htcondor_goes_on_elsewhere(tmp_path, whole, send, monkeypatch):
    # The run's folder is all that is transferred; the same command is started on another host.
    words = arguments(Path("run"), exit_code_on_stop=85)
    for host in ("first", "second"):
        (tmp_path / host).mkdir()
    monkeypatch.chdir(tmp_path / "first")
    assert send(words, (1, 1), signal.SIGTERM) == 85
    (tmp_path / "first" / "run").rename(tmp_path / "second" / "run")
    monkeypatch.chdir(tmp_path / "second")
    (tmp_path / "first").rmdir()
    monkeypatch.setattr(socket, "gethostname", lambda: "second")
    finish(words, tmp_path / "second" / "run", whole)


@pytest.fixture
def slurm(tmp_path, monkeypatch) -> Path:
    """Sets what SLURM does; gives the file in which `scontrol` notes how it was called."""
    scontrol = tmp_path / "bin" / "scontrol"
    scontrol.parent.mkdir()
    scontrol.write_text('#!/bin/sh\necho "$@" >>"$0.called"\n')
    scontrol.chmod(0o755)
    variables = {"JOB_ID": 4711, "JOB_NAME": "train", "NTASKS": 1, "PROCID": 0, "LOCALID": 0}
    for name, value in {**variables, "NODEID": 0}.items():
        monkeypatch.setenv(f"SLURM_{name}", str(value))
    for name in ("SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", f"{scontrol.parent}:{os.environ['PATH']}")
    return scontrol.with_suffix(".called")


@pytest.mark.parametrize(
    ("number", "called"), [(signal.SIGUSR1, "requeue 4711\n"), (signal.SIGTERM, None)]
)
def test_a_slurm_job_requeues_itself_when_its_time_is_up(
    tmp_path, whole, send, slurm, number, called, capsys
):
    words = arguments(tmp_path / "run", loop__checkpoint_every=1000)
    assert send(words, (1, 1), number) == 143
    assert (slurm.read_text() if slurm.exists() else None) == called
    assert ("requeued as SLURM job 4711" in capsys.readouterr().out) == bool(called)
    assert position(tmp_path / "run") == {"round": 1, "step": 2}
    finish(words, tmp_path / "run", whole)


def test_a_job_that_cannot_be_requeued_says_so(tmp_path, send, slurm, capsys):
    (slurm.parent / "scontrol").unlink()
    assert send(arguments(tmp_path / "run"), (1, 1), signal.SIGUSR1) == 143
    assert "scontrol requeue 4711: has failed" in capsys.readouterr().out


def test_a_task_of_an_array_requeues_itself_alone(slurm, monkeypatch, capsys):
    # The last task of an array carries the array's own id, as which all tasks would be requeued.
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "4711")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "0")
    requeue()
    assert slurm.read_text() == "requeue 4711_0\n"
    assert capsys.readouterr().out == "requeued as SLURM job 4711_0\n"
