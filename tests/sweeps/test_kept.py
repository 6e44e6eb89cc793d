"""Records that are kept: what is kept whole is not run again, wherever the samples are."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from test_plans import checked, plan

from lightning_collapse.runs.config_file import Change
from lightning_collapse.runs.layout import Run
from lightning_collapse.sweeps.claims import Claims
from lightning_collapse.sweeps.kept import Kept
from lightning_collapse.sweeps.plan import Plan
from lightning_collapse.sweeps.study import Checked, Study


def made(folder: Path, rounds: int, **last) -> None:
    """A run of so many rounds, of which only what is looked at is there."""
    run = Run(folder)
    for r in range(rounds):
        run.round(r).mkdir(parents=True, exist_ok=True)
        (run.round(r) / "manifest.json").touch()
    lines = [{"round": r} for r in range(rounds)]
    lines[-1] |= last
    run.table.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    run.config.write({"loop": {"on_collapse": "stop"}})


@pytest.fixture
def study(tmp_path):
    told = plan(tmp_path, grid={"seed": [0, 1, 2]})
    return Study.of(told, lambda words: replace(checked(words), rounds=2), tmp_path / "sweeps")


@pytest.fixture
def kept(tmp_path):
    return Kept(tmp_path / "records")


def test_a_run_is_done_by_its_records_alone(study, kept):
    for run, rounds in zip(study.runs, (2, 1), strict=False):
        made(run.folder, rounds)
        kept.keep(run)
    assert [path.name for path in kept.folder.iterdir()] == [study.runs[0].name]
    shutil.rmtree(study.folder)
    elsewhere = kept.marked(study)
    assert [run.is_done for run in elsewhere.runs] == [True, False, False]
    assert [run.rounds_done for run in elsewhere.runs] == [2, 0, 0]
    assert Claims(elsewhere).line() == "1 done, 0 running, 2 waiting, 0 failed"


def test_records_are_read_where_they_are(study, kept):
    first, second, _ = study.runs
    for run in (first, second):
        made(run.folder, 2, told=run.name)
        kept.keep(run)
    shutil.rmtree(second.folder)
    found = [run.folder for run in kept.read_from(study).runs]
    assert found == [first.folder, kept.folder / second.name, study.runs[2].folder]


def test_a_run_that_has_stopped_on_collapse_is_kept_and_one_that_is_to_go_on_is_not(study, kept):
    made(study.runs[0].folder, 1, collapsed="mean")
    kept.keep(study.runs[0])
    shutil.rmtree(study.folder)
    assert kept.marked(study).runs[0].is_done
    made(study.runs[1].folder, 2)
    kept.keep(study.runs[1])
    longer = [replace(run, checked=Checked(run.name[-8:], rounds=3)) for run in study.runs]
    assert not kept.marked(replace(study, runs=longer)).runs[1].is_done


def test_a_configuration_is_kept_without_the_paths_of_its_machine(study, kept, tmp_path):
    run = study.runs[0]
    made(run.folder, 2)
    own = {"regime": "Replace", "run": str(run.folder)}
    here = {"run": str(run.folder), "share": str(tmp_path), "data": own}
    config = Run(run.folder).config
    config.write(here, [Change("trainer.max_epochs", "1", "2", "recorded")])
    kept.keep(run)
    there = Run(kept.folder / run.name).config
    assert str(tmp_path) not in there.path.read_text()
    assert "trainer.max_epochs = 2 (was 1)" in there.path.read_text()
    assert there.experiment() == config.experiment()
    assert kept.marked(study).runs[0].is_done
    before = there.path.stat().st_mtime_ns
    kept.keep(run)
    assert there.path.stat().st_mtime_ns == before


def test_what_a_cell_is_called_does_not_matter(study, kept):
    run = study.runs[0]
    made(run.folder, 2)
    kept.keep(run)
    (kept.folder / run.name).rename(kept.folder / f"otherwise-{run.name[-8:]}")
    assert kept.marked(study).runs[0].is_done


def test_what_is_measured_later_is_kept_too(study, kept):
    run = study.runs[0]
    made(run.folder, 2)
    kept.keep(run)
    made_later = '{"round": 0}\n{"round": 1, "more": 1}\n'
    Run(run.folder).table.write_text(made_later)
    kept.keep(run)
    assert Run(kept.folder / run.name).table.read_text() == made_later


def test_a_longer_record_stays_where_fewer_rounds_were_made(study, kept, capsys):
    run = study.runs[0]
    made(run.folder, 2)
    kept.keep(run)
    longer = Run(kept.folder / run.name).table.read_text()
    shutil.rmtree(study.folder)
    fewer = replace(run, checked=Checked(run.name[-8:], rounds=1))
    made(fewer.folder, 1)
    kept.keep(fewer)
    assert Run(kept.folder / run.name).table.read_text() == longer
    said = f"{run.name}: 2 rounds are kept, and stay; here are 1\n"
    assert capsys.readouterr() == (said, "")
    made(run.folder, 2, more=1)
    kept.keep(run)
    assert Run(kept.folder / run.name).records[-1]["more"] == 1


@pytest.mark.parametrize("name", ["rounds.jsonl", "config.yaml"])
def test_records_that_are_damaged_are_told_and_the_run_is_not_made_again(study, kept, name):
    run = study.runs[0]
    made(run.folder, 2)
    kept.keep(run)
    with open(kept.folder / run.name / name, "a") as file:
        file.write("x")
    with pytest.raises(ValueError, match=rf"records = .*{run.name}: are not as they were kept"):
        kept.marked(study)


def test_a_toy_is_kept_by_its_summary(tmp_path, kept):
    path = tmp_path / "toys.yaml"
    path.write_text(yaml.safe_dump({"toy": "gaussian", "grid": {"seed": [0, 1]}}))
    study = Study.of(Plan.read(path), checked, tmp_path / "sweeps")
    study.runs[1].folder.mkdir(parents=True)
    study.runs[1].summary.write_text("{}")
    for run in study.runs:
        kept.keep(run)
    shutil.rmtree(study.folder)
    assert [run.is_done for run in kept.marked(study).runs] == [False, True]
