"""Regimes that change from round to round, in the Gaussian loop: beside their closed forms."""

import numpy as np
import pytest

from lightning_collapse.commands import toy_gaussian
from lightning_collapse.regimes import (
    Accumulate,
    Augment,
    Fresh,
    FreshAccumulate,
    Growing,
    Replace,
    SlidingWindow,
    Then,
)
from lightning_collapse.toys.conditions import condition
from lightning_collapse.toys.gaussian import from_rows, from_statistics
from lightning_collapse.toys.gaussian_fits import Truth

TRUTH = Truth(mean=0.0, variance=1.0)


@pytest.mark.parametrize(
    "regime",
    [
        FreshAccumulate(0.7, 30),
        SlidingWindow(3),
        SlidingWindow(2),
        Growing(0.25),
        Growing(0.3, until=0.5),
        Then(Replace(), 4, Replace(0.5)),
        Then(Replace(), 4, Replace(0.0)),
        Then(Replace(0.2), 2, Augment(1.5)),
    ],
    ids=repr,
)
@pytest.mark.parametrize("engine", [from_statistics, from_rows])
def test_variance_and_drift_are_theorys(engine, regime):
    options = {name: getattr(regime, name) for name in regime.__dataclass_fields__}
    setting = condition(type(regime).__name__, None, 30, 9, **options)
    course = engine(setting, 9, range(2000), TRUTH, 3)
    expected = regime.gaussian_theory(setting.n_real, setting.samples_per_round, 9, 1.0)
    for values, theory in [(course.variance, expected), (course.mean_sq_error, 1 - expected)]:
        error = values.std(1) / 2000**0.5
        assert (np.abs(values.mean(1) - theory) < 3.8 * error).all()


def test_theory_is_that_of_the_regimes_they_come_to():
    def theory(regime, rounds=9):
        return regime.gaussian_theory(30, 30, rounds, 2.0)

    same = [
        (SlidingWindow(1), Replace()),
        (SlidingWindow(9), Accumulate()),
        (Growing(0.0), Replace(0.0)),
        (FreshAccumulate(1.0, 30), Accumulate()),
        (Then(Replace(0.4), 1, Replace(0.4)), Replace(0.4)),
        (Then(Augment(0.4), 3, Augment(0.4)), Augment(0.4)),
        (Then(Fresh(0.4, 5), 9, Replace()), Fresh(0.4, 5)),
    ]
    for regime, plain in same:
        assert theory(regime) == pytest.approx(theory(plain), rel=1e-12), regime
    # Kept rows and accumulated ones after others are beyond what is followed.
    assert theory(Then(Replace(), 3, Accumulate())) is None


@pytest.mark.parametrize(
    # papers.md: -min(1/2, α), and what a program of its own had over 2,000 rounds.
    ("real", "slope"),
    [(0.1, -0.100), (0.2, -0.200), (0.3, -0.293), (0.4, -0.372), (0.5, -0.449), (0.7, -0.469)],
)
def test_the_error_falls_at_the_published_rate(real, slope):
    variance = FreshAccumulate(1 - real, 50).gaussian_theory(0, 0, 2000, 1.0)
    error = np.sqrt(1 - variance)
    rounds = np.arange(1, 2001)
    late = rounds > 100
    ours = np.polyfit(np.log(rounds[late]), np.log(error[late]), 1)[0]
    assert ours == pytest.approx(slope, abs=0.03)
    assert ours > -min(0.5, real) - 0.005


def test_real_rows_repair_a_collapse_that_has_begun():
    """The mean of all that came before is forgotten at λ a round, the variance comes back."""
    path = Then(Replace(), 40, Replace(0.5)).gaussian_theory(30, 30, 60, 1.0)
    stays = Replace(0.5).gaussian_theory(30, 30, 60, 1.0)
    assert path[39] < 0.3
    assert path[-1] == pytest.approx(stays[-1], abs=1e-3)


NESTED = (
    '{"first": {"class_path": "Replace"}, "at": 2, "then": {"class_path": "Replace", '
    '"init_args": {"synthetic_fraction": 0.5}}}'
)


def test_a_regime_inside_another_is_written_as_options(tmp_path):
    words = ["--regime=Then", f"--regime_options={NESTED}", "--n=20", "--rounds=4"]
    toy_gaussian.main([*words, "--replicas=3", f"--out={tmp_path}"])
    lines = (tmp_path / "rounds.csv").read_text().splitlines()
    counts = [line.split(",") for line in lines]
    real, synthetic = (counts[0].index(name) for name in ("n_real", "n_synthetic"))
    # The name of the regime has commas, in quotes: count from the end.
    ends = [len(counts[0]) - place for place in (real, synthetic)]
    assert [[float(row[-end]) for end in ends] for row in counts[1:]] == [
        [20, 0],
        [0, 20],
        [10, 10],
        [10, 10],
    ]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (NESTED.replace("2", "0"), "at = 0: must be at least 1"),
        (NESTED.replace("0.5", "1.5"), "synthetic_fraction = 1.5: must be a number in [0, 1]"),
        (NESTED.replace('"Replace"}', '"Replce"}'), "regime_options"),
        ('{"at": 2}', "regime_options = {'at': 2}: Then.__init__() missing"),
    ],
)
def test_a_wrong_one_is_one_line(tmp_path, capsys, options, said):
    words = ["--regime=Then", f"--regime_options={options}", "--n=20", "--rounds=4"]
    with pytest.raises(SystemExit) as end:
        toy_gaussian.main([*words, f"--out={tmp_path / 'new'}"])
    assert end.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
    assert not (tmp_path / "new").exists()
