"""The exponent of noise accumulation, against theory and the toys."""

import numpy as np
import pytest

from lightning_collapse.analysis.accumulation import accumulation_exponent
from lightning_collapse.toys.conditions import condition
from lightning_collapse.toys.gaussian import simulate
from lightning_collapse.toys.gaussian_fits import Truth
from lightning_collapse.toys.regression import Task, regress

EXPECTED = {"Accumulate": -2.0, "Replace": 0.0}


def assert_within(exponent, expected):
    half = exponent.interval.high - exponent.interval.mean
    assert half < 0.2
    # Half the interval is 2.09 standard errors, of 20 groups.
    assert abs(exponent.value - expected) < 3.5 * half / 2.09


def test_exact_powers_are_found_exactly():
    i = np.arange(2, 20)
    for power in (-2.0, 0.0, 1.5):
        assert accumulation_exponent([7.0 * i**power]).value == pytest.approx(power, abs=1e-8)


@pytest.mark.parametrize("regime", EXPECTED)
def test_the_gaussian_toy_has_the_exponent_of_theory(regime):
    # Rows enough that the fitted variance, which multiplies steps, stays what it was.
    course = simulate(condition(regime, 1.0, 2000, 20), 20, 1000, truth=Truth(), seed=3)
    assert_within(accumulation_exponent(course.mean_sq_increment[1:].T), EXPECTED[regime])


@pytest.mark.parametrize("regime", EXPECTED)
def test_the_regression_toy_has_the_exponent_of_theory(regime):
    task = Task(dim=5, noise=1.0, rounds=12, replicas=300, seed=1)
    _, steps = regress(condition(regime, 1.0, 50, 12), "same", task)
    assert_within(accumulation_exponent(steps[1:].T), EXPECTED[regime])


def test_one_replica_has_no_interval_and_noise_alone_no_value():
    i = np.arange(2, 8)
    assert accumulation_exponent([1.0 / i]).why == "one seed: no interval"
    lost = accumulation_exponent(-np.ones((3, 6)))
    assert lost.value is None and "noise" in lost.why
    assert "4 rounds" in accumulation_exponent(np.ones((3, 2))).why
