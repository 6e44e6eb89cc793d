"""Regression's closed forms against figures that were once checked by simulation, and limits."""

import numpy as np
import pytest

from lightning_collapse.theory.regression import (
    accumulate_fresh_error,
    accumulate_same_error,
    replace_error,
    ridge_error,
)

ISOTROPIC = np.ones(200)


def mixture(rows, p2, penalty, quality=1.0, **width):
    return ridge_error(
        ISOTROPIC,
        ISOTROPIC / 200,
        quality * ISOTROPIC / 200,
        rows=rows,
        synthetic_fraction=p2,
        penalty=penalty,
        **width,
    )


def test_loops_of_least_squares():
    assert replace_error(20, 10, 30) == pytest.approx(10.5263, abs=1e-4)
    assert accumulate_same_error(20, 10, 30) == pytest.approx(0.840086, abs=1e-6)
    assert accumulate_fresh_error(20, 10, 30, 30) == pytest.approx(0.754009, abs=1e-6)
    assert replace_error(15, 50, 80, noise=0.25) == pytest.approx(6.4655, abs=1e-4)
    assert accumulate_fresh_error(15, 50, 80, 80, noise=0.25) == pytest.approx(0.549012, abs=1e-6)


def test_accumulation_stays_below_its_bound():
    n = np.arange(1, 2000)
    bound = replace_error(1, 10, 30) * np.pi**2 / 6
    assert (accumulate_same_error(n, 10, 30) < bound).all()
    assert (accumulate_fresh_error(n, 10, 30, 30) <= accumulate_same_error(n, 10, 30)).all()


@pytest.mark.parametrize(
    ("rows", "p2", "penalty", "quality", "zeta"),
    [
        (400, 0.5, 0.1, 1.0, 0.326726),
        (400, 0.01, 1e-8, 1.0, 0.010000),
        (100, 0.01, 1e-8, 1.0, 0.009950),
        (400, 0.5, 1e-8, 0.25, 0.125000),
    ],
)
def test_what_synthetic_rows_add(rows, p2, penalty, quality, zeta):
    assert mixture(rows, p2, penalty, quality).zeta == pytest.approx(zeta, abs=1e-6)


def test_least_squares_has_no_bias_and_the_textbook_variance():
    error = mixture(400, 0.0, 1e-10)
    assert error.bias == pytest.approx(0, abs=1e-8)
    assert error.variance == pytest.approx(0.5 / (1 - 0.5), rel=1e-6)
    assert error.zeta == pytest.approx(0, abs=1e-12)


def test_size_amplifies_up_to_the_threshold_and_never_removes():
    widths = [20, 50, 100, 200, 300, 450, 1000, 5000]
    zeta = [mixture(150, 0.1, 1e-3, width=width).zeta for width in widths]
    assert zeta == pytest.approx(
        [0.016, 0.051, 0.192, 0.495, 0.353, 0.313, 0.286, 0.274], abs=6e-4
    )


def test_infinite_width_is_ridge():
    wide, ridge = mixture(300, 0.3, 0.05, width=10**9), mixture(300, 0.3, 0.05)
    assert wide.total == pytest.approx(ridge.total, rel=1e-6)


def test_more_rows_leave_the_floor():
    assert mixture(10**7, 0.01, 1e-8).zeta == pytest.approx(0.01**2, rel=0.05)
