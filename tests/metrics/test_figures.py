"""What a measure of a user's own may tell, and what becomes of one that fails."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from tiny_runs import Fit, arguments, records

from lightning_collapse.commands.fit import run_fit
from lightning_collapse.commands.measure import main
from lightning_collapse.metrics.families import ALWAYS, DEFAULT
from lightning_collapse.metrics.figures import RECORD_FIELDS, MeasureError, figures_of
from lightning_collapse.metrics.measure import Measure
from lightning_collapse.runs.layout import Run
from lightning_collapse.toys.conditions import condition
from lightning_collapse.toys.gmm import Protocol, run_mixtures


@dataclass(frozen=True)
class Told(Measure):
    """What the test says, from the round that it says."""

    told: Any = field(default_factory=lambda: {"round": 7})
    late: bool = False

    def figures(self, samples, real):
        if self.late and samples.trained_on is None:
            return {}
        if isinstance(self.told, Exception):
            raise self.told
        return self.told


class Middle(Measure):
    """The middle of the samples, by dimension: several numbers, as numpy has them."""

    def figures(self, samples, real):
        return {"middle": samples.features.numpy().mean(0)}


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (torch.tensor(0.5), 0.5),
        (torch.tensor([0.5, 2.0]), [0.5, 2.0]),
        (np.float32(0.5), 0.5),
        (np.arange(2), [0, 1]),
        ((np.float64(1), torch.tensor(2.0)), [1.0, 2.0]),
        (np.bool_(True), True),
        (None, None),
        ([], []),
    ],
)
def test_numbers_of_numpy_and_torch_become_plain(value, plain):
    told = figures_of(Told(told={"x": value}), None, None)["x"]
    assert told == plain and type(told) is type(plain)


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"round": 7}, "round is a field of every record; call the figure otherwise"),
        ({"mean": 7.0}, "mean is a field of every record; call the figure otherwise"),
        ({3: 7.0}, "a figure is called 3; name it in printable letters"),
        ({"": 7.0}, "a figure is called ''; name it in printable letters"),
        (
            {"x": torch.eye(2)},
            "x = tensor([[1., 0.],\n        [0., 1.]]); must be a number, a list",
        ),
        ({"x": {"y": 1.0}}, "x = {'y': 1.0}; must be a number, a list of numbers or None"),
        (7.0, "tells 7.0; must tell a dict of figures by name"),
        (KeyError("lost"), "KeyError('lost') in test_figures.py, line "),
    ],
)
def test_what_no_record_can_keep_is_refused(told, said):
    with pytest.raises(MeasureError) as refused:
        figures_of(Told(told=told), None, None)
    assert str(refused.value).startswith(f"measures: Told: {said}")


def test_the_names_of_a_records_fields_are_known(tmp_path):
    Fit(tmp_path, rounds=1, options={"default_measures": False})()
    found = {name for name in records(tmp_path)[0] if not name.startswith("fd_")}
    # Of rounds that share, curate or complete.
    others = {"shared_from", "inpaint_share", "inpaint_resamples", "n_given", "curator"}
    others |= {"curator_options", "n_offered", "mean_weight", "seconds_curate"}
    assert found | others == RECORD_FIELDS


def test_a_clash_is_a_line_before_the_first_round(tmp_path, capsys):
    with pytest.raises(SystemExit) as left:
        run_fit([*arguments(tmp_path), "--loop.measures", "[test_figures.Told]"])
    said = capsys.readouterr().err.splitlines()[-1]
    assert left.value.code == 2
    assert said == (
        "error: loop.measures: Told: round is a field of every record; call the figure otherwise"
    )
    assert not Run(tmp_path).last.exists()


def test_a_round_is_not_lost_to_a_measure_that_fails_in_it(tmp_path, capsys):
    late = '[{"class_path": "test_figures.Told", "init_args": {"late": true}}]'
    with pytest.raises(SystemExit) as left:
        run_fit([*arguments(tmp_path), "--loop.measures", late])
    said = capsys.readouterr().err.splitlines()[-1]
    assert left.value.code == 2
    assert said.endswith("mend it or leave it out, and the same command goes on")
    trained = Run(tmp_path).checkpoint(0).read_bytes()
    run_fit(arguments(tmp_path))
    assert [record["round"] for record in records(tmp_path)] == [0, 1]
    assert Run(tmp_path).checkpoint(0).read_bytes() == trained


def content(run):
    """Every file of a run but its lock's."""
    files = [path for path in run.rglob("*.*") if path.is_file() and path.name != ".lock"]
    return {path: path.read_bytes() for path in files}


def test_a_finished_run_is_left_as_it_was(tmp_path, capsys):
    Fit(tmp_path, rounds=1)()
    before = content(tmp_path)
    with pytest.raises(SystemExit) as left:
        main([str(tmp_path), "--measures", "[test_figures.Told]"])
    assert left.value.code == 2 and "round is a field" in capsys.readouterr().err
    assert content(tmp_path) == before


def test_two_measures_of_one_name_are_refused_also_in_a_round(tmp_path):
    twice = [Told(told={"x": 1.0}, late=True), Middle(), Told(told={"x": 2.0}, late=True)]
    with pytest.raises(ValueError, match="measures: x is a figure of two of them"):
        Fit(tmp_path, options={"measures": twice})()


def test_a_toy_takes_lists_that_its_first_round_cannot_tell_of():
    protocol = Protocol(rounds=3, replicas=2, seed=0, measures=(Middle(),))
    told = run_mixtures(condition("Replace", 1.0, 30, 3), protocol).statistics
    step = told["middle_step/0"]
    assert "middle_step" not in told and step.shape == (2, 3)
    assert np.isnan(step[:, 0]).all() and np.isfinite(step[:, 1:]).all()


def test_a_measures_class_is_no_measure(tmp_path):
    with pytest.raises(ValueError, match=r"measures: Middle: is a class; name an object, such as"):
        Fit(tmp_path, options={"measures": [Middle]})


@pytest.mark.parametrize("kind", [Middle, *map(type, (*ALWAYS, *DEFAULT))])
def test_every_measure_is_of_a_row_at_least(kind):
    with pytest.raises(ValueError, match="rows = 0: must be at least 1"):
        kind(rows=0)
