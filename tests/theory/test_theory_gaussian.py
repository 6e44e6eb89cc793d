"""The Gaussian loop's closed forms against golden numbers, each once checked by simulation."""

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import chi2

from lightning_collapse.theory import gaussian

GOLDEN = json.loads((Path(__file__).parents[1] / "fixtures" / "theory_golden.json").read_text())
CLOSE = {"rel": 1e-9, "abs": 1e-12}


def approx(figures):
    return pytest.approx({name: float(value) for name, value in figures.items()}, **CLOSE)


@pytest.mark.parametrize("t", [1, 100, 1000, 5000])
def test_replacement(t):
    mean_log, variance_log = gaussian.replace_log_variance(t, 1000, 2)
    assert GOLDEN[f"replace N=1000 t={t} s2=2"] == approx(
        {
            "Ev": gaussian.replace_variance(t, 1000, 2),
            "sd_v": gaussian.replace_variance_std(t, 1000, 2),
            "Elogv": mean_log,
            "sd_logv": variance_log**0.5,
            "Var_mu": gaussian.replace_mean_error(t, 1000, 2),
            "E_sigma": gaussian.replace_std(t, 1000, 2),
            "E_W2sq": gaussian.replace_wasserstein(t, 1000, 2),
        }
    )


@pytest.mark.parametrize("fraction", [0.1, 0.9])
def test_fixed_mix_settles(fraction):
    golden = GOLDEN[f"mix_fixed N=1000 lam={fraction} s2=2"]
    settled = gaussian.fixed_mix_stationary(1000, fraction, 2)
    m = round(1000 * (1 - fraction))
    assert golden == approx(
        {
            "ratio_to_sR": gaussian.ratio_to_subset(m, 1000),
            "Ev": settled.variance,
            "E_mu_minus_a_sq": settled.mean_error - 2 / m,
            "E_mu_err_sq": settled.mean_error,
            "temporal_sd_rel": gaussian.mix_temporal_std(1000, fraction),
            "relax_gens": settled.relaxation,
        }
    )
    course = gaussian.fixed_mix(2000, 1000, fraction, 2)
    assert course.variance[-1] == pytest.approx(settled.variance, rel=1e-9)
    assert course.mean_error[-1] == pytest.approx(settled.mean_error, rel=1e-9)


@pytest.mark.parametrize("fraction", [0.1, 0.9])
def test_fresh_mix_settles(fraction):
    golden = GOLDEN[f"mix_fresh N=1000 lam={fraction} s2=2"]
    settled = gaussian.fresh_mix_stationary(1000, fraction, 2)
    assert golden["Ev"] == pytest.approx(settled.variance, **CLOSE)
    assert golden["E_mu_err_sq"] == pytest.approx(settled.mean_error, **CLOSE)
    course = gaussian.fresh_mix(2000, 1000, fraction, 2)
    assert course.variance[-1] == pytest.approx(settled.variance, rel=1e-9)


@pytest.mark.parametrize(("name", "unbiased"), [("mle", False), ("unb", True)])
def test_time_to_one_percent(name, unbiased):
    found = gaussian.time_to_share(1000, unbiased=unbiased)
    assert found == pytest.approx(GOLDEN[f"hit1% N=1000 {name}"], **CLOSE)


def test_floor_of_reg_covar():
    assert gaussian.variance_floor(1000) == pytest.approx(GOLDEN["floor N=1000"], **CLOSE)


def test_accumulation_limits():
    assert gaussian.accumulate_limit(1000, 2) == pytest.approx(
        GOLDEN["acc limit N=1000 s2=2"], **CLOSE
    )
    assert gaussian.accumulate_per_round_limit(1000, 100, 2) == pytest.approx(
        GOLDEN["seed accumulate limit N=1000 n=100 s2=2"], **CLOSE
    )
    assert gaussian.subsample_variance(20000, 1000, s2=2)[-1] == pytest.approx(
        GOLDEN["acc-subsample t=20000 N=1000 s2=2"], **CLOSE
    )


def test_courses_reach_their_limits():
    t = 200_000
    assert gaussian.accumulate_variance(t, 1000) == pytest.approx(
        gaussian.accumulate_limit(1000), rel=1e-7
    )
    assert gaussian.accumulate_per_round_variance(t, 1000, 100) == pytest.approx(
        gaussian.accumulate_per_round_limit(1000, 100), rel=1e-6
    )


def test_real_rows_needed():
    assert gaussian.min_real_rows(1000, 0.9) == GOLDEN["min_real pop rho=.9"]
    assert gaussian.min_real_rows(1000, 0.9, to_subset=True) == GOLDEN["min_real subset rho=.9"]
    assert gaussian.band_real_rows(1000, 0.2) == GOLDEN["band .2"]


def test_the_first_order_band_of_a_fit_on_real_rows_is_that_of_chi2():
    n, dim = 40, 3
    error = 2.0 / n
    band = gaussian.first_order_band(2.0 - error, error, 2.0, dim)
    law = chi2((n - 1) * dim, scale=2.0 / n / dim)
    assert band == pytest.approx(law.ppf([0.05, 0.95]), rel=1e-12)


def test_conservation_under_replacement():
    t = np.arange(1, 50)
    total = gaussian.replace_variance(t, 20, 2) + gaussian.replace_mean_error(t, 20, 2)
    assert total == pytest.approx(np.full(49, 2.0))


def test_conservation_in_the_mixes():
    for course in (gaussian.fixed_mix(50, 30, 0.8, 2), gaussian.fresh_mix(50, 30, 0.8, 2)):
        assert course.variance + course.mean_error == pytest.approx(np.full(50, 2.0))
