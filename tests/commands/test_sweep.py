"""The command: what it says before it starts anything, and a tiny study from end to end."""

import json
import shutil
import subprocess
import sys

import pytest
import yaml
from tiny_runs import CONFIGS, arguments, records

from lightning_collapse.sweeps.plan import Plan
from lightning_collapse.sweeps.study import Checked, Study

# Runs a command line; tells whether it has imported torch, and what it cost.
_TIMED = """
import json, sys, time
from lightning_collapse.__main__ import main
main()
print(json.dumps(["torch" in sys.modules, time.process_time()]))
"""

TOY = {
    "name": "toys",
    "toy": "gaussian",
    "set": {"rounds": 3, "replicas": 4, "n": 20, "lambdas": "0.5"},
    "grid": {"regime": ["Turnover"], "seed": [0]},
}


@pytest.fixture
def planned(tmp_path, monkeypatch):
    """Writes a plan in a working folder of its own; gives its path."""
    monkeypatch.chdir(tmp_path)

    def write(**told):
        path = tmp_path / "plan.yaml"
        path.write_text(yaml.safe_dump(told, sort_keys=False))
        return path

    return write


def tiny(**changed):
    """The options of a tiny run of points, as a plan has them."""
    words = arguments("-", **changed)[4:]
    options = {k.removeprefix("--"): v for k, v in zip(words[::2], words[1::2], strict=True)}
    return {"config": str(CONFIGS / "points_replace.yaml"), "name": "tiny", "set": options}


REGIMES = {
    "replace": {"data.regime": "Replace"},
    "accumulate": {"data.regime": "Accumulate"},
}
CONTROL = {"data.regime": "Replace", "data.regime.synthetic_fraction": 0}


def test_a_study_runs_shares_round_0_and_is_then_done(cli, planned, tmp_path):
    plan = planned(**tiny(trainer__max_epochs=1), grid={"seed": [0]}, control=CONTROL)
    status, said, errors = cli("sweep", plan, "--devices", "cpu")
    assert status == 0, said + errors
    assert said.splitlines()[-1] == "tiny: 2 done, 0 running, 0 waiting, 0 failed"
    folder = tmp_path / "sweeps" / "tiny"
    runs = sorted(path for path in folder.iterdir() if (path / "pool").is_dir())
    assert [run.name.rpartition("-")[0] for run in runs] == [
        "control-seed=0",
        "seed=0",
    ]
    shared = [records(run)[0].get("shared_from") for run in runs]
    assert shared == [runs[1].name, None]
    assert cli("sweep", plan)[:2] == (0, "nothing to do: 2 done, 0 running, 0 waiting, 0 failed\n")
    status, said, _ = cli("sweep", plan, "--status")
    assert status == 0 and said.count("done ") >= 2


def test_what_is_kept_of_a_study_is_not_run_again_on_another_machine(cli, planned, tmp_path):
    options = tiny(trainer__max_epochs=1)
    first, kept = planned(**options, grid={"seed": [0]}, control=None), ("--records", "kept")
    assert cli("sweep", first, "--devices", "cpu", *kept)[0] == 0
    (run,) = (tmp_path / "sweeps/tiny").glob("seed=0-????????")
    (there,) = (tmp_path / "kept/tiny").iterdir()
    assert sorted(path.name for path in there.iterdir()) == ["config.yaml", "rounds.jsonl"]
    assert (there / "rounds.jsonl").read_bytes() == (run / "rounds.jsonl").read_bytes()
    shutil.rmtree(tmp_path / "sweeps")
    status, said, _ = cli("sweep", first, *kept)
    assert (status, said) == (0, "nothing to do: 1 done, 0 running, 0 waiting, 0 failed\n")
    # As SLURM is told, which there need not be for that.
    assert cli("sweep", first, *kept, "--launcher", "slurm")[:2] == (status, said)
    more = planned(**options, grid={"seed": [0, 1]}, control=None)
    shutil.rmtree(tmp_path / "sweeps")
    status, said, _ = cli("sweep", more, "--launcher", "print", *kept)
    assert status == 0 and said.count("\n") == 1 and "seed=1" in said


def test_a_run_that_has_failed_is_told_and_tried_again_when_asked(cli, planned, tmp_path):
    # More rows than there are, which shows once they are read.
    plan = planned(**tiny(data__train_rows=60), grid={"seed": [0]}, control=None)
    status, _, errors = cli("sweep", plan, "--devices", "cpu")
    assert status == 1 and "failed with status 2: error: data.train_rows = 60: " in errors
    status, said, errors = cli("sweep", plan)
    assert status == 1 and said == "nothing to do: 0 done, 0 running, 0 waiting, 1 failed\n"
    assert "data.train_rows = 60" in errors
    assert "see sweeps/tiny/seed=0-" in errors and "--retry-failed tries them again" in errors
    status, said, _ = cli("sweep", plan, "--retry-failed", "--launcher", "print")
    assert status == 0 and said.startswith("lightning-collapse fit ")
    assert "0 waiting, 1 failed" in cli("sweep", plan, "--status")[1]
    assert cli("sweep", plan, "--retry-failed", "--devices", "cpu")[0] == 1
    assert "0 waiting, 1 failed" in cli("sweep", plan, "--status")[1]
    events = (tmp_path / "sweeps/tiny/.claims/events.jsonl").read_text()
    assert events.count('"start"') == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--devices", "999"], "devices = 999: there is no GPU 999 here, but "),
        (["--within", "plan.yaml"], "within = plan.yaml: is a file; name a folder"),
        (["--records", "plan.yaml"], "records = plan.yaml: is a file; name a folder"),
    ],
)
def test_places_that_there_are_not_are_refused_in_one_line(cli, planned, words, said):
    plan = planned(**tiny(), grid={"seed": [0]}, control=CONTROL)
    status, _, errors = cli("sweep", plan, *words)
    assert status == 2 and errors.startswith(f"error: {said}") and errors.count("\n") == 1


def test_a_toy_that_is_no_experiment_is_refused(cli, planned):
    told = {"name": "s", "toy": "gmm-samples", "grid": {"seed": [0]}}
    status, _, errors = cli("sweep", planned(**told))
    assert status == 2 and "toy = gmm-samples: is no experiment" in errors


def test_how_a_changed_plan_stands_is_not_told(cli, planned, tmp_path):
    Study.of(Plan.read(planned(**TOY)), lambda words: Checked("00000000"), tmp_path / "s").open()
    plan = planned(**{**TOY, "set": {**TOY["set"], "n": 30}})
    status, said, errors = cli("sweep", plan, "--status", "--within", "s")
    assert (status, said) == (2, "") and "have changed since" in errors


def test_print_gives_the_commands_and_starts_nothing(cli, planned, tmp_path):
    plan = planned(**tiny(), grid={"regime": REGIMES, "seed": [0, 1]})
    status, said, errors = cli("sweep", plan, "--launcher", "print")
    assert status == 0 and "collapse cannot be told from retraining" in errors
    assert said.count("lightning-collapse fit --config ") == 4
    assert not (tmp_path / "sweeps").exists()


def test_a_study_that_was_started_is_told_of_without_parsing_its_runs(planned, tmp_path):
    seeds = list(range(100))
    plan = Plan.read(planned(**tiny(), grid={"seed": seeds}, control=None))
    parsed = []

    def check(words):
        parsed.append(words)
        return Checked(f"{len(parsed):08x}", "", 2)

    Study.of(plan, check).open()
    assert len(parsed) == 100
    for asked in (["--status"], ["--launcher", "print"]):
        words = [sys.executable, "-c", _TIMED, "sweep", str(plan.path), *asked]
        told = subprocess.run(words, capture_output=True, text=True, check=True).stdout
        slow, seconds = json.loads(told.splitlines()[-1])
        assert not slow and seconds < 2 and told.count("seed=99-00000064") >= 1
    # Of another configuration, each is parsed again.
    with open(CONFIGS / "points_replace.yaml") as file:
        (tmp_path / "other.yaml").write_text(file.read())
    other = planned(**{**tiny(), "config": "other.yaml"}, grid={"seed": seeds}, control=None)
    Study.of(Plan.read(other), check, tmp_path / "elsewhere").open()
    assert len(parsed) == 200
    (tmp_path / "other.yaml").write_text("trainer: {max_epochs: 3}\n")
    Study.of(Plan.read(other), check, tmp_path / "elsewhere")
    assert len(parsed) == 300


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"data.regime.synthetic_fraction": 1.5}, "data.regime.synthetic_fraction = 1.5: must be"),
        ({"data.regime.fraction": 1}, "fraction: unknown key"),
        ({"loop.sampling.solver": "huen"}, "must be one of"),
        ({"model.init_from": "none.ckpt", "model.restart": "warm"}, "model.init_from = none.ckpt"),
    ],
)
def test_a_wrong_option_of_any_run_is_told_before_the_first_starts(
    cli, planned, tmp_path, changed, said
):
    bad = {**REGIMES, "bad": {"data.regime": "Replace", **changed}}
    status, out, errors = cli("sweep", planned(**tiny(), grid={"regime": bad, "seed": [0]}))
    assert status == 2 and out == "" and said in errors and errors.count("\n") == 1
    assert errors.startswith("error: regime=bad-seed=0: ")
    assert not (tmp_path / "sweeps").exists()


def test_what_changes_no_result_does_not_make_another_run(cli, planned, tmp_path):
    same = {"a": {"trainer.devices": 1}, "b": {"trainer.devices": 2, "trainer.strategy": "ddp"}}
    status, _, errors = cli("sweep", planned(**tiny(), grid={"where": same}))
    assert status == 2 and "where=a and where=b are the same run" in errors
    other = {"a": {"loop.features": "Points"}, "b": {}}
    plan = planned(**tiny(), grid={"features": other})
    assert cli("sweep", plan, "--launcher", "print")[0] == 0


def test_a_plan_of_toys_runs_too(cli, planned, tmp_path):
    plan = planned(**TOY)
    status, said, errors = cli("sweep", plan, "--devices", "cpu")
    assert status == 0, said + errors
    (folder,) = (tmp_path / "sweeps/toys").glob("regime=Turnover-seed=0-????????")
    assert json.loads((folder / "summary.json").read_text())
    assert cli("sweep", plan)[1].startswith("nothing to do: 1 done")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"roundz": 3}, "roundz: unknown key; did you mean rounds?"),
        ({"n": 1}, "n = 1: must be at least 2"),
        ({"regime_options": {"sise": 3}}, "regime_options.sise: unknown"),
    ],
)
def test_a_wrong_option_of_a_toy_is_told_first(cli, planned, tmp_path, changed, said):
    told = {**TOY, "set": {**TOY["set"], **changed}}
    status, out, errors = cli("sweep", planned(**told))
    assert status == 2 and out == "" and errors.count("\n") == 1
    assert errors.startswith(f"error: regime=Turnover-seed=0: {said}")
    assert not (tmp_path / "sweeps").exists()
