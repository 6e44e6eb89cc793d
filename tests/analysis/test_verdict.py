"""The verdict on simulated series, whose truth is known."""

import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from lightning_collapse.analysis.intervals import jackknife_interval, t_interval
from lightning_collapse.analysis.verdict import power, verdict

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
from verdict_power import MARGIN, shares

FLAT = {seed: [0.5 + 0.01 * seed] * 9 for seed in range(3)}


def rising(by, noise=0.01):
    rng = np.random.default_rng(0)
    return {s: np.linspace(0.5, 0.5 + by, 9) + noise * rng.standard_normal(9) for s in FLAT}


@pytest.mark.parametrize("seeds", [3, 5, 8])
def test_errors_are_rare_where_the_truth_is_the_margin(seeds):
    # The worst case; 2.5 % by construction, whatever the autocorrelation of rounds.
    collapses, stable = shares(seeds, MARGIN, 600)
    assert 0.005 < collapses < 0.05
    assert 0.005 < stable < 0.05


@pytest.mark.parametrize("seeds", [3, 5])
def test_power_is_what_the_formula_says(seeds):
    assert shares(seeds, MARGIN + 0.1, 300)[0] == pytest.approx(power(2, seeds), abs=0.09)


def test_measures_power_with_three_seeds_is_47_percent():
    assert power(2, 3) == pytest.approx(0.47, abs=0.002)


def test_a_large_excess_collapses_and_grows():
    told = verdict(rising(3.0), FLAT, 0.1)
    assert (told.word, told.trend, told.why) == ("collapses", "growing", "")
    # Rounds 6, 7, 8 of a line from 0 to 3.
    assert told.excess.mean == pytest.approx(3 * 7 / 8, abs=0.05)
    # Half of nine rounds.
    assert told.rise.mean == pytest.approx(3 * 4.5 / 8, abs=0.05)
    assert told.rounds == 9 and told.seeds == 3


def test_an_excess_within_the_margin_is_stable_and_level():
    told = verdict(rising(0.0), FLAT, 0.1)
    assert (told.word, told.trend) == ("stable", "level")


def test_runs_are_paired_by_seed():
    # Seeds differ far more than the excess: unpaired nothing could be told.
    far = {seed: np.full(9, 100.0 * seed) for seed in FLAT}
    runs = {seed: far[seed] + rise - 0.5 for seed, rise in rising(1.0).items()}
    assert verdict(runs, far, 0.1).word == "collapses"
    shuffled = {seed: far[(seed + 1) % 3] for seed in far}
    assert verdict(runs, shuffled, 0.1).word == "undecided"


def test_an_interval_that_holds_the_margin_says_how_many_seeds_would_tell():
    noisy = {0: [0.5] * 8 + [0.6], 1: [0.5] * 8 + [1.4], 2: [0.5] * 8 + [1.0]}
    control = {seed: [0.5] * 9 for seed in noisy}
    told = verdict(noisy, control, 0.1)
    assert told.word == "undecided"
    n = told.seeds_needed
    effect = abs(told.excess.mean - 0.1) / told.spread
    assert power(effect, n) >= 0.8 > power(effect, n - 1)
    assert f"{n} seeds would tell" in str(told)


@pytest.mark.parametrize(
    ("runs", "control", "why"),
    [
        (FLAT, None, "no control"),
        (FLAT, {7: [0.5] * 9}, "no seeds in common"),
        ({0: [0.5] * 9}, FLAT, "1 seed in common"),
        ({s: [0.5] for s in FLAT}, FLAT, "only round 0"),
        (rising(3.0) | {1: [float("nan")] * 9}, FLAT, "missing"),
    ],
)
def test_what_cannot_be_told_says_why(runs, control, why):
    told = verdict(runs, control, 0.1)
    assert (told.word, told.trend, told.excess) == ("undecided", "not told", None)
    assert why in told.why and why in str(told)


def test_intervals_are_students():
    x = np.random.default_rng(1).standard_normal(5)
    expected = stats.t.interval(0.95, 4, x.mean(), stats.sem(x))
    interval = t_interval(x)
    assert (interval.low, interval.high) == pytest.approx(expected)
    # Of a mean, the jackknife's is the same.
    without = (x.sum() - x) / 4
    again = jackknife_interval(x.mean(), without)
    assert (again.low, again.high) == pytest.approx(expected)
