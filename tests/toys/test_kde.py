"""The loop of kernel density estimates beside its exact recursion of moments."""

import json

import numpy as np
import pytest

from lightning_collapse.regimes import Accumulate, Replace
from lightning_collapse.toys.conditions import condition
from lightning_collapse.toys.kde import Modes, predicted, simulate
from lightning_collapse.toys.spreads import end_table

SMALL = Modes(dim=3, modes=2, distance=2.0, std=0.5)
H = 0.4


@pytest.mark.parametrize("real", [0.1, 0.5, 0.9])
def test_theory_is_the_published_sum(real):
    """Khelifa et al.: σ² + h² (1 - (1 - α)^t)/α, with a share α of real rows."""
    setting = condition("Fresh", 1 - real, 100, 20)
    t = np.arange(1, 21)
    expected = SMALL.variance + H**2 * (1 - (1 - real) ** t) / real
    assert predicted(setting, 20, SMALL, H) == pytest.approx(expected, rel=1e-12)


def test_the_drift_is_that_of_the_published_setting():
    for real, drift in [(0.1, 1.084), (0.5, 0.247), (0.9, 0.138)]:
        modes = Modes()
        ours = predicted(condition("Replace", 1 - real, 500, 20), 20, modes, 0.6)[-1]
        assert ours / modes.variance - 1 == pytest.approx(drift, abs=0.002)


def test_replacement_grows_evenly_and_accumulation_as_a_logarithm():
    t = np.arange(1, 31)
    replaced = predicted(condition("Replace", 1.0, 50, 30), 30, SMALL, H)
    assert replaced == pytest.approx(SMALL.variance + t * H**2, rel=1e-12)
    everything = predicted(condition("Accumulate", 1.0, 50, 30), 30, SMALL, H)
    assert everything == pytest.approx(SMALL.variance + H**2 * np.cumsum(1 / t), rel=1e-12)


def assert_mean(values, expected):
    error = values.std(1) / values.shape[1] ** 0.5
    assert (np.abs(values.mean(1) - expected) < 3.8 * error).all()


@pytest.mark.parametrize(
    ("name", "fraction", "options"),
    [
        ("Replace", 1.0, {}),
        ("Replace", 0.5, {}),
        ("Accumulate", 0.5, {}),
        ("Fresh", 0.5, {}),
        ("FreshAccumulate", 0.5, {}),
        ("Turnover", 0.5, {}),
        ("AccumulateSubsample", 0.5, {}),
        ("SlidingWindow", None, {"generations": 2}),
        ("Then", None, {"first": Replace(), "at": 3, "then": Accumulate()}),
    ],
)
def test_moments_are_theorys_under_every_regime(name, fraction, options):
    setting = condition(name, fraction, 24, 6, **options)
    course = simulate(setting, 6, 600, SMALL, H, 1)
    assert_mean(course.second_moment, predicted(setting, 6, SMALL, H))
    assert_mean(course.variance[:1], SMALL.variance * (1 - 1 / 24) + H**2)


def test_replicas_depend_on_themselves_alone():
    setting = condition("Turnover", 0.5, 20, 5)
    many, few = (simulate(setting, 5, n, SMALL, H, 6) for n in (7, 2))
    assert np.array_equal(many.variance[:, :2], few.variance)


def test_what_the_command_writes(cli, tmp_path):
    small = ("--lambdas", "0,1", "--n", 20, "--rounds", 3, "--replicas", 4)
    for name in ("a", "b"):
        status, out, _ = cli("toy", "kde", *small, "--out", tmp_path / name)
        told = [line for line in out.splitlines() if line[0] != "*"]
        assert status == 0 and len(told) == 1 + 2 * 2 + 1
    names = {"rounds.csv", "summary.json", "kde.png", "kde.pdf"}
    names |= {"ends.png", "ends.pdf"}
    assert {path.name for path in (tmp_path / "a").iterdir()} == names
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    control, full = json.loads((tmp_path / "a" / "summary.json").read_text())["conditions"]
    # A control has the bias of its kernel, and no more of it.
    assert control["theory"]["drift_mean"] == pytest.approx([0.36 / control["true_variance"]] * 3)
    assert full["theory"]["drift_mean"][2] == pytest.approx(3 * 0.36 / full["true_variance"])


def test_a_figure_that_may_be_below_0_is_neither_cut_there_nor_marked():
    ends = {"drift_mean": [0.1], "drift_se": [0.2], "variance_mean": [0.1], "variance_se": [0.2]}
    one = {"regime": "Replace", "lambda": 1.0, "replicas": 4, **ends}
    _, drift, variance, note = end_table([one], ["drift", "variance"])
    assert " -0.292 to 0.492 " in drift and "*" not in drift
    assert " 0 to 0.492 * " in variance and note.startswith("* few replicas")
