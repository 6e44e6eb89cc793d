"""Runs measured again: by `measure`, which adds to their records, and by `evaluate RUN`."""

import json
import os
import shutil
from dataclasses import dataclass
from functools import partial

import pytest
import torch
from tiny_runs import DIGITS, BadSamples, Fit, assert_same, records, unet, without_seconds

from lightning_collapse.metrics.diversity import Vendi
from lightning_collapse.metrics.kernel import KernelDistance
from lightning_collapse.metrics.measure import Measure
from lightning_collapse.runs.layout import Run
from lightning_collapse.runs.lock import RunFolder
from lightning_collapse.samples import rounds as sampler


class TrainedOn(Measure):
    """What depends on all that a sample knows."""

    def figures(self, samples, real):
        told = samples.trained_on
        rows = None if told is None else float(told[torch.arange(len(told))].double().mean())
        labels = None if samples.labels is None else float(samples.labels.double().mean())
        return {"trained_on": rows, "labels": labels, "both": [len(samples), len(real.rows)]}

    def caution(self, figure, n):
        return f"{figure} of {n}"


@dataclass(frozen=True)
class Posing(Measure):
    """Whose figure has the name of another's."""

    name: str = ""

    def figures(self, samples, real):
        return {self.name: 1.0}


NAMED = ["KernelDistance", "Vendi", f"{__name__}.TrainedOn"]
KINDS = {"points": {}, "classes": {"data": DIGITS}, "bad": {"callbacks": [BadSamples()]}}
TABLES = ("cautions", "measured_rows")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Finished runs by kind: with the default measures, and with others."""
    made, solve = {}, sampler._solve
    for kind, options in KINDS.items():
        for name, measures in {
            "plain": [],
            "more": [KernelDistance(), Vendi(), TrainedOn()],
        }.items():
            made[kind, name] = path = tmp_path_factory.mktemp(kind) / name
            torch.set_num_threads(1)
            network = unet(label_dim=10) if kind == "classes" else None
            choice = {"measures": measures, "default_measures": not measures}
            Fit(path, options=choice, network=network, **options)()
            Run(path).config.write({"data": {"train_rows": 48, "held_out_rows": 16, "seed": 0}})
        sampler._solve = solve
    return made


@pytest.fixture
def run(runs, tmp_path):
    shutil.copytree(runs["points", "plain"], tmp_path / "run")
    return Run(tmp_path / "run")


@pytest.mark.parametrize("words", [[], ["--default_measures", "false"]])
@pytest.mark.parametrize(
    "name", ["fd_points", "precision_points", "vendi_points", "sw2_points_floor"]
)
def test_a_measure_of_ones_own_cannot_put_its_figures_in_the_place_of_ours(run, cli, name, words):
    before = run.table.read_bytes()
    named = {"class_path": f"{__name__}.Posing", "init_args": {"name": name}}
    status, out, err = cli("measure", run.path, *words, "--measures", json.dumps([named]))
    assert (status, out) == (2, "") and run.table.read_bytes() == before
    assert err.startswith(f"error: measures: {name} is a figure ") and err.count("\n") == 1


def bare(record):
    return {n: v for n, v in without_seconds(record).items() if n not in TABLES}


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_measured_later_is_what_the_run_would_have_recorded(runs, cli, tmp_path, kind):
    shutil.copytree(runs[kind, "plain"], tmp_path / "run")
    before = records(tmp_path / "run")
    status, out, err = cli("measure", tmp_path / "run", "--measures", json.dumps(NAMED))
    assert (status, err) == (0, "") and "2 rounds measured: effective_rank_" in out
    after, wanted = records(tmp_path / "run"), records(runs[kind, "more"])
    for old, new, other in zip(before, after, wanted, strict=True):
        for part in (bare(old), bare(other)):
            assert_same({name: new[name] for name in part}, part)
        assert all(new[part] == old[part] | other[part] for part in TABLES)
        assert new.keys() == old.keys() | other.keys()
    assert (after[0]["n_nonfinite"] > 0) is (kind == "bad")
    assert (after[1]["labels"] is None) is (kind != "classes")
    assert not Run(tmp_path / "run").damage()


@pytest.mark.parametrize("kind", KINDS)
def test_evaluating_a_run_tells_its_records_and_writes_nothing(runs, cli, tmp_path, kind):
    path, told = runs[kind, "plain"], tmp_path / "told.json"
    state = {file: file.stat().st_mtime_ns for file in path.rglob("*")}
    status, out, err = cli("evaluate", path, "--json", told, "--measures", "[Vendi]")
    assert (status, err) == (0, "") and "round 0" in out and "round 1" in out
    for record, fields in zip(records(path), json.loads(told.read_text())["rounds"], strict=True):
        more = [name for name in fields if name.startswith("vendi_")]
        assert len(more) == 2 and not record.keys() & set(more)
        assert fields.pop("measured_rows").items() >= record["measured_rows"].items()
        assert fields.pop("cautions").items() >= record["cautions"].items()
        assert_same(
            {n: v for n, v in fields.items() if n not in more},
            {name: record[name] for name in fields if name not in more},
        )
        assert {"fd_n", "mean", "collapsed", "round"} < fields.keys()
    assert state == {file: file.stat().st_mtime_ns for file in path.rglob("*")}


def test_some_rounds_of_a_run_may_be_asked_for(runs, cli, tmp_path):
    words = ("evaluate", runs["points", "plain"], "--json", tmp_path / "out.json", "--rounds")
    assert cli(*words, "[1]")[0] == 0
    (told,) = json.loads((tmp_path / "out.json").read_text())["rounds"]
    record = records(runs["points", "plain"])[1]
    assert_same(told, {name: record[name] for name in told})
    assert cli(*words, "[2]")[2] == "error: rounds = 2: must lie in 0..1, the finished ones\n"


def test_measured_again_by_another_k_the_columns_are_replaced(run, cli):
    k9 = '[{"class_path": "Balls", "init_args": {"k": 60}}]'
    words = ("measure", run, "--default_measures", "false", "--measures")
    assert cli(*words, k9)[0] == 0
    assert run.records[1]["recall_points"] is None
    assert run.records[1]["cautions"]["recall_points"] == "needs more rows than its 60 neighbours"
    before = run.records
    assert cli(*words, "[Balls]")[0] == 0
    assert run.records[1]["recall_points"] > 0 and run.records[1]["cautions"] == {}
    assert run.records != before and not run.damage()


def test_wherever_measuring_dies_all_records_are_new_or_none_is(run, tmp_path):
    """The k-th rename ends the process; the next start mends what is left."""
    old, plain = run.records, os.replace
    seen = set()
    for k in range(1, 100):
        shutil.copytree(run.path, copy := tmp_path / f"copy{k}")
        if (child := os.fork()) == 0:
            with RunFolder(copy).locked():
                os.replace = partial(dies, iter(range(k)), plain)
                measured(copy)
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        with RunFolder(copy).locked():
            pass
        assert not Run(copy).damage(), k
        new = ["kd_points" in record for record in Run(copy).records]
        assert new in ([False, False], [True, True])
        assert any(new) or Run(copy).records == old
        seen.add((status, new[0]))
        if status == 0:
            break
    assert seen == {(9, False), (9, True), (0, True)} and k > 5


def dies(calls, plain, *args):
    """Does what `plain` does, but for the last of the calls, which ends the process."""
    next(calls)
    return plain(*args) if calls.__length_hint__() else os._exit(9)


def measured(path):
    from lightning_collapse.commands.measure import _measured

    _measured(RunFolder(path), [KernelDistance()], None)


def test_a_failure_while_measuring_changes_nothing(run, cli, monkeypatch):
    def fail(self, samples, real):
        if real.anchor is not None:
            raise OSError("the disk has gone")
        return {"figure": 1.0}

    monkeypatch.setattr(TrainedOn, "figures", fail)
    before = {file: file.read_bytes() for file in run.path.rglob("*.*") if file.is_file()}
    status, _, err = cli("measure", run, "--measures", f"[{__name__}.TrainedOn]")
    run.lock_file.unlink()
    assert (status, err) == (2, "error: the disk has gone\n")
    assert before == {f: f.read_bytes() for f in run.path.rglob("*.*") if f.is_file()}


def test_a_run_in_use_is_not_measured(run, cli):
    with RunFolder(run.path).locked():
        status, _, err = cli("measure", run)
    assert status == 2 and "in use by process" in err and err.count("\n") == 1


def test_older_records_leave_the_split_to_the_configuration(runs, run, cli, monkeypatch):
    """Records of before had neither seed nor numbers of rows."""
    monkeypatch.setattr(
        "lightning_collapse.runs.measuring.check_record",
        lambda record, r: {n: v for n, v in record.items() if n not in OLDER},
    )
    assert cli("measure", run, "--measures", "[KernelDistance]")[0] == 0
    wanted = records(runs["points", "more"])
    assert [r["kd_points_floor"] for r in run.records] == [r["kd_points_floor"] for r in wanted]


OLDER = ("seed", "n_train", "n_held_out")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["{}/none"], "runs = {}/none: no such file or folder"),
        (
            ["{}/run", "--measures", "[Bals]"],
            "measures = Bals: unknown class; did you mean Balls?",
        ),
        (["{}/run", "--measures", "[os.getcwd]"], "measures = os.getcwd: is no Measure"),
        (
            ["{}/run", "--measures", '[{"class_path": "Balls", "init_args": {"k": 0}}]'],
            "k = 0: must be at least 1",
        ),
        (
            ["{}/run", "--measures", "[Balls, Balls]"],
            "measures: coverage_points is a figure of two of",
        ),
        (["{}/run", "--default_measures", "false"], "measures: none; name one, or leave"),
        (["{}/run", "--measures", "[torchmetrics.image.StructuralSimilarityIndexMeasure]"], "mea"),
    ],
)
def test_mistakes_are_one_line_and_change_nothing(run, cli, words, says):
    before = run.records
    status, _, err = cli("measure", *(word.replace("{}", str(run.path.parent)) for word in words))
    assert status == 2 and err.count("\n") == 1
    assert err.startswith("error: " + says.replace("{}", str(run.path.parent)))
    assert run.records == before


def test_samples_that_share_latents_with_the_reference_are_not_compared_row_by_row(
    runs, cli, tmp_path
):
    """Equal seeds make nearly equal samples, whatever the network."""
    told = {}
    for r in (0, 1):
        a, b = (Run(runs["points", name]) for name in ("plain", "more"))
        words = (a.round(1), "--reference", b.round(r), "--json", tmp_path / "out.json")
        assert cli("evaluate", *words)[0] == 0
        told[r] = json.loads((tmp_path / "out.json").read_text())
    assert told[0]["precision_points"] is not None and not told[0]["cautions"]
    assert told[1]["precision_points"] is told[1]["kd_points"] is told[1]["sw2_points"] is None
    assert "latents" in told[1]["cautions"]["recall_points"] and told[1]["fd_points"] is not None
