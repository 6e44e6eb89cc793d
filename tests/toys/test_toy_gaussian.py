"""The Gaussian loop against its closed forms, with the standard errors that theory gives."""

import itertools
import json

import numpy as np
import pytest
from closed_forms import first_order_std, settled_mix, time_to_share

from lightning_collapse.commands import toy_gaussian
from lightning_collapse.regimes import Regime
from lightning_collapse.theory import gaussian as theory
from lightning_collapse.toys import gaussian
from lightning_collapse.toys.conditions import condition, conditions
from lightning_collapse.toys.gaussian import from_rows, from_statistics, simulate
from lightning_collapse.toys.gaussian_fits import Truth
from lightning_collapse.toys.gaussian_summary import predicted, summarise
from lightning_collapse.toys.survivors import from_survivors

TRUTH = Truth(mean=5.0, variance=2.0)
ALL = [
    "Replace",
    "Turnover",
    "Augment",
    "Accumulate",
    "AccumulateSubsample",
    "Fresh",
    "FreshAccumulate",
]
WITHOUT_LAMBDA = {"SlidingWindow", "Growing", "Then"}


def z_scores(condition, course, truth=TRUTH):
    """Of E[v], E[(mu - mu*)^2], E[mu] and the conservation law; while drift is far below s2."""
    rounds, replicas = course.mean.shape
    expected = predicted(condition, rounds, truth)
    drift = expected["mean_sq_error"]
    assert drift.max() < 0.15 * truth.variance
    scale = (replicas * truth.dim) ** 0.5
    v_error = first_order_std(drift, truth.variance) / scale
    mu_error = 2**0.5 * drift / scale
    both = course.variance + course.mean_sq_error
    return {
        "variance": (course.variance.mean(1) - expected["variance_mean"]) / v_error,
        "drift": (course.mean_sq_error.mean(1) - drift) / mu_error,
        "mean": (course.mean.mean(1) - truth.mean) / (np.sqrt(drift) / scale),
        "law": (both.mean(1) - truth.variance) / np.hypot(v_error, mu_error),
    }


# Regime, λ, N and rounds: those that take whole blocks of rows, and those that draw single ones,
# which only the engine on rows can.
IN_BLOCKS = [
    ("Replace", 1.0, 200, 21),
    ("Replace", 0.9, 200, 21),
    ("Replace", 0.3, 50, 21),
    ("Replace", 0.0, 50, 3),
    ("Augment", 0.5, 50, 21),
    ("Accumulate", 1.0, 50, 21),
    ("Accumulate", 0.1, 50, 21),
    ("Fresh", 0.9, 50, 21),
    ("Fresh", 0.0, 50, 3),
    ("FreshAccumulate", 0.7, 50, 21),
    ("FreshAccumulate", 0.0, 50, 3),
]
BY_CHANCE = [
    ("Turnover", 0.9, 200, 21),
    ("Turnover", 0.1, 100, 41),
    ("AccumulateSubsample", 1.0, 50, 21),
    ("AccumulateSubsample", 0.3, 50, 21),
]


@pytest.mark.parametrize("dim", [1, 3])
@pytest.mark.parametrize(
    ("engine", "name", "fraction", "n", "rounds"),
    [(engine, *setting) for engine in (from_statistics, from_rows) for setting in IN_BLOCKS]
    + [(from_rows, *setting) for setting in BY_CHANCE]
    + [(from_survivors, *setting) for setting in BY_CHANCE if setting[0] == "Turnover"],
)
def test_variance_drift_and_their_sum_are_theorys(engine, name, fraction, n, rounds, dim):
    truth = Truth(5.0, 2.0, dim)
    setting = condition(name, fraction, n, rounds)
    course = engine(setting, rounds, range(300), truth, seed=3)
    for what, z in z_scores(setting, course, truth).items():
        assert np.abs(z[[0, 1, 2, -1]]).max() < 3.5, what


@pytest.mark.parametrize(("n", "rounds"), [(1000, 5000), (50, 100)])
def test_full_replacement_in_the_logarithm(n, rounds):
    """Where the mean of v is useless: the log, the median, and the time to lose 99 %."""
    replicas = 300
    course = simulate(condition("Replace", 1.0, n, rounds), rounds, replicas, truth=TRUTH, seed=2)
    at = np.array([0, 9, rounds // 2, rounds - 1])
    mean, variance = theory.replace_log_variance(at + 1, n, 2.0)
    logs = course.log_variance[at]
    assert np.abs((logs.mean(1) - mean) / np.sqrt(variance / replicas)).max() < 3.5
    assert np.abs((logs.var(1) / variance - 1) / np.sqrt(2 / replicas)).max() < 3.5
    median_error = np.sqrt(np.pi / 2 * variance / replicas)
    assert np.abs((np.median(logs, 1) - mean) / median_error)[1:].max() < 3.5
    if n == 1000:
        times = (course.variance < 0.02).argmax(0) + 1.0
        expected = time_to_share(n)
        assert np.median(times) == pytest.approx(expected["median"], rel=0.15)


@pytest.mark.parametrize(("n", "fraction"), [(1000, 0.1), (1000, 0.9)])
def test_the_users_mixes_do_not_collapse(n, fraction):
    setting = condition("Replace", fraction, n, 3000)
    course = simulate(setting, 3000, 300, truth=TRUTH, seed=3)
    settled = settled_mix(n, fraction, 2.0)
    error = first_order_std(settled.mean_error, 2.0) / 300**0.5
    assert abs(course.variance[-1].mean() - settled.variance) < 3.5 * error
    assert first_order_std(settled.mean_error, 2.0) == pytest.approx(
        course.variance[-1].std(), rel=0.2
    )


@pytest.mark.parametrize(
    ("name", "fraction", "n", "rounds", "dim"),
    [
        ("Replace", 1.0, 50, 101, 1),
        ("Replace", 0.9, 300, 41, 1),
        ("Augment", 0.5, 50, 21, 1),
        ("Accumulate", 1.0, 50, 21, 3),
        ("Turnover", 0.5, 200, 11, 1),
        ("AccumulateSubsample", 1.0, 100, 21, 1),
        ("Fresh", 0.5, 50, 21, 1),
    ],
)
def test_a_twentieth_of_replicas_is_beyond_each_end_of_theorys_band(
    name, fraction, n, rounds, dim
):
    setting, truth, replicas = condition(name, fraction, n, rounds), Truth(dim=dim), 1000
    course = simulate(setting, rounds, replicas, truth=truth, seed=9)
    expected = predicted(setting, rounds, truth)
    for r in (0, rounds // 2, rounds - 1):
        below = (course.variance[r] < expected["variance_q05"][r]).mean()
        above = (course.variance[r] > expected["variance_q95"][r]).mean()
        # Chance, and what the first order leaves out.
        assert pytest.approx(below, abs=3.5 * (0.0475 / replicas) ** 0.5 + 0.015) == 0.05
        assert pytest.approx(above, abs=3.5 * (0.0475 / replicas) ** 0.5 + 0.015) == 0.05


def test_theory_has_no_band_where_its_first_order_does_not_hold():
    band = predicted(condition("Turnover", 0.5, 50, 40), 40, TRUTH)["variance_q05"]
    assert np.isfinite(band[0])
    assert np.isnan(band[-1])
    assert "variance_q05" not in predicted(condition("Replace", 1.0, 5, 3), 3, TRUTH)


def test_log_determinant_in_many_dimensions():
    setting, truth = condition("Replace", 1.0, 40, 30), Truth(dim=5)
    course = simulate(setting, 30, 300, truth=truth, seed=4)
    expected = predicted(setting, 30, truth)["log_variance_mean"]
    # -15.9006 is the golden E log det of theory.md's table at d = 5, N = 40, t = 30.
    assert 5 * (expected[-1] - np.log(2)) == pytest.approx(-15.9006, abs=1e-4)
    error = course.log_variance[-1].std() / 300**0.5
    assert abs(course.log_variance[-1].mean() - expected[-1]) < 3.5 * error


def test_rows_fewer_than_dimensions_give_a_singular_fit():
    course = simulate(condition("Replace", 1.0, 3, 3), 3, 4, truth=Truth(dim=5), seed=0)
    assert (course.log_variance == -np.inf).all()
    assert (course.variance > 0).all()


def test_steps_of_the_mean_fall_as_one_over_i_squared():
    setting = condition("Accumulate", 1.0, 100, 200)
    course = simulate(setting, 200, 400, truth=TRUTH, seed=5)
    steps, expected = course.mean_sq_increment, predicted(setting, 200, TRUTH)["mean_sq_increment"]
    assert np.isnan(steps[0]).all()
    z = (steps[1:].mean(1) / expected[1:] - 1) / np.sqrt(2 / 400)
    assert abs(z.mean()) < 3.5 / 199**0.5
    i = np.arange(2, 201)
    slope = np.polyfit(np.log(i), np.log(steps[1:].mean(1)), 1)[0]
    assert slope == pytest.approx(-2, abs=0.03)


@pytest.mark.parametrize("dim", [1, 2, 4])
@pytest.mark.parametrize("name", ALL)
def test_replicas_do_not_depend_on_those_computed_with_them(name, dim):
    setting, truth = condition(name, 0.4, 24, 6), Truth(dim=dim)
    whole = simulate(setting, 6, 7, truth=truth, seed=6)
    for at_once in (1, 3):
        parts = simulate(setting, 6, 7, truth=truth, seed=6, at_once=at_once)
        for field in whole.__dataclass_fields__:
            same = getattr(whole, field).tobytes() == getattr(parts, field).tobytes()
            assert same, (field, at_once)
    fewer = simulate(setting, 6, 2, truth=truth, seed=6)
    assert fewer.variance.tobytes() == whole.variance[:, :2].tobytes()
    assert not np.array_equal(
        whole.variance, simulate(setting, 6, 7, truth=truth, seed=7).variance
    )


@pytest.mark.parametrize("name", ALL)
def test_counts_are_those_of_the_regime(name):
    setting = condition(name, 0.4, 30, 5)
    if name == "Turnover":  # simulated by counts, which have the regime's law alone
        course = from_rows(setting, 5, range(3), TRUTH, 8)
    else:
        course = simulate(setting, 5, 3, truth=TRUTH, seed=8)
    for r in range(5):
        sizes = [setting.n_real] + [setting.samples_per_round] * r
        for i in range(3):
            own = gaussian.key(8, "gaussian regime", i)
            rows = setting.regime.select(sizes, own)
            assert course.n_real[r, i] == int((rows < setting.n_real).sum())
            assert course.n_synthetic[r, i] == len(rows) - course.n_real[r, i]


def test_every_regime_has_a_name_here():
    ours = [cls for cls in Regime.__subclasses__() if cls.__module__.startswith("lightning_")]
    assert {*ALL, *WITHOUT_LAMBDA} == {cls.__name__ for cls in ours}


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("fraction", [0.0, 0.25, 0.9])
def test_a_condition_has_what_its_regime_needs(name, fraction):
    setting = condition(name, fraction, 20, 7)
    setting.regime.check(setting.n_real, setting.samples_per_round, 7)
    (first,) = itertools.islice(setting.regime.draws(setting.n_real, 1, [0]), 1)
    assert len(first) == 20


# The command


def test_what_the_command_writes(cli, tmp_path):
    small = ("--lambdas", "0.5,1.0", "--n", 20, "--rounds", 3, "--replicas", 5)
    assert cli("toy", "gaussian", *small, "--out", tmp_path / "a")[0] == 0
    assert cli("toy", "gaussian", *small, "--at_once", 2, "--out", tmp_path / "b")[0] == 0
    names = {
        "rounds.csv",
        "summary.json",
        *(f"{a}.{b}" for a in ("variance", "increments", "ends") for b in ("png", "pdf")),
    }
    assert {path.name for path in (tmp_path / "a").iterdir()} == names
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    summary = json.loads((tmp_path / "a" / "summary.json").read_text())
    mix, full = summary["conditions"]
    assert (mix["regime"], mix["lambda"], mix["n"], mix["replicas"]) == ("Replace", 0.5, 20, 5)
    assert mix["round"] == [0, 1, 2]
    assert mix["n_real"] == [20, 10, 10]
    assert mix["mean_sq_increment"][0] is None
    assert set(mix["theory"]) == {"variance_mean", "mean_sq_error"}
    assert full["theory"]["variance_mean"] == pytest.approx([2 * 0.95**t for t in (1, 2, 3)])
    assert full["theory"]["log_variance_mean"][0] < np.log(2)
    lines = (tmp_path / "a" / "rounds.csv").read_text().splitlines()
    assert len(lines) == 1 + 2 * 3
    assert lines[0].startswith("regime,lambda,n,dim,samples_per_round,replicas,round,n_real")
    assert summary["command"].startswith("toy gaussian --lambdas 0.5,1.0 --regime Replace --n 20 ")


def test_a_control_among_many_shares_has_no_step_to_draw(cli, tmp_path):
    words = ("--n", 20, "--rounds", 3, "--replicas", 5, "--out", tmp_path)
    assert cli("toy", "gaussian", "--lambdas", "0,0.1,0.3,0.5,0.7,1.0", *words)[0] == 0
    assert (tmp_path / "ends.pdf").is_file()


def test_where_the_loop_settles_is_told(cli, tmp_path, monkeypatch):
    monkeypatch.setattr(toy_gaussian, "draw_figures", lambda *_: None)
    words = ("--lambdas", "0.9,1", "--rounds", 2, "--replicas", 3, "--out", tmp_path)
    *table, mix, full, enough, _ = cli("toy", "gaussian", *words)[1].splitlines()
    assert len(table) == 1 + 2 * 2
    # theory.md: 1.97059 for N = 1000, λ = 0.9; 30 rows for 95 %.
    assert mix == "theory, λ = 0.9: the variance settles at 1.971, of a true 2"
    assert full == "theory, λ = 1: the variance settles at 0, of a true 2"
    rows = "30 real rows of N = 1,000, the same in every round"
    assert enough == f"theory: {rows}, keep 95% of the variance"


def test_a_mean_of_few_replicas_is_marked_and_another_ones_results_are_told_of(cli, tmp_path):
    """The mean variance of a collapsed loop is that of the few replicas which are not."""
    few = ("--n", 20, "--replicas", 50, "--out", tmp_path)
    _, out, errors = cli("toy", "gaussian", *few, "--lambdas", "1", "--rounds", 300)
    (variance,) = (line for line in out.splitlines() if "  variance" in line)
    assert " * " in variance and "few replicas make up this mean" in out
    assert float(variance.split()[4]) >= 0 and errors == ""
    _, out, errors = cli("toy", "gaussian", *few, "--lambdas", "0", "--rounds", 3)
    assert "few replicas" not in out
    assert "takes the place of the results of `toy gaussian --lambdas 1 " in errors


# λ, n, rounds: what theory says of the last of many rounds is where it says that they settle.
@pytest.mark.parametrize(
    ("name", "fraction", "rounds"),
    [
        ("Replace", 0.0, 2),
        ("Replace", 0.5, 300),
        ("Replace", 1.0, 3000),
        ("Augment", 0.5, 300),
        ("Accumulate", 1.0, 20_000),
        ("Fresh", 0.0, 2),
        ("Fresh", 0.5, 300),
        ("Fresh", 1.0, 3000),
    ],
)
def test_theory_settles_where_it_says(name, fraction, rounds):
    setting = condition(name, fraction, 40, 2)
    regime, given = setting.regime, (setting.n_real, setting.samples_per_round)
    last = regime.gaussian_theory(*given, rounds, 2.0)[-1]
    assert last == pytest.approx(regime.gaussian_limit(*given, 2.0), rel=1e-5, abs=1e-9)


def test_statistics_over_replicas():
    setting = condition("Replace", 1.0, 20, 2)
    course = simulate(setting, 2, 9, truth=TRUTH, seed=0)
    summary = summarise(setting, course, TRUTH)
    assert summary["variance_median"][1] == np.median(course.variance[1])
    assert summary["log_variance_q05"][1] == np.quantile(course.log_variance[1], 0.05)
    assert summary["mean_q95"][1] == np.quantile(course.mean[1], 0.95)
    assert np.allclose(course.log_variance, np.log(course.variance))


@pytest.mark.parametrize("inside", [(), ("folder",)])
def test_a_folder_that_cannot_be_is_one_line(cli, tmp_path, inside):
    (tmp_path / "file").touch()
    out = tmp_path.joinpath("file", *inside)
    words = ("--n", 5, "--rounds", 2, "--replicas", 2, "--out", out)
    status, _, errors = cli("toy", "gaussian", *words)
    (line,) = errors.splitlines()
    assert status == 2
    assert line.startswith(f"error: out = {out}: cannot be made (")
    assert line.endswith("; name another folder")


def test_conditions_of_a_list():
    assert [c.fraction for c in conditions("Replace", "0, 0.5,1", 10, 2)] == [0.0, 0.5, 1.0]
    with pytest.raises(ValueError, match="did you mean AccumulateSubsample"):
        condition("accumulatesubsample", 0.5, 10, 2)
