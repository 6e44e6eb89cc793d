"""A round whose samples have collapsed is a result: recorded, shown, gone on from or not."""

import csv
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning.loggers import CSVLogger
from tiny_runs import (
    DIGITS,
    BadSamples,
    CrashError,
    Fit,
    arguments,
    assert_same,
    bad_samples,
    command,
    mlp,
    outcome,
    records,
    unet,
    warned,
    with_ending,
)

from lightning_collapse.commands import fit as cli
from lightning_collapse.commands import pool
from lightning_collapse.data.store.shards import StoredRows
from lightning_collapse.lit.loop import GenerationLoop
from lightning_collapse.report.figures import plot_run
from lightning_collapse.runs.layout import Run
from lightning_collapse.runs.records import table_header, table_line
from lightning_collapse.samples import rounds as sampler_module

KINDS = {
    "nonfinite": lambda x: torch.full_like(x, math.nan),
    "constant": lambda x: torch.zeros_like(x) + 0.3,
    "saturated": lambda x: torch.where(x > x.mean(), 2.0, -3.0),
}
IMAGES = {"data": DIGITS}


def sampling(monkeypatch, act: Any) -> None:
    """Has something done to all samples, in network units, before they become rows."""
    solve = sampler_module._solve
    monkeypatch.setattr(sampler_module, "_solve", lambda *args: act(solve(*args)))


def collapsing(monkeypatch, kind: str) -> None:
    sampling(monkeypatch, KINDS[kind])


def rows_of(run: Path, round: int) -> torch.Tensor:
    stored = StoredRows(run / "pool" / f"{round:04d}")
    return stored[torch.arange(len(stored))]


def strict(line: str) -> dict[str, Any]:
    return json.loads(line, parse_constant=pytest.fail)


@pytest.mark.parametrize("kind", KINDS)
def test_a_collapse_of_images_is_recorded_shown_and_trained_on(tmp_path, monkeypatch, capfd, kind):
    collapsing(monkeypatch, kind)
    Fit(tmp_path, network=unet(), **IMAGES)()
    lines = (tmp_path / "rounds.jsonl").read_text().splitlines()
    assert len(lines) == 2
    for record in map(strict, lines):
        assert record["collapsed"] == kind
        assert record["n_nonfinite"] == (48 if kind == "nonfinite" else 0)
        assert math.isfinite(record["fd_pixels"]) and math.isfinite(record["mass_center"])
        assert table_line(record).endswith(f"  collapsed: {kind}")
        assert len(table_line(record)) > len(table_header("fd_pixels"))
    assert [line[:34] for line in warned(capfd.readouterr().err)] == [
        "warning: round 0 has collapsed: " + ("48" if kind == "nonfinite" else "it"),
        "warning: round 1 has collapsed: " + ("48" if kind == "nonfinite" else "it"),
    ]
    assert plot_run(Run(tmp_path)).stat().st_size > 10_000


@pytest.mark.parametrize("kind", ["nonfinite", "constant"])
def test_a_collapse_of_points_too(tmp_path, monkeypatch, kind):
    collapsing(monkeypatch, kind)
    Fit(tmp_path)()
    for line in (tmp_path / "rounds.jsonl").read_text().splitlines():
        assert strict(line)["collapsed"] == kind
    assert plot_run(Run(tmp_path)).exists()


def test_points_too_large_to_be_stored_are_not_finite(tmp_path, monkeypatch):
    sampling(monkeypatch, lambda x: x * 1e60)
    Fit(tmp_path, rounds=1)()
    (record,) = records(tmp_path)
    assert (record["collapsed"], record["n_nonfinite"]) == ("nonfinite", 48)
    sampling(monkeypatch, lambda x: x.sign() * 1e38)  # which can be
    Fit(tmp_path / "large", rounds=1)()
    (record,) = map(strict, (tmp_path / "large" / "rounds.jsonl").read_text().splitlines())
    assert record["collapsed"] is None and math.isfinite(record["fd_points"])


def test_an_ordinary_round_has_not_collapsed(tmp_path, capfd):
    Fit(tmp_path, network=unet(), **IMAGES)()
    assert [(r["collapsed"], r["n_nonfinite"]) for r in records(tmp_path)] == [(None, 0)] * 2
    assert not warned(capfd.readouterr().err)


@pytest.mark.parametrize(("options", "zero"), [({}, 0.0), ({"network": "unet", **IMAGES}, 128)])
def test_samples_that_are_not_finite_are_zero_and_counted(tmp_path, monkeypatch, options, zero):
    def fit(folder: Path) -> torch.Tensor:
        network = unet() if "network" in options else mlp()
        Fit(folder, rounds=1, **{**options, "network": network})()
        return rows_of(folder, 0)

    good = fit(tmp_path / "good")
    bad = []
    solve = sampler_module._solve

    def some(*args: Any) -> torch.Tensor:
        x = solve(*args)
        bad.append(x.flatten(1)[:, 0] > x.flatten(1)[:, -1])
        x.view(len(x), -1)[bad[-1], -1] = math.inf
        return x

    monkeypatch.setattr(sampler_module, "_solve", some)
    stored = fit(tmp_path / "bad")
    which = torch.cat(bad)
    assert 5 < which.sum() < 43
    assert (stored[which] == zero).all()
    assert torch.equal(stored[~which], good[~which])
    (record,) = records(tmp_path / "bad")
    assert (record["n_nonfinite"], record["collapsed"]) == (int(which.sum()), "nonfinite")


def test_the_validation_loss_of_a_broken_network_is_null(tmp_path):
    fit = Fit(tmp_path, rounds=1)
    fit.module.ema.register_forward_hook(lambda *args: args[-1] * math.nan)
    fit()
    (record,) = map(strict, (tmp_path / "rounds.jsonl").read_text().splitlines())
    assert record["val_loss"] is None and record["n_nonfinite"] == 48
    assert record["train_loss"] > 0


def dies(method: str, shard: int | None = None) -> type[GenerationLoop]:
    """A loop that dies before a method of round 1's second phase, or in its sampling."""

    def sample(plain: Any, trainer: Any, sampler: Any, folder: Path) -> bool:
        for done in range(shard or 0 if sampler.round else 0):
            list(sampler.write_shard(folder, done))
        if sampler.round and shard is not None:
            raise CrashError
        return plain(trainer, sampler, folder)

    def measure(plain: Any, trainer: Any, ending: Any, sampler: Any, folder: Path) -> Any:
        if sampler.round and method == "_measure":
            raise CrashError
        return plain(trainer, ending, sampler, folder)

    def commit(plain: Any, sampler: Any, *args: Any) -> None:
        plain(sampler, *args)
        if sampler.round and method == "_commit":
            raise CrashError

    return with_ending(sample_shards=sample, _measure=measure, _commit=commit)


@pytest.mark.parametrize("loop", [dies("", 3), dies("_measure"), dies("_commit")])
def test_the_count_survives_an_interruption(tmp_path, monkeypatch, loop):
    monkeypatch.setattr(sampler_module, "_solve", bad_samples)
    Fit(tmp_path / "whole")()
    with pytest.raises(CrashError):
        Fit(tmp_path / "broken", loop=loop)()
    Fit(tmp_path / "broken")()
    assert_same(outcome(tmp_path / "broken"), outcome(tmp_path / "whole"))


def test_counts_of_a_lost_checkpoints_samples_are_lost_with_them(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(sampler_module, "_solve", bad_samples)
        with pytest.raises(CrashError):
            Fit(tmp_path, loop=dies("_measure"))()
    # Round 1 is trained again, and its sampler is sound this time.
    (tmp_path / "checkpoints" / "last.ckpt").unlink()
    (tmp_path / "checkpoints" / "round-0000.ckpt").rename(tmp_path / "checkpoints" / "last.ckpt")
    Fit(tmp_path)()
    assert records(tmp_path)[1]["n_nonfinite"] == 0


@pytest.mark.slow
@pytest.mark.ddp
def test_the_count_does_not_depend_on_the_number_of_processes(tmp_path, monkeypatch, tiny_run):
    # Without training, the weights are the same to the last bit.
    untrained = {
        "model__init_from": tiny_run / "checkpoints" / "last.ckpt",
        "data__train_first_round": "false",
        "trainer__max_epochs": 1,
        "model__restart": "warm",
        "trainer__callbacks": "tiny_runs.BadSamples",
    }
    two = {"trainer__devices": 2, "trainer__strategy": "ddp"}
    done = command("fit", *arguments(tmp_path / "two", **untrained, **two))
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("round 0 has collapsed") == 1
    monkeypatch.setattr(sampler_module, "_solve", sampler_module._solve)  # put back afterwards
    cli.run_fit(arguments(tmp_path / "one", **untrained))
    assert sampler_module._solve is bad_samples and BadSamples
    (one,), (both,) = records(tmp_path / "one"), records(tmp_path / "two")
    assert 0 < one["n_nonfinite"] < 48
    assert (one["n_nonfinite"], one["collapsed"]) == (both["n_nonfinite"], both["collapsed"])
    assert torch.equal(rows_of(tmp_path / "one", 0), rows_of(tmp_path / "two", 0))


def test_a_damaged_shard_with_such_samples_is_made_again(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sampler_module, "_solve", bad_samples)
    cli.run_fit(arguments(tmp_path))
    assert records(tmp_path)[1]["n_nonfinite"] > 0
    shard = tmp_path / "pool" / "0001" / "shard-00002.npy"
    before = shard.read_bytes()
    shard.write_bytes(before[:-8])
    with pytest.raises(SystemExit, match="0"):
        pool.repair(tmp_path)
    assert shard.read_bytes() == before


def test_a_run_that_is_to_stop_ends_with_the_collapsed_round(tmp_path, monkeypatch, capsys):
    kept = {"loop__on_collapse": "stop", "trainer__max_epochs": 3}
    collapsing(monkeypatch, "constant")
    cli.run_fit(arguments(tmp_path / "run", **kept))
    said = capsys.readouterr()
    assert len(records(tmp_path / "run")) == 1
    ends = (
        "warning: the run has ended with round 0, which has collapsed (loop.on_collapse); "
        "--loop.on_collapse continue goes on"
    )
    assert warned(said.err)[1:] == [ends] and "collapsed: constant" in said.out
    # The same command ends at once, as that of a finished run.
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*.ckpt")}
    cli.run_fit(arguments(tmp_path / "run", **kept))
    assert warned(capsys.readouterr().err) == [ends]
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "run").rglob("*.ckpt")} == before
    kept["loop__on_collapse"] = "continue"
    cli.run_fit(arguments(tmp_path / "run", **kept))
    cli.run_fit(arguments(tmp_path / "whole", **kept))
    assert len(records(tmp_path / "run")) == 3
    assert_same(outcome(tmp_path / "run"), outcome(tmp_path / "whole"))


def test_a_round_that_an_interrupted_run_left_stops_it_too(tmp_path, monkeypatch):
    collapsing(monkeypatch, "constant")
    loop = dies("_measure")
    with pytest.raises(CrashError):
        Fit(tmp_path, rounds=3, loop=loop)()
    Fit(tmp_path, rounds=3, options={"on_collapse": "stop"})()
    assert len(records(tmp_path)) == 2


def test_loggers_get_the_flag(tmp_path, monkeypatch):
    collapsing(monkeypatch, "constant")
    fit = Fit(tmp_path / "run", rounds=1)
    logger = CSVLogger(tmp_path / "csv")
    fit.trainer.loggers = [logger]
    fit()
    (path,) = tmp_path.rglob("metrics.csv")
    (logged,) = csv.DictReader(path.read_text().splitlines())
    assert (logged["round/collapsed"], logged["round/n_nonfinite"]) == ("True", "0")
