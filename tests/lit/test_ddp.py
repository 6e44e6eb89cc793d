"""Two processes over gloo do what one does: the same step, the same samples, the same rounds."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_runs import (
    DIGITS_MODEL,
    arguments,
    assert_same,
    command,
    outcome,
    outcome_of_script,
    records,
)

from lightning_collapse.commands.fit import run_fit

pytestmark = pytest.mark.ddp

NETWORK = "model__network__init_args__"


def words(run: Path, **changed: Any) -> list[str]:
    """A conditional network on augmented digits: all that must be sliced by process."""
    changed = {
        **DIGITS_MODEL,
        NETWORK + "label_dim": 10,
        NETWORK + "augment_dim": 9,
        "model__augment__p": 0.5,
        **changed,
    }
    return [*arguments(run, "digits_mix", **changed), "--trainer.callbacks+=tiny_runs.Probe"]


@pytest.fixture(scope="module")
def two(tmp_path_factory) -> Path:
    """The folder of a run by two processes, through the front door."""
    folder = tmp_path_factory.mktemp("two")
    line = words(folder / "run", trainer__devices=2, trainer__strategy="ddp")
    done = command("fit", *line, PROBE=str(folder / "probe.pt"))
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def one(tmp_path_factory) -> Path:
    """The folder of the same run by this process alone."""
    folder = tmp_path_factory.mktemp("one")
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PROBE", str(folder / "probe.pt"))
        run_fit(words(folder / "run"))
    return folder


def test_the_first_step_has_the_same_loss_and_gradients(one, two):
    alone, shared = (torch.load(folder / "probe.pt", weights_only=True) for folder in (one, two))
    torch.testing.assert_close(shared["loss"], alone["loss"], rtol=1e-5, atol=0)
    assert shared["gradients"].keys() == alone["gradients"].keys()
    for name, gradient in alone["gradients"].items():
        error = (shared["gradients"][name] - gradient).norm()
        assert error <= 1e-5 * gradient.norm(), name


def test_the_same_weights_give_the_same_samples(tmp_path, two):
    # Round 1 as the two processes have trained it, sampled again by one.
    shutil.copytree(two / "run", tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "pool" / "0001")
    run_fit(words(tmp_path / "run"))
    again, before = outcome(tmp_path / "run"), outcome(two / "run")
    names = [name for name in before["pool"] if name.endswith(".npy")]
    assert len(names) >= 6
    for name in names:
        assert again["pool"][name] == before["pool"][name], name
    for ours, theirs in zip(again["rounds"], before["rounds"], strict=True):
        assert ours["val_loss"] == theirs["val_loss"]
        for name, value in ours.items():
            if name == "processes":
                continue
            close = pytest.approx(value, rel=1e-6) if isinstance(value, (float, list)) else value
            assert theirs[name] == close, name


def test_the_rounds_are_counted_alike(one, two):
    counts = ["round", "n_real", "n_synthetic", "n_samples", "images_seen", "synthetic_ratio"]
    for alone, shared in zip(records(one / "run"), records(two / "run"), strict=True):
        assert {name: shared[name] for name in counts} == {name: alone[name] for name in counts}
        assert shared["train_loss"] == pytest.approx(alone["train_loss"], rel=1e-4)
        assert shared["val_loss"] == pytest.approx(alone["val_loss"], rel=1e-4)


def test_the_run_of_two_goes_on_in_one(tmp_path, two, capsys):
    shutil.copytree(two / "run", tmp_path / "run")
    run_fit(words(tmp_path / "run", trainer__max_epochs=3))
    assert [record["round"] for record in records(tmp_path / "run")] == [0, 1, 2]
    assert "continues with 1 process; was started with 2\n" in capsys.readouterr().out


SCRIPT = """
from pathlib import Path
import torch
from pytorch_lightning import Callback, Trainer
from lightning_collapse import (
    CollapseModule, GenerationLoop, PoolDataModule, Replace, Sampling, ddpmpp
)
from lightning_collapse.data.sources.images import Digits
from lightning_collapse.networks.augment import AugmentPipe

network = ddpmpp(
    8, 1, model_channels=8, channel_mult=[1], num_blocks=1, attn_resolutions=[], dropout=0.0,
    label_dim=10, augment_dim=9,
)
module = CollapseModule(network, augment=AugmentPipe(p=0.5))
data = PoolDataModule(
    Digits(), Replace(0.5), train_rows=48, held_out_rows=16, images_per_round=64, batch_size=16,
    run=Path("run"),
)
loop = GenerationLoop(Sampling(num_steps=4), micro_batch=8, checkpoint_every=2)
class Shown(Callback):
    def on_train_epoch_end(self, trainer, module):
        with open(f"shown-{trainer.global_rank}", "a") as file:
            print(float(trainer.callback_metrics["round/fd_pixels"]), file=file)
Trainer(
    max_epochs=2, callbacks=[Shown(), loop], accelerator="cpu", devices=2, strategy="ddp",
    logger=False,
).fit(module, data)
"""


def test_a_script_with_a_plain_trainer_makes_the_same_run(tmp_path, two):
    (tmp_path / "mine.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, "mine.py"],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    own, front = outcome_of_script(tmp_path / "run"), outcome_of_script(two / "run")
    for part in ("rounds", "pool", "state_dict"):
        assert_same(own[part], front[part], part)
    # Other callbacks come after the loop, and find the round's figures, in every process.
    for rank in (0, 1):
        shown = [float(line) for line in (tmp_path / f"shown-{rank}").read_text().split()]
        assert shown == pytest.approx([record["fd_pixels"] for record in own["rounds"]])


# A second process that dies is noticed by the first itself, or by Lightning, which kills it.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("whom", "number", "statuses"),
    [
        ("KillRank0", signal.SIGKILL, {-9}),
        ("KillRank1", signal.SIGKILL, {2, -9}),
        ("KillRank0", signal.SIGTERM, {143}),
        ("KillRank1", signal.SIGTERM, {143}),
        ("KillAt", signal.SIGINT, {130}),
    ],
)
def test_a_run_of_two_that_is_killed_or_stopped_ends_the_same(
    tmp_path, two, whom, number, statuses
):
    line = words(tmp_path, trainer__devices=2, trainer__strategy="ddp")
    environment = {"PROBE": str(tmp_path / "probe.pt")}
    kill = f"--trainer.callbacks+=tiny_runs.{whom}"
    died = command("fit", *line, kill, KILL_AT=f"1,2,{number:d}", **environment)
    assert died.returncode in statuses, died.stderr
    assert "Traceback" not in died.stderr
    assert command("fit", *line, **environment).returncode == 0
    assert_same(outcome(tmp_path), outcome(two / "run"))
