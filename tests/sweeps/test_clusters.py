"""What SLURM, HTCondor and W&B's agents are given of a study, and what a SLURM task does."""

import hashlib
import itertools
import json
import math
import os
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

from lightning_collapse.commands.fit import OptionsOf
from lightning_collapse.commands.launchers import htcondor, slurm, wandb
from lightning_collapse.commands.sweep import Asked, checker
from lightning_collapse.sweeps.claims import Claims
from lightning_collapse.sweeps.htcondor import write_submit_file
from lightning_collapse.sweeps.plan import Plan
from lightning_collapse.sweeps.slurm import submit
from lightning_collapse.sweeps.study import Checked, Study
from lightning_collapse.sweeps.wandb_agents import write_sweeps

CONFIG = Path(__file__).parents[2] / "configs" / "points_replace.yaml"
PLAN = {
    "name": "grid",
    "config": str(CONFIG),
    "set": {"trainer.max_epochs": 2, "loop.sampling": {"num_steps": 8}},
    "grid": {"data.regime.synthetic_fraction": [0.5, 1.0], "seed": [0, 1]},
    "control": {"data.regime.synthetic_fraction": 0.0},
}


def by_words(words) -> Checked:
    return Checked(hashlib.sha256(" ".join(words).encode()).hexdigest()[:8], rounds=2)


@pytest.fixture
def study(tmp_path, monkeypatch):
    """Makes a study of a plan, in the working folder, without parsing what its runs are."""
    monkeypatch.chdir(tmp_path)

    def make(check=by_words, **changed) -> Study:
        Path("plan.yaml").write_text(yaml.safe_dump({**PLAN, **changed}))
        plan = Plan.read(Path("plan.yaml"))
        made = Study.of(plan, checker(plan) if check is None else check)
        made.open()
        return made

    return make


@pytest.fixture
def fakes(tmp_path, monkeypatch):
    """Puts commands on the PATH, each of which notes how it was called."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")

    def make(**scripts: str) -> None:
        for name, script in scripts.items():
            path = tmp_path / "bin" / name
            path.write_text(f'#!/bin/bash\necho "$@" >>"$0.called"\n{script}\n')
            path.chmod(0o755)

    return make


def called(name: str) -> list[str]:
    path = Path("bin", f"{name}.called")
    return path.read_text().splitlines() if path.exists() else []


# SLURM


def test_what_is_left_is_one_array(study, fakes):
    made = study(slurm={"time": "10:00", "partition": "gpu", "exclusive": True, "signal": None})
    fakes(sbatch="echo '41;cluster'", squeue="echo '41 1'; echo '7 4'")
    left = [run for i, run in enumerate(made.runs) if i != 3]
    assert submit(made, left, 2) == "submitted as SLURM job 41: 5 runs, --array=0-2,4-5%2"
    options = ["--requeue", "--open-mode=append", "--time=10:00", "--partition=gpu"]
    words = shlex.split(called("sbatch")[0])
    assert set(options) | {"--exclusive", "--job-name=grid"} < set(words)
    assert not any(word.startswith("--signal") for word in words)
    assert called("squeue") == []
    # Of job 7, which is not ours, 4 is another's.
    fakes(sbatch="echo 42")
    assert submit(made, left).endswith("4 runs, --array=0,2,4-5")


def test_what_is_queued_is_not_submitted_again(study, fakes):
    made = study()
    fakes(sbatch="echo 41", squeue="for i in 0 1 2 3 4 5; do echo 41 $i; done")
    submit(made, made.runs)
    assert submit(made, made.runs) == "nothing to do: 6 runs are in SLURM's queue"
    assert len(called("sbatch")) == 1


@pytest.mark.parametrize(
    ("options", "sbatch", "complaint"),
    [
        ({}, "echo 'invalid partition' >&2; exit 1", "slurm: sbatch says: invalid partition"),
        ({"array": "0-3"}, "", "slurm.array = 0-3: is set by the sweep; leave it out"),
        ({"gres": ["gpu"]}, "", r"slurm.gres = \['gpu'\]: must be a long option of sbatch"),
        ({"N": 2}, "", "slurm.N = 2: must be a long option"),
    ],
)
def test_what_sbatch_does_not_take_is_told(study, fakes, options, sbatch, complaint):
    made = study(slurm=options)
    fakes(sbatch=sbatch)
    with pytest.raises(ValueError, match=complaint):
        submit(made, made.runs)


def test_where_there_is_no_slurm_it_says_so(study, monkeypatch):
    made = study()
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(FileNotFoundError, match="launcher = slurm: no sbatch on the PATH"):
        submit(made, made.runs)


@pytest.mark.parametrize(
    ("code", "how"), [(0, "done"), (2, "failed"), (143, "stopped"), (137, "stopped")]
)
def test_a_task_carries_its_run_through_and_tells_its_end(study, fakes, code, how):
    made = study()
    fakes(sbatch="echo 41", srun=f"echo training; exit {code}")
    submit(made, made.runs)
    task = {**os.environ, "SLURM_ARRAY_JOB_ID": "41", "SLURM_ARRAY_TASK_ID": "2"}
    script = Path("sweeps/grid/slurm/job.sh").absolute()
    done = subprocess.run(["bash", script], env=task, cwd="/")
    assert done.returncode == code
    run = made.runs[2]
    _, module, ran = called("srun")[0].partition("-m lightning_collapse ")
    assert module and ran == " ".join(run.words)
    assert run.log.read_text() == "training\n"
    claims = Claims(made)
    assert (claims.ended(run).how, claims.ended(run).code) == (how, code)
    first = json.loads(claims.events.read_text().splitlines()[0])
    assert first["slurm"] == "41_2" and first["run"] == run.name
    assert not claims.is_held(run)


def test_a_run_that_another_process_has_is_left_to_it(study, fakes):
    made = study()
    fakes(sbatch="echo 41", srun="exit 0")
    submit(made, made.runs)
    held = Claims(made).claim(made.runs[2])
    task = {**os.environ, "SLURM_ARRAY_JOB_ID": "41", "SLURM_ARRAY_TASK_ID": "2"}
    assert subprocess.run(["bash", "sweeps/grid/slurm/job.sh"], env=task).returncode == 0
    assert called("srun") == []
    os.close(held)


# HTCondor


def items(path: Path) -> dict[str, str]:
    lines = path.read_text().splitlines()
    at = lines.index("queue run, words from (")
    return dict(line.split(" ", 1) for line in lines[at + 1 : -1])


def test_a_submit_file_sends_each_run_with_its_folder(study):
    made = study(htcondor={"request_memory": "8GB", "transfer_input_files": "data/a, b"})
    text = write_submit_file(made, made.runs[:2], 5).read_text()
    told = dict(line.split(" = ", 1) for line in text.splitlines() if " = " in line)
    here = os.getcwd()
    assert told["transfer_input_files"] == f"{CONFIG}, {here}/data/a, {here}/b, $(run)"
    assert told["initialdir"] == f"{here}/sweeps/grid"
    assert (told["universe"], told["request_memory"]) == ("vanilla", "8GB")
    assert (told["max_materialize"], told["checkpoint_exit_code"]) == ("5", "85")
    found = items(Path("sweeps/grid/htcondor/job.sub"))
    assert list(found) == [run.name for run in made.runs[:2]]
    for run in made.runs[:2]:
        words = found[run.name].split()
        assert words[:5] == ["fit", "--config", CONFIG.name, "--run", run.name]
        assert "--share" not in words and words[5:7] == ["--exit_code_on_stop", "85"]
        assert run.folder.is_dir()


def test_an_image_chooses_the_container_universe(study):
    made = study(htcondor={"container_image": "docker://me/collapse:1"})
    text = write_submit_file(made, made.runs).read_text()
    assert "universe = container\n" in text and "container_image = docker://me/coll" in text
    assert " lightning-collapse $(words)" in text


@pytest.mark.parametrize("options", [{"queue": 3}, {"log": "a\nqueue"}, {"a b": 1}])
def test_a_submit_command_that_is_none_is_refused(study, options):
    made = study(htcondor=options)
    with pytest.raises(ValueError, match=r"(?s)htcondor\..* must be a submit command"):
        write_submit_file(made, made.runs)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"program": "nice -n 5 lightning-collapse"},
            "htcondor.program = nice .*: must be one word",
        ),
        ({"checkpoint_seconds": "1h"}, "htcondor.checkpoint_seconds = 1h: must be a whole number"),
        ({"checkpoint_seconds": 0}, "htcondor.checkpoint_seconds = 0: must be a whole number"),
    ],
)
def test_what_a_job_is_told_is_checked(study, options, said):
    made = study(htcondor=options)
    with pytest.raises(ValueError, match=said):
        write_submit_file(made, made.runs)


def test_htcondor_reads_the_submit_file_as_it_was_meant(study):
    submits = pytest.importorskip("htcondor2", reason="pip install htcondor reads submit files")
    odd = {"data.source": {"class_path": "Mixture", "init_args": {"n": 9}}, "model.x": "it's $(a)"}
    made = study(set={**PLAN["set"], **odd})
    submit_file = submits.Submit(write_submit_file(made, made.runs).read_text())
    rows = list(submit_file.itemdata())
    assert [row["run"] for row in rows] == [run.name for run in made.runs]
    for row, run in zip(rows, made.runs, strict=True):
        for name, value in row.items():
            submit_file[name] = value
        words = arguments(submit_file.expand("arguments"))
        assert words[:3] == ["--foreground", "--preserve-status", "--signal=USR1"]
        assert words[5:10] == ["fit", "--config", CONFIG.name, "--run", run.name]
        at = run.words.index("--share") + 2
        assert tuple(words[12:]) == run.words[at:]
        assert submit_file.expand("transfer_checkpoint_files") == run.name


def arguments(text: str) -> list[str]:
    """Splits arguments as HTCondor's manual says of its new syntax."""
    assert text[0] == text[-1] == '"'
    plain = text[1:-1].replace('""', '"')
    # A shell's single quotes are the same, but for one within, which is doubled.
    return shlex.split(plain.replace("''", "'\"'\"'"))


# W&B's agents


def test_w_and_b_s_grid_is_the_studys(study):
    made = study(check=None)
    files = write_sweeps(made)
    assert [file.name for file in files] == ["sweep.yaml", "control.yaml"]
    ran = []
    for file in files:
        sweep = yaml.safe_load(file.read_text())
        assert sweep["command"][:3] == ["${env}", "lightning-collapse", "fit"]
        assert sweep["command"][-1] == "${args}"
        names = list(sweep["parameters"])
        for values in itertools.product(*(sweep["parameters"][n]["values"] for n in names)):
            args = [f"--{name}={value}" for name, value in zip(names, values, strict=True)]
            ran.append([*sweep["command"][3:-1], *args])
    # One parser for all: it takes seconds to make.
    options_of = OptionsOf()
    folders = {Path(options_of(words)["run"]) for words in ran}
    assert folders == {run.folder for run in made.runs} and len(ran) == 6


def test_a_grid_that_is_no_product_is_several_sweeps_which_are(study):
    uneven = {"size": {"a": {"data.train_rows": 9}, "b": {"loop.fd_rows": None}}, "seed": [0, 1]}
    made = study(grid=uneven, control=None)
    files = write_sweeps(made)
    assert [file.name for file in files] == ["sweep-size=a.yaml", "sweep-size=b.yaml"]
    first, second = (yaml.safe_load(file.read_text()) for file in files)
    assert first["parameters"]["data.train_rows"] == {"values": [9]}
    # W&B would write None.
    assert "loop.fd_rows" not in second["parameters"]
    at = second["command"].index("--loop.fd_rows")
    assert second["command"][at + 1] == "null"


def test_every_plan_that_ships_can_be_gone_through(study):
    made = 0
    for path in sorted((CONFIG.parents[1] / "plans").glob("*.yaml")):
        plan = Plan.read(path)
        if plan.config is not None:
            files = write_sweeps(Study.of(plan, by_words))
            swept = [yaml.safe_load(file.read_text())["parameters"] for file in files]
            sizes = [math.prod(len(p["values"]) for p in one.values()) for one in swept]
            assert sum(sizes) == len(plan.cells()), path
            made += 1
    assert made > 25


# The command


@pytest.mark.parametrize("launcher", [slurm, htcondor, wandb])
def test_devices_are_of_this_machine_only(study, launcher):
    made = study()
    with pytest.raises(ValueError, match="devices = 0: is for this machine"):
        launcher(made, made.runs, Asked(devices="0"))


def test_it_says_what_to_do_with_what_was_written(study, capsys, monkeypatch):
    made = study()
    monkeypatch.setenv("PATH", "/nowhere")
    assert htcondor(made, made.runs, Asked()) == wandb(made, made.runs, Asked()) == 0
    told = capsys.readouterr().out
    assert "condor_submit sweeps/grid/htcondor/job.sub, where HTCondor is\n" in told
    assert "wandb sweep --project grid sweeps/grid/wandb/control.yaml\n" in told
