"""Out of memory: a round's samples are all made with half the micro-batch; training is advised."""

import json
import weakref
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_runs import (
    DIGITS,
    CrashError,
    Fit,
    arguments,
    assert_same,
    command,
    mlp,
    out_of_memory,
    outcome,
    records,
    unet,
    warned,
    with_ending,
)

from lightning_collapse.commands import fit as cli
from lightning_collapse.commands import pool
from lightning_collapse.lit.loop import GenerationLoop
from lightning_collapse.lit.module import CollapseModule
from lightning_collapse.lit.telling import RunError
from lightning_collapse.samples.memory import ran_out

NETWORKS = {
    "points": lambda: {"network": mlp()},
    "images": lambda: {"network": unet(), "data": DIGITS},
}


def limited(folder: Path, rows: int, **options: Any) -> Fit:
    """A run whose average, which samples and is validated, takes a number of rows at most."""
    fit = Fit(folder, **options)

    def hook(_: Any, given: Any) -> None:
        if fit.loop.started:  # and not tried with two rows
            out_of_memory(given[0], rows)

    fit.module.ema.register_forward_pre_hook(hook)
    return fit


def recipe(run: Path, round: int) -> dict[str, Any]:
    return json.loads((run / "pool" / f"{round:04d}" / "manifest.json").read_text())["recipe"]


def shards(run: Path) -> dict[str, bytes]:
    return {str(p.relative_to(run)): p.read_bytes() for p in run.glob("pool/0*/*.npy")}


def nothing_left(run: Path) -> bool:
    return not [*run.rglob("micro_batch"), *run.rglob(".*.tmp")]


@pytest.mark.parametrize(
    ("kind", "rows", "used"),
    [("points", 7, 4), ("points", 3, 2), ("points", 1, 1), ("images", 4, 4)],
)
def test_samples_are_those_of_a_run_with_a_smaller_micro_batch(tmp_path, capfd, kind, rows, used):
    limited(tmp_path / "halved", rows, **NETWORKS[kind]())()
    said = warned(capfd.readouterr().err)
    Fit(tmp_path / "small", options={"micro_batch": used}, **NETWORKS[kind]())()
    assert len(shards(tmp_path / "small")) == 2 * -(-48 // used)
    assert shards(tmp_path / "halved") == shards(tmp_path / "small")
    assert [recipe(tmp_path / "halved", r)["micro_batch"] for r in (0, 1)] == [used, used]
    assert nothing_left(tmp_path / "halved")
    halvings = {4: [8], 2: [8, 4], 1: [8, 4, 2]}[used]
    assert said == [
        f"warning: round {r}: out of memory with loop.micro_batch = {n}; "
        f"the round's samples are made again, {n // 2} at a time"
        for r in (0, 1)
        for n in halvings
    ]


def test_the_validation_loss_stays_comparable(tmp_path):
    limited(tmp_path / "halved", 4)()
    Fit(tmp_path / "whole")()
    ours, theirs = records(tmp_path / "halved")[0], records(tmp_path / "whole")[0]
    assert ours["val_loss"] == pytest.approx(theirs["val_loss"], rel=1e-5)


def test_memory_that_runs_out_late_leaves_no_shard_of_the_first_recipe(tmp_path):
    fit = Fit(tmp_path / "late", rounds=1)
    calls = []

    def hook(_: Any, given: Any) -> None:
        calls.append(len(given[0]))
        if len(calls) > 4 * 4:  # in the fifth of six shards
            out_of_memory(given[0], 4)

    fit.module.ema.register_forward_pre_hook(hook)
    fit()
    assert calls.count(8) > 12
    Fit(tmp_path / "small", rounds=1, options={"micro_batch": 4})()
    assert shards(tmp_path / "late") == shards(tmp_path / "small")


def test_the_next_round_starts_from_the_loops_micro_batch_again(tmp_path):
    fit = Fit(tmp_path)

    def hook(_: Any, given: Any) -> None:
        if fit.loop.started and fit.trainer.current_epoch == 0:
            out_of_memory(given[0], 4)

    fit.module.ema.register_forward_pre_hook(hook)
    fit()
    assert [recipe(tmp_path, r)["micro_batch"] for r in (0, 1)] == [4, 8]


def test_what_ran_out_is_free_before_the_next_attempt(tmp_path):
    fit = Fit(tmp_path, rounds=1)
    kept, alive = [], []

    def hook(_: Any, given: Any) -> None:
        if not fit.loop.started:
            return
        if len(given[0]) > 4:
            held = torch.zeros(1000)
            kept.append(weakref.ref(held))
            out_of_memory(given[0], 4)
        alive.append(kept[0]())

    fit.module.ema.register_forward_pre_hook(hook)
    fit()
    assert len(kept) == 1 and alive and not any(x is not None for x in alive)


def test_where_a_single_sample_does_not_fit_the_run_ends(tmp_path):
    with pytest.raises(RunError, match="round 0: out of memory with loop.micro_batch = 1: a si"):
        limited(tmp_path, 0)()
    assert not shards(tmp_path)
    Fit(tmp_path)()  # goes on where there is more: the attempt with one is finished
    assert [recipe(tmp_path, r)["micro_batch"] for r in (0, 1)] == [1, 8]


def test_other_errors_of_sampling_are_not_taken_for_it(tmp_path):
    fit = Fit(tmp_path)

    def hook(*_: Any) -> None:
        if fit.loop.started:
            raise RuntimeError("a shape is wrong")

    fit.module.ema.register_forward_pre_hook(hook)
    with pytest.raises(RuntimeError, match="a shape is wrong"):
        fit()


def dies(halvings: int, shard: int) -> type[GenerationLoop]:
    """A loop that dies in round 1's sampling, with some shards of a later attempt written."""

    def sample(plain: Any, trainer: Any, sampler: Any, folder: Path) -> bool:
        if sampler.round and sampler.micro_batch == 8 >> halvings:
            for done in range(shard):
                list(sampler.write_shard(folder, done))
            raise CrashError
        return plain(trainer, sampler, folder)

    return with_ending(sample_shards=sample)


@pytest.mark.parametrize(
    ("rows", "halvings", "shard"), [(2, 0, 0), (2, 1, 0), (2, 2, 0), (2, 2, 5), (4, 1, 2)]
)
def test_an_interrupted_attempt_goes_on_with_its_recipe(tmp_path, rows, halvings, shard):
    limited(tmp_path / "whole", rows)()
    with pytest.raises(CrashError):
        limited(tmp_path / "broken", rows, loop=dies(halvings, shard))()
    kept = {path: path.stat().st_ino for path in (tmp_path / "broken").glob("pool/0001/*.npy")}
    assert len(kept) == shard
    limited(tmp_path / "broken", rows)()
    assert_same(outcome(tmp_path / "broken"), outcome(tmp_path / "whole"))
    assert nothing_left(tmp_path / "broken")
    assert {path: path.stat().st_ino for path in kept} == kept


def test_where_memory_has_grown_since_the_attempt_at_hand_is_finished(tmp_path):
    with pytest.raises(CrashError):
        limited(tmp_path / "broken", 4, loop=dies(1, 2))()
    Fit(tmp_path / "broken")()
    limited(tmp_path / "whole", 4)()
    assert_same(outcome(tmp_path / "broken"), outcome(tmp_path / "whole"))


def test_a_lost_checkpoints_attempt_is_not_gone_on_with(tmp_path):
    with pytest.raises(CrashError):
        limited(tmp_path, 4, loop=dies(1, 2))()
    folder = tmp_path / "checkpoints"
    (folder / "last.ckpt").unlink()
    (folder / "round-0000.ckpt").rename(folder / "last.ckpt")
    Fit(tmp_path)()
    assert recipe(tmp_path, 1)["micro_batch"] == 8 and nothing_left(tmp_path)


def test_a_damaged_shard_of_such_a_round_is_made_again(tmp_path, monkeypatch):
    monkeypatch.setenv("MEMORY", "4")
    line = arguments(tmp_path, trainer__callbacks="tiny_runs.LittleMemory")
    cli.run_fit(line)
    assert recipe(tmp_path, 1)["micro_batch"] == 4
    shard = tmp_path / "pool" / "0001" / "shard-00007.npy"
    before = shard.read_bytes()
    shard.unlink()
    with pytest.raises(SystemExit, match="0"):
        pool.repair(tmp_path)
    assert shard.read_bytes() == before


@pytest.mark.ddp
def test_all_processes_follow_the_one_that_ran_out(tmp_path, tiny_run):
    untrained = {
        "model__init_from": tiny_run / "checkpoints" / "last.ckpt",
        "data__train_first_round": "false",
        "trainer__max_epochs": 1,
        "model__restart": "warm",
    }
    two = {"trainer__devices": 2, "trainer__strategy": "ddp"}
    little = {"trainer__callbacks": "tiny_runs.LittleMemory"}
    done = command("fit", *arguments(tmp_path / "two", **untrained, **two, **little), MEMORY="4,1")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("made again, 4 at a time") == 1
    assert recipe(tmp_path / "two", 0)["micro_batch"] == 4
    cli.run_fit(arguments(tmp_path / "one", **untrained, loop__micro_batch=4))
    assert shards(tmp_path / "two") == shards(tmp_path / "one")


def test_out_of_memory_in_training_is_one_line_of_advice(tmp_path, monkeypatch, capsys):
    real = CollapseModule.training_step

    def step(self: Any, batch: Any, batch_idx: int) -> Any:
        if (self.current_epoch, batch_idx) == (1, 3):
            out_of_memory(batch["rows"], 0)
        return real(self, batch, batch_idx)

    with monkeypatch.context() as patch:
        patch.setattr(CollapseModule, "training_step", step)
        with pytest.raises(SystemExit) as end:
            cli.run_fit(arguments(tmp_path / "run"))
    (line,) = warned(capsys.readouterr().err)
    assert end.value.code == 2 and line.startswith("error: out of memory; ")
    assert "data.batch_size" in line and "trainer.accumulate_grad_batches" in line
    assert len(records(tmp_path / "run")) == 1
    for run in ("run", "whole"):
        cli.run_fit(arguments(tmp_path / run))
    assert_same(outcome(tmp_path / "run"), outcome(tmp_path / "whole"))


def test_the_allocators_own_words_are_understood():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**58)
    assert ran_out(caught.value)
    assert ran_out(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"))
    assert ran_out(RuntimeError("MPS backend out of memory (MPS allocated: 1.00 GB)"))
    assert ran_out(MemoryError())
    assert not ran_out(RuntimeError("shape '[2]' is invalid"))
    assert not ran_out(ValueError("out of memory"))
