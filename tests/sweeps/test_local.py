"""Nothing is lost and nothing runs twice, whoever is killed."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from driver import study
from tiny_runs import CONFIGS, arguments, assert_same, unshared

from lightning_collapse.runs.lock import RunFolder
from lightning_collapse.sweeps.claims import Claims
from lightning_collapse.sweeps.local import TRIES, slots
from lightning_collapse.sweeps.study import Study

HERE = Path(__file__).parent
PLAN = """
name: stubs
config: any.yaml
set: {trainer.max_epochs: ROUNDS}
grid:
  regime: {LABELS}
  seed: SEEDS
"""


class Sweep:
    """A study of stubs in a folder, and its drivers."""

    words: tuple[str, ...] = ()
    name = "stub.py"

    def __init__(self, folder, labels=("a", "b"), seeds=2, rounds=3, slots="0,1", seconds=0.02):
        self.folder, self.slots, self.seconds = folder, slots, seconds
        self.marks = folder / "marks"
        self.marks.mkdir()
        (folder / "any.yaml").touch()
        table = ", ".join(f"{name}: {{data.regime: {name}}}" for name in labels)
        text = PLAN.replace("ROUNDS", str(rounds)).replace("LABELS", table)
        (folder / "plan.yaml").write_text(text.replace("SEEDS", str(list(range(seeds)))))

    def start(self) -> subprocess.Popen[str]:
        marks = {"MARKS": str(self.marks), "ROUND_SECONDS": str(self.seconds)}
        # There are the locks of GPUs.
        marks["TMPDIR"] = str(self.marks)
        environment = {**os.environ, **marks, "PYTHONPATH": str(HERE.parent.parent)}
        environment.pop("OMP_NUM_THREADS", None)
        return subprocess.Popen(
            [sys.executable, str(HERE / "driver.py"), "plan.yaml", self.slots, *self.words],
            cwd=self.folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            # Tests in the background of a shell ignore it, and so would the driver.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def finish(self) -> tuple[int, str]:
        driver = self.start()
        said, _ = driver.communicate(timeout=900)
        return driver.returncode, said

    @property
    def study(self):
        here = os.getcwd()
        os.chdir(self.folder)
        try:
            return study(Path("plan.yaml"))
        finally:
            os.chdir(here)

    @property
    def log(self) -> list[str]:
        log = self.marks / "log"
        return log.read_text().splitlines() if log.exists() else []

    @property
    def events(self) -> list[dict]:
        path = self.folder / "sweeps/stubs/.claims/events.jsonl"
        return (
            [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        )

    def children(self) -> list[int]:
        """Processes of runs that are alive."""
        found = []
        for event in self.events:
            if event["event"] == "start" and alive(event["pid"], self.name):
                found.append(event["pid"])
        return found

    def assert_whole(self, rounds_made_once: bool = True) -> None:
        """All runs are done; each start has an end; no two were ever at one place."""
        log, events = self.log, self.events
        assert not [line for line in log if line.startswith("overlap")]
        made = Counter(line for line in log if line.startswith("round"))
        planned = len(self.study.runs) * self.study.runs[0].rounds
        assert len(made) <= planned
        kinds = Counter(event["event"] for event in events)
        assert kinds["start"] == kinds["end"]
        for run in self.study.runs:
            own = [event["event"] for event in events if event["run"] == run.name]
            assert own == ["start", "end"] * (len(own) // 2), "two runs at once"
            assert (self.folder / run.folder / "pool" / f"{run.rounds - 1:04d}").is_dir()
        last = {event["run"]: event.get("how") for event in events}
        assert set(last.values()) <= {"done", "stopped"}


def alive(pid: int, name: str) -> bool:
    try:
        return name in Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return False


def wait_for(condition, seconds=20.0):
    until = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < until
        time.sleep(0.01)
    return found


def kill(pid: int, number: int = signal.SIGKILL) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def test_a_study_is_carried_through_and_then_there_is_nothing_to_do(tmp_path):
    sweep = Sweep(tmp_path)
    status, said = sweep.finish()
    assert status == 0, said
    assert said.splitlines()[-1] == "stubs: 4 done, 0 running, 0 waiting, 0 failed"
    sweep.assert_whole()
    n = len(sweep.events)
    assert sweep.finish()[0] == 0 and len(sweep.events) == n == 8


def test_a_run_waits_for_the_one_that_makes_its_round_0(tmp_path):
    sweep = Sweep(tmp_path, labels="abc", seeds=1, slots="0,1,2")
    assert sweep.finish()[0] == 0
    log = sweep.log
    first = log[0].split()[1]
    assert log.index(f"round {first} 0") < min(
        i for i, line in enumerate(log) if line.startswith("start") and first not in line
    )


def test_a_run_that_fails_is_told_and_left_alone_until_forgiven(tmp_path):
    sweep = Sweep(tmp_path, labels=("a", "failing"), seeds=1)
    status, said = sweep.finish()
    assert status == 1
    assert "failed with status 2: error: data.source = x: no such file; see sweeps/stubs/" in said
    n = len(sweep.events)
    assert sweep.finish()[0] == 1 and len(sweep.events) == n
    (tmp_path / "marks" / "mended").touch()
    os.chdir(tmp_path)
    made = sweep.study
    Claims(made).forgive([run for run in made.runs if "failing" in run.name])
    assert sweep.finish()[0] == 0


def test_a_run_that_is_killed_each_time_is_given_up_by_this_driver_alone(tmp_path):
    sweep = Sweep(tmp_path, labels="a", seeds=1, rounds=2, seconds=5)
    driver = sweep.start()
    killed: set[int] = set()
    for _ in range(TRIES):
        killed.add(pid := wait_for(lambda: set(sweep.children()) - killed).pop())
        kill(pid)
    said, _ = driver.communicate(timeout=30)
    assert driver.returncode == 1 and f"killed {TRIES} times" in said
    assert [event.get("how") for event in sweep.events] == [None, "stopped"] * TRIES
    sweep.seconds = 0.01
    assert sweep.finish()[0] == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_driver_that_is_stopped_lets_its_runs_save(tmp_path, number):
    sweep = Sweep(tmp_path, seconds=0.3)
    driver = sweep.start()
    wait_for(lambda: len(sweep.children()) == 2)
    time.sleep(0.2)
    driver.send_signal(number)
    said, _ = driver.communicate(timeout=30)
    assert driver.returncode == 128 + number and "the same command goes on" in said
    assert sum(line.startswith("saved") for line in sweep.log) == 2
    sweep.seconds = 0.01
    assert sweep.finish()[0] == 0
    sweep.assert_whole()


def test_children_of_a_killed_driver_save_and_stop(tmp_path):
    sweep = Sweep(tmp_path, seconds=0.3)
    driver = sweep.start()
    wait_for(lambda: len(sweep.children()) == 2)
    time.sleep(0.2)
    kill(driver.pid)
    driver.communicate()
    wait_for(lambda: not sweep.children(), 3)
    assert sum(line.startswith("saved") for line in sweep.log) == 2
    sweep.seconds = 0.01
    assert sweep.finish()[0] == 0
    sweep.assert_whole()


def test_the_end_of_a_run_that_no_driver_has_seen_is_noted_by_the_next(tmp_path):
    sweep = Sweep(tmp_path)
    assert sweep.finish()[0] == 0
    path = tmp_path / "sweeps/stubs/.claims/events.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    assert sweep.finish()[0] == 0
    sweep.assert_whole()
    assert sweep.events[-1]["how"] == "done"


def torment(sweep: Sweep, kills: int, seed: int, pause: float = 0.1) -> Counter[str]:
    """Kills drivers, children and both until it has killed often enough; two drivers at once."""
    chance, counted = random.Random(seed), Counter[str]()
    drivers: list[subprocess.Popen[str]] = []
    while counted["drivers killed"] + counted["runs killed"] < kills:
        for driver in [driver for driver in drivers if driver.poll() is not None]:
            drivers.remove(driver)
            driver.communicate()
        while len(drivers) < 2:
            drivers.append(sweep.start())
            counted["drivers"] += 1
        time.sleep(chance.uniform(0.0, pause))
        what = chance.choice([*["run"] * 6, "driver", "both"])
        if what != "run":
            kill(chance.choice(drivers).pid)
            counted["drivers killed"] += 1
        if what != "driver":
            until = time.monotonic() + 1
            while not (found := sweep.children()) and time.monotonic() < until:
                time.sleep(0.01)
            for pid in found[:1]:
                kill(pid)
                counted["runs killed"] += 1
    for driver in drivers:
        kill(driver.pid)
        driver.communicate()
    return counted


@pytest.mark.parametrize(
    ("kills", "rounds"),
    [pytest.param(50, 12), pytest.param(1000, 150, marks=pytest.mark.slow)],
)
def test_whoever_is_killed_nothing_is_lost_and_nothing_runs_twice(tmp_path, kills, rounds):
    sweep = Sweep(tmp_path, labels="abc", seeds=3, rounds=rounds, seconds=0.05)
    counted = torment(sweep, kills, seed=0)
    sweep.seconds = 0.001
    while sweep.finish()[0]:
        pass
    sweep.assert_whole()
    starts = sum(event["event"] == "start" for event in sweep.events)
    print(dict(counted), starts, "starts")


class RealSweep(Sweep):
    """The same of tiny runs of points."""

    words, name = ("fit",), "lightning_collapse"

    def __init__(self, folder):
        super().__init__(folder, labels=("Replace", "Accumulate"), seeds=1, rounds=3)
        words = arguments("-", trainer__max_epochs=3)[4:]
        told = yaml.safe_load((folder / "plan.yaml").read_text())
        told["config"] = str(CONFIGS / "points_replace.yaml")
        told["set"] = {
            key.removeprefix("--"): value
            for key, value in zip(words[::2], words[1::2], strict=True)
        }
        (folder / "plan.yaml").write_text(yaml.safe_dump(told, sort_keys=False))


def test_two_studies_share_no_gpu(tmp_path):
    for name in "ab":
        (tmp_path / name).mkdir()
    one, other = (Sweep(tmp_path / name, slots="0", seconds=0.05) for name in "ab")
    other.marks = one.marks
    first, second = one.start(), other.start()
    for driver in (first, second):
        driver.communicate(timeout=60)
        assert driver.returncode == 0
    starts = [line for line in one.log if line.startswith("start")]
    assert len(starts) == 8 and not [line for line in one.log if line.startswith("overlap slot")]


def test_what_runs_without_a_driver_is_running_and_left_alone(tmp_path):
    sweep = Sweep(tmp_path, seeds=1, labels=("a",))
    (run,) = sweep.study.runs
    with RunFolder(tmp_path / run.folder).locked():
        claims = Claims(
            Study(sweep.study.plan, tmp_path, [replace(run, folder=tmp_path / run.folder)])
        )
        assert claims.counts()["running"] == 1
        driver = sweep.start()
        time.sleep(1.5)
        assert driver.poll() is None and sweep.log == []
    driver.communicate(timeout=60)
    assert driver.returncode == 0
    assert [event["event"] for event in sweep.events] == ["start", "end"]


def test_a_run_that_ends_well_without_its_rounds_has_failed(tmp_path):
    sweep = Sweep(tmp_path, seeds=1, labels=("idle",))
    status, said = sweep.finish()
    assert status == 1 and "failed with status 0" in said
    assert [event["event"] for event in sweep.events] == ["start", "end"]


@pytest.mark.slow
def test_real_runs_end_as_if_nobody_had_been_killed(tmp_path):
    for name in ("killed", "left alone"):
        (tmp_path / name).mkdir()
    sweep, quiet = RealSweep(tmp_path / "killed"), RealSweep(tmp_path / "left alone")
    counted = torment(sweep, 60, seed=1, pause=10)
    while sweep.finish()[0]:
        pass
    assert quiet.finish()[0] == 0
    print(dict(counted), sum(event["event"] == "start" for event in sweep.events), "starts")
    kinds = Counter(event["event"] for event in sweep.events)
    assert kinds["start"] == kinds["end"]
    for run, other in zip(sweep.study.runs, quiet.study.runs, strict=True):
        assert_same(unshared(sweep.folder / run.folder), unshared(quiet.folder / other.folder))


def test_slots_are_told_apart():
    assert [slot.name for slot in slots("0,1")] == ["0", "1"]
    assert [slot.name for slot in slots("cpu,cpu")] == ["cpu-0", "cpu-1"]
    assert [slot.name for slot in slots("0,1,00")] == ["0", "1", "0.1"]
    assert slots("1,1")[1].environment == {"CUDA_VISIBLE_DEVICES": "1"}
    assert slots("3")[0].environment == {"CUDA_VISIBLE_DEVICES": "3"}
    assert slots("cpu")[0].environment["CUDA_VISIBLE_DEVICES"] == ""


def test_a_gpu_is_named_as_the_driver_or_whoever_gave_it_does(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-8932f937, MIG-1")
    assert [slot.name for slot in slots(None)] == ["GPU-8932f937", "MIG-1"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert {slot.name[:4] for slot in slots(None)} == {"cpu-"}


@pytest.mark.parametrize("devices", ["gpu", "0.1", "²", "", "-1"])
def test_other_devices_are_refused(devices):
    with pytest.raises(ValueError, match="devices = "):
        slots(devices)
