"""The eight meanings of collapse, on runs whose truth is written down."""

import numpy as np
import pytest
from records import CONTROL, write_run

from lightning_collapse.analysis.conditions import conditions
from lightning_collapse.analysis.meanings import answers, headline, headline_figure

ROUNDS = 9


def course(first, last, seed):
    return (np.linspace(first, last, ROUNDS) + 0.002 * seed).tolist()


def columns(seed, *, fd=0.5, risk=0.6, variance=36.0, recall=0.8, precision=0.8, **more):
    """What ends there in the last round, and starts where the control stays."""
    return {
        "fd_pixels": course(0.5, fd, seed),
        "val_loss": course(0.6, risk, seed),
        "total_variance": course(36.0, variance, seed),
        "recall_pixels": course(0.8, recall, seed),
        "precision_pixels": course(0.8, precision, seed),
        **{name: course(1.0, value, seed) for name, value in more.items()},
    }


@pytest.fixture
def profile(tmp_path):
    def told(fixed=None, **ends):
        runs = [
            write_run(tmp_path / f"{name}{s}", columns(s, **own), seed=s, **options)
            for s in range(3)
            for name, own, options in (("run", ends, fixed or {}), ("control", {}, CONTROL))
        ]
        condition, control = conditions(runs)
        assert control.is_real and not condition.is_real
        return {one.meaning: one for one in answers(condition, control)}

    return told


def test_a_run_that_loses_everything_collapses_in_every_meaning_that_is_recorded(profile):
    told = profile(
        fd=4.0, risk=2.5, variance=18.0, recall=0.2, precision=0.3, inter_class_ratio=0.5
    )
    assert len(told) == 8
    assert {name: one.answer for name, one in told.items() if one.answer != "yes"} == {
        "changed scaling law": "cannot be told",
        # The control has none.
        "entanglement of modes": "cannot be told",
    }
    risk = told["catastrophic increase of risk"]
    # Rounds 6, 7, 8 of a line from 0.6 to 2.5, over 0.6: the mean of logarithms.
    expected = np.exp(np.log(np.linspace(0.6, 2.5, ROUNDS)[6:] / 0.6).mean())
    assert risk.value.mean == pytest.approx(expected, rel=0.01)
    assert risk.value.low > 2 and "× 2" in risk.rule
    assert told["variance collapse"].value.high < 0.95
    assert told["loss of real tails"].value.mean == pytest.approx(-0.6 * 7 / 8)


def test_a_run_like_its_control_is_free_of_what_can_be_told(profile):
    told = profile({"regime_options": {"synthetic_fraction": 0.5}, "n_real": 500})
    no = {name for name, one in told.items() if one.answer == "no"}
    assert no == {
        "catastrophic increase of risk",
        "any increase of risk",
        "variance collapse",
        "loss of real tails",
        "hallucination",
    }
    # N/m is 3 or so in the last round, and 9 rounds are fewer than 5 of them.
    assert "needs 15" in told["unbounded increase"].why


@pytest.mark.parametrize(
    ("meaning", "ends"),
    [
        ("variance collapse", {"variance": 18.0}),
        ("loss of real tails", {"recall": 0.2}),
        ("hallucination", {"precision": 0.2}),
        ("unbounded increase", {"fd": 4.0}),
        ("any increase of risk", {"risk": 0.75}),
    ],
)
def test_each_meaning_looks_at_its_own_figure(profile, meaning, ends):
    told = profile(**ends)
    assert {name for name, one in told.items() if one.answer == "yes"} == {meaning}


def test_without_a_control_nothing_is_told_and_said_why(tmp_path):
    run = write_run(tmp_path / "run", columns(0, fd=4.0))
    (condition,) = conditions([run])
    assert headline(condition, None).word == "undecided"
    for one in answers(condition, None):
        assert one.answer == "cannot be told" and one.why


def test_points_are_judged_by_sliced_wasserstein(tmp_path):
    points = {"fd_points": [0.1, 0.1], "sw2_points": [0.2, 0.3]}
    run = write_run(tmp_path / "run", points, fd_points_floor=0.1, sw2_points_floor=0.4)
    run.table.write_text(run.table.read_text().replace('"fd_pixels_floor": 0.4, ', ""))
    (condition,) = conditions([run])
    assert headline_figure(condition) == "sw2_points"
    assert headline(condition, condition).margin == pytest.approx(0.1)
