"""W&B down, slow, without a key, killed, unable to write: the run is the same, and says so."""

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest
import wandb
from tiny_runs import arguments, command, records, warned, without_seconds
from wandb_faults import hurt, useless_server

from lightning_collapse.commands.fit import run_fit
from lightning_collapse.lit.loggers import wandb_mirror as mirrors
from lightning_collapse.lit.loggers import wandb_process
from lightning_collapse.runs.lock import RunFolder

KEY = "a" * 40
RECORD = {"round": 0, "round/mean": 0.5}


def words(run: Path, **changed) -> list[str]:
    """A tiny run's command line, with W&B as it is by default."""
    line = arguments(run, **changed)
    at = line.index("--trainer.logger")
    return line[:at] + line[at + 2 :]


@pytest.fixture
def no_account(monkeypatch, tmp_path):
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))  # where a key may be kept


def rounds_in(folder: Path) -> list[int]:
    """The rounds that an offline run has recorded, as W&B's own reader tells."""
    text = subprocess.run(
        ["wandb", "leet", "inspect", "--json", *folder.glob("*.wandb")],
        capture_output=True,
        text=True,
        check=True,
        env={
            **os.environ,
            "PATH": f"{Path(wandb.__file__).parents[4] / 'bin'}:{os.environ['PATH']}",
        },
    ).stdout
    return [int(n) for n in re.findall(r'"history":.*?"round":(\d+)', text)]


def folders(text: str) -> list[Path]:
    """What a warning says to sync."""
    (named,) = re.findall(r"`wandb sync ([^`]+)`", text)
    return [Path(name) for name in named.split()]


# The mirror by itself


def mirrored(run: Path, picture: Path | None = None) -> None:
    mirror = mirrors.wandb_mirror(RunFolder(run), {})
    for r in (0, 1):
        mirror.send({"round": r}, {} if picture is None else {"round/samples": str(picture)})
    mirror.finalize("success")


def test_without_a_key_it_is_offline_and_says_what_to_do(tmp_path, no_account, monkeypatch, capfd):
    monkeypatch.setenv("WANDB_MODE", "online")
    mirrored(tmp_path / "run")
    said = capfd.readouterr().err
    assert said.startswith("warning: W&B has not started (No API key configured")
    assert said.count("\n") == 1
    (folder,) = folders(said)
    assert rounds_in(folder) == [0, 1]


def test_by_default_nothing_is_said(tmp_path, no_account, capfd):
    mirrored(tmp_path / "run")
    assert capfd.readouterr() == ("", "")
    assert rounds_in(tmp_path / "run" / "wandb" / "latest-run") == [0, 1]


def test_where_it_is_disabled_there_is_none(tmp_path, no_account, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert mirrors.wandb_mirror(RunFolder(tmp_path), {}) is False


@pytest.mark.parametrize("which", ["core", "mirror"])
def test_the_death_of_a_process_is_told_once(tmp_path, no_account, capfd, which):
    mirror = mirrors.wandb_mirror(RunFolder(tmp_path), {})
    mirror.send({"round": 0})
    hurt(tmp_path, which, signal.SIGKILL)
    for r in (1, 2, 3):
        mirror.send({"round": r})
    mirror.finalize("success")
    said = capfd.readouterr().err
    assert said.count("\n") == 1 and said.startswith("warning: W&B"), said
    kept = [r for folder in folders(said) for r in rounds_in(folder)]
    assert kept == [0, 1, 2, 3] if which == "core" else kept in ([], [0])


def test_what_hangs_is_ended(tmp_path, no_account, monkeypatch, capfd):
    monkeypatch.setattr(mirrors, "_PATIENCE", 1)
    mirror = mirrors.wandb_mirror(RunFolder(tmp_path), {})
    mirror.send({"round": 0})
    hurt(tmp_path, "mirror", signal.SIGSTOP)
    start = time.monotonic()
    for _ in range(3000):  # far more than a pipe holds
        mirror.send({"round": 1, "text": "x" * 200})
    assert time.monotonic() - start < 1
    mirror.finalize("success")
    assert time.monotonic() - start < 5
    said = capfd.readouterr().err
    assert said.startswith("warning: W&B's process was killed") and said[-1] == "\n"
    assert said.count("\n") == 1


def test_a_folder_that_cannot_be_written(tmp_path, no_account, capfd):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "wandb").write_text("a file in its place")
    mirrored(tmp_path / "run")
    assert capfd.readouterr().err.count("warning: W&B") <= 1


class FakeRun:
    """W&B's run, each of whose calls to `log` may raise."""

    def __init__(self, folder="one", fails=(), resumed=False, step=0):
        self.settings = wandb.Settings()
        self.folder, self.fails, self.logged = folder, list(fails), []
        self.resumed, self.step, self.preempted, self.status = resumed, step, False, None

    def log(self, values, step, commit):
        if self.fails and self.fails.pop(0):
            raise ValueError("no\nlogging")
        assert commit and step >= self.step, "W&B drops this"
        self.logged.append(values)
        self.step = step + 1

    def mark_preempting(self):
        self.preempted = True

    def finish(self, exit_code):
        self.status = exit_code


def message(r, known=False, step=None):
    return json.dumps({"log": {"round": r}, "pictures": {}, "step": step, "known": known})


@pytest.fixture
def mirror_to(monkeypatch):
    """Has lines mirrored to fakes, one after another; gives what was told."""

    def run(lines, *fakes):
        runs, told = iter(fakes), []
        monkeypatch.setattr(wandb_process, "_init", lambda mode, options: next(runs))
        monkeypatch.setattr(wandb_process, "_folder", lambda run: run.folder)
        monkeypatch.setattr(wandb, "teardown", lambda: None)
        wandb_process._mirror(lines, told.append, online=False)
        return told

    return run


def test_a_call_that_raises_has_w_and_b_start_anew_with_the_whole_history(mirror_to):
    first, second = FakeRun("first", [False, True]), FakeRun("second", [])
    told = mirror_to([message(r) for r in range(3)], first, second)
    assert first.logged == [{"round": 0}]
    assert second.logged == [{"round": 0}, {"round": 1}, {"round": 2}]
    assert told == [
        "W&B has stopped (no logging); the run goes on offline, and `wandb sync first second` "
        "sends it"
    ]


def test_only_what_w_and_b_does_not_have_is_repeated(mirror_to):
    lines = [message(0, known=True, step=4), message(1, step=8)]
    offline, online = FakeRun(), FakeRun(resumed=True, step=20)
    mirror_to(lines, offline)
    mirror_to(lines, online)
    assert offline.logged == [{"round": 0}, {"round": 1}] and offline.step == 9
    assert online.logged == [{"round": 1}] and online.step == 21


@pytest.mark.parametrize(
    ("ends", "preempted", "status"),
    [([], False, 0), ([{"status": 1, "preempted": False}], False, 1)]
    + [([{"status": 143, "preempted": True}], True, 143)],
)
def test_w_and_b_is_told_how_the_run_has_ended(mirror_to, ends, preempted, status):
    run = FakeRun()
    mirror_to([message(0), *map(json.dumps, ends)], run)
    assert (run.preempted, run.status) == (preempted, status)


@pytest.mark.parametrize(
    ("number", "status", "preempted"), [(signal.SIGTERM, 143, True), (signal.SIGINT, 130, False)]
)
def test_a_signal_has_w_and_b_start_the_run_again(
    tmp_path, monkeypatch, number, status, preempted
):
    told = []
    monkeypatch.setattr(mirrors.WandbMirror, "_send", lambda self, message: told.append(message))
    monkeypatch.setattr(mirrors.WandbMirror, "save", lambda self: None)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("KILL_AT", f"0,1,{number:d}")
    with pytest.raises(SystemExit):
        run_fit(words(tmp_path, trainer__callbacks="tiny_runs.KillAt"))
    assert told == [{"status": status, "preempted": preempted}]


def described(run: Path, seed: int, **more) -> dict:
    parts = {"data": {"seed": seed, "regime": {"class_path": "a.b.Replace"}, **more}}
    config = {"seed_everything": seed, "model": {"seed": seed}, **parts}
    return mirrors.described(RunFolder(run), config)


def test_runs_that_differ_by_their_seed_alone_are_one_group(tmp_path, no_account, monkeypatch):
    first, second = described(tmp_path, 0), described(tmp_path, 1)
    assert first["group"] == second["group"] != described(tmp_path, 0, train_rows=9)["group"]
    assert first["group"].startswith("Replace-")
    assert (first["job_type"], first["tags"]) == ("fit", ["Replace"])
    for name, value in {"RUN_GROUP": "mine", "TAGS": "a,b", "RUN_ID": "other"}.items():
        monkeypatch.setenv(f"WANDB_{name}", value)
    told = described(tmp_path, 0)
    assert (told["group"], told["tags"]) == ("mine", ["a", "b", "Replace"])
    assert told["id"] == RunFolder(tmp_path).id


def test_an_agents_run_is_online_and_has_the_agents_id(tmp_path, no_account, monkeypatch):
    monkeypatch.setenv("WANDB_SWEEP_ID", "sweep")
    monkeypatch.setenv("WANDB_RUN_ID", "given")
    assert described(tmp_path, 0)["id"] == "given"
    assert mirrors.wandb_mirror(RunFolder(tmp_path), {})._online


@pytest.mark.parametrize("own", [pytest.param(False, marks=pytest.mark.slow), True])
def test_a_run_that_goes_on_offline_repeats_its_earlier_rounds(
    tmp_path, no_account, monkeypatch, own
):
    logger = {
        "class_path": "pytorch_lightning.loggers.WandbLogger",
        "init_args": {"offline": True},
    }
    run = tmp_path / "run"
    monkeypatch.chdir(tmp_path)
    for rounds in (1, 2):
        # W&B names folders by the second.
        time.sleep(1)
        line = words(run, trainer__max_epochs=rounds)
        run_fit([*line, *(["--trainer.logger", json.dumps(logger)] if own else [])])
        wandb.finish()
    made = sorted(run.glob("wandb/offline-run-*"))
    assert [rounds_in(folder) for folder in made] == [[0], [0, 1]]
    assert all(folder.name.endswith(RunFolder(run).id) for folder in made)
    assert not (tmp_path / "wandb").exists()


def test_any_logger_that_raises_costs_a_warning(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setattr(mirrors.WandbMirror, "send", lambda *_, **__: 1 / 0)
    monkeypatch.setattr(mirrors.WandbMirror, "save", lambda self: None)
    with pytest.warns(UserWarning, match=r"WandbMirror did not take round .: ZeroDivisionError"):
        run_fit(words(tmp_path))
    assert [record["round"] for record in records(tmp_path)] == [0, 1]


# Whole runs


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    run = tmp_path_factory.mktemp("plain")
    done = command("fit", *arguments(run))
    assert done.returncode == 0, done.stderr
    return [without_seconds(record) for record in records(run)]


def check(run: Path, plain, *, patience: float, callback: str = "Clock", **environment) -> str:
    """Makes a run, which must be the plain one, and start at once; gives what it says."""
    start = time.monotonic()
    callbacks = f"[wandb_faults.Clock, wandb_faults.{callback}]"
    line = words(run, trainer__callbacks=callbacks)
    done = command("fit", *line, HOME=str(run), **environment)
    seconds = time.monotonic() - start
    assert done.returncode == 0, done.stderr
    assert [without_seconds(record) for record in records(run)] == plain
    first, last = (
        float(s) for s in re.findall(r"(?:first step|all steps): ([\d.]+)", done.stdout)[:2]
    )
    print(f"first step {first}, all {last}, whole command {seconds:.1f}")
    assert first < 5 and seconds - last < patience
    said = "".join(f"{line}\n" for line in warned(done.stderr))
    assert all(line.startswith("warning: ") for line in said.splitlines()), said
    assert "anonymous" not in said
    return said


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["refused", "black hole", "500", "no key"])
def test_a_run_with_a_server_of_no_use(tmp_path, plain, no_account, kind):
    with useless_server(kind) as url:
        account = {} if kind == "no key" else {"WANDB_API_KEY": KEY, "WANDB_BASE_URL": url}
        said = check(tmp_path, plain, patience=60, WANDB_MODE="online", **account)
    assert said.count("\n") == 1 and "W&B has not started" in said
    (folder,) = folders(said)
    assert rounds_in(folder) == [0, 1]


@pytest.mark.slow
@pytest.mark.parametrize(
    "fault", ["core,SIGKILL", "core,SIGSTOP", "mirror,SIGKILL", "mirror,SIGSTOP"]
)
def test_a_run_whose_w_and_b_is_hurt(tmp_path, plain, no_account, fault):
    said = check(tmp_path, plain, patience=80, callback="Hurt", HURT=fault)
    assert said.count("\n") == 1, said
    # The hurt callback has told the number of W&B's own process.
    core = Path(f"/proc/{(tmp_path / 'core').read_text()}")
    assert not core.exists() or "wandb-core" not in (core / "cmdline").read_text()


@pytest.mark.slow
@pytest.mark.ddp
def test_two_processes_with_a_black_hole(tmp_path, no_account):
    with useless_server("black hole") as url:
        said = command(
            "fit",
            *words(tmp_path, trainer__devices=2, trainer__strategy="ddp"),
            HOME=str(tmp_path),
            WANDB_MODE="online",
            WANDB_API_KEY=KEY,
            WANDB_BASE_URL=url,
        )
    assert said.returncode == 0, said.stderr
    assert said.stderr.count("warning: W&B") == 1
    assert [record["round"] for record in records(tmp_path)] == [0, 1]
    assert len(list(tmp_path.glob("wandb/*run-*"))) == 2  # online, and offline
