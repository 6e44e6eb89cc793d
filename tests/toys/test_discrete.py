"""The discrete loop: published laws, theory of every regime, and rows against counts."""

import json

import numpy as np
import pytest

from lightning_collapse.theory.discrete import poisson_survival, zipf
from lightning_collapse.toys.conditions import condition
from lightning_collapse.toys.discrete import Law, from_rows, from_statistics, predicted, simulate

UNIFORM = Law((0.1,) * 10)
UNEQUAL = Law((0.4, 0.3, 0.2, 0.1))


def assert_mean(values, expected):
    error = values.std(1) / values.shape[1] ** 0.5
    assert (np.abs(values.mean(1) - expected) < 3.8 * error + 1e-12).all()


def test_full_replacement_loses_diversity_as_published():
    """Kazdan et al.: (1 - 1/K)(1 - 1/N)^t from equal shares."""
    course = simulate(condition("Replace", 1.0, 30, 12), 12, 3000, UNIFORM, 1)
    assert_mean(course.diversity, 0.9 * (1 - 1 / 30) ** np.arange(1, 13))


@pytest.mark.parametrize(
    ("name", "fraction"),
    [
        ("Replace", 0.5),
        ("Augment", 0.5),
        ("Accumulate", 0.5),
        ("Fresh", 0.6),
        ("FreshAccumulate", 0.6),
        ("Turnover", 0.5),
        ("AccumulateSubsample", 1.0),
    ],
)
def test_diversity_is_theorys_under_every_regime(name, fraction):
    setting = condition(name, fraction, 20, 8)
    course = simulate(setting, 8, 3000, UNEQUAL, 2)
    expected = predicted(setting, 8, UNEQUAL)
    assert_mean(course.diversity, expected["diversity_mean"])
    assert_mean(course.sq_error, expected["sq_error_mean"])


@pytest.mark.parametrize("name", ["Replace", "Accumulate"])
def test_rows_have_the_law_of_counts(name):
    setting = condition(name, 0.6, 20, 6)
    rows = from_rows(setting, 6, 3000, UNEQUAL, 3)
    counts = from_statistics(setting, 6, 3000, UNEQUAL, 4)
    for field in ("diversity", "categories", "sq_error"):
        a, b = getattr(rows, field), getattr(counts, field)
        error = np.hypot(a.std(1), b.std(1)) / 3000**0.5
        assert (np.abs(a.mean(1) - b.mean(1)) < 3.8 * error + 1e-12).all()
    for field in ("n_real", "n_synthetic"):
        assert np.array_equal(getattr(rows, field), getattr(counts, field))


@pytest.mark.parametrize(("exponent", "shift"), [(1, 2.7), (2, 5)])
def test_categories_die_out_as_suresh_et_al_say(exponent, shift):
    shares = zipf(1000, exponent, shift)
    setting, law = condition("Replace", 1.0, 1000, 10), Law(tuple(shares), "poisson")
    course = simulate(setting, 10, 300, law, 5)
    assert_mean(course.categories, predicted(setting, 10, law)["categories_mean"])


def test_the_laws_in_figures():
    assert zipf(3, 1, 0) == pytest.approx([6 / 11, 3 / 11, 2 / 11])
    law = zipf(4, 2, 5)
    assert law[0] / law[3] == pytest.approx((9 / 6) ** 2)
    # Once: 1 - exp(-m); twice: 1 - exp(-m (1 - 1/e)).
    once, twice = poisson_survival(2, np.array([2.0]))[:, 0]
    assert once == pytest.approx(1 - np.exp(-2.0))
    assert twice == pytest.approx(1 - np.exp(-2 * (1 - np.exp(-1.0))))


@pytest.mark.parametrize("name", ["Replace", "Turnover"])
def test_replicas_depend_on_themselves_alone(name):
    setting = condition(name, 0.5, 20, 5)
    many = simulate(setting, 5, 7, UNEQUAL, 6)
    few = simulate(setting, 5, 2, UNEQUAL, 6)
    assert np.array_equal(many.diversity[:, :2], few.diversity)
    assert not np.array_equal(many.diversity, simulate(setting, 5, 7, UNEQUAL, 7).diversity)


def test_what_the_command_writes(cli, tmp_path):
    small = ("--lambdas", "0,1", "--n", 20, "--rounds", 4, "--replicas", 5)
    status, out, _ = cli("toy", "discrete", *small, "--out", tmp_path / "a")
    told = out.splitlines()
    assert status == 0
    head = "condition figure at last 95 % interval theory replicas"
    assert told[0].split() == head.split()
    assert len(told) == 1 + 2 * 2 + 1
    assert cli("toy", "discrete", *small, "--out", tmp_path / "b")[0] == 0
    names = {"rounds.csv", "summary.json", "discrete.png", "discrete.pdf"}
    names |= {"ends.png", "ends.pdf"}
    assert {path.name for path in (tmp_path / "a").iterdir()} == names
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    control, full = json.loads((tmp_path / "a" / "summary.json").read_text())["conditions"]
    assert control["n_real"] == [20] * 4
    assert control["theory"]["diversity_mean"] == pytest.approx([0.9 * 0.95] * 4)
    expected = [0.9 * 0.95**t for t in (1, 2, 3, 4)]
    assert full["theory"]["diversity_mean"] == pytest.approx(expected)
