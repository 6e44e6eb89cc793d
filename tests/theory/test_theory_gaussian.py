"""The Gaussian loop's closed forms against golden numbers, each once checked by simulation."""

import json
from pathlib import Path

import numpy as np
import pytest
from closed_forms import settled_mix, time_to_share
from scipy.stats import chi2

from lightning_collapse.theory import gaussian

GOLDEN = json.loads((Path(__file__).parents[1] / "fixtures" / "theory_golden.json").read_text())
CLOSE = {"rel": 1e-9, "abs": 1e-12}


def approx(figures):
    return pytest.approx({name: float(value) for name, value in figures.items()}, **CLOSE)


@pytest.mark.parametrize("t", [1, 100, 1000, 5000])
def test_replacement(t):
    mean_log, variance_log = gaussian.replace_log_variance(t, 1000, 2)
    told = approx(
        {
            "Ev": gaussian.replace_variance(t, 1000, 2),
            "Elogv": mean_log,
            "sd_logv": variance_log**0.5,
        }
    )
    golden = GOLDEN[f"replace N=1000 t={t} s2=2"]
    assert {name: golden[name] for name in ("Ev", "Elogv", "sd_logv")} == told


@pytest.mark.parametrize("fraction", [0.1, 0.9])
def test_fixed_mix_settles(fraction):
    golden = GOLDEN[f"mix_fixed N=1000 lam={fraction} s2=2"]
    m = round(1000 * (1 - fraction))
    settled = 2 * gaussian.ratio_to_population(m, 1000)
    assert golden["Ev"] == pytest.approx(settled, **CLOSE)
    assert golden["ratio_to_sR"] == pytest.approx(gaussian.ratio_to_subset(m, 1000), **CLOSE)
    assert golden["E_mu_err_sq"] == pytest.approx(settled_mix(1000, fraction, 2).mean_error)
    course = gaussian.fixed_mix(2000, 1000, fraction, 2)
    assert course[-1] == pytest.approx(settled, rel=1e-9)


@pytest.mark.parametrize("fraction", [0.1, 0.9])
def test_fresh_mix_settles(fraction):
    golden = GOLDEN[f"mix_fresh N=1000 lam={fraction} s2=2"]
    settled = gaussian.fresh_mix_limit(1000, fraction, 2)
    assert golden["Ev"] == pytest.approx(settled, **CLOSE)
    # What variance loses, the mean's drift gains.
    assert golden["E_mu_err_sq"] == pytest.approx(2 - settled, **CLOSE)
    assert gaussian.fresh_mix(2000, 1000, fraction, 2)[-1] == pytest.approx(settled, rel=1e-9)


def test_time_to_one_percent():
    assert time_to_share(1000) == pytest.approx(GOLDEN["hit1% N=1000 mle"], **CLOSE)


def test_accumulation_limits():
    t, many = 200_000, 2_000_000
    every = gaussian.accumulate_per_round_limit(1000, 1000, 2)
    assert every == pytest.approx(GOLDEN["acc limit N=1000 s2=2"], **CLOSE)
    assert every == pytest.approx(2 * np.sinc(1 / np.sqrt(1000)), rel=1e-9)
    tenth = gaussian.accumulate_per_round_limit(1000, 100, 2)
    assert tenth == pytest.approx(GOLDEN["seed accumulate limit N=1000 n=100 s2=2"], **CLOSE)
    for limit, per_round, fits in ((every, 1000, t), (tenth, 100, many)):
        course = gaussian.accumulate_per_round_variance(fits, 1000, per_round, 2)
        assert course == pytest.approx(limit, rel=1e-7)
    assert gaussian.subsample_variance(20000, 1000, 1000, 1000, 2)[-1] == pytest.approx(
        GOLDEN["acc-subsample t=20000 N=1000 s2=2"], **CLOSE
    )


def test_real_rows_needed():
    assert gaussian.min_real_rows(1000, 0.9) == GOLDEN["min_real pop rho=.9"]
    assert gaussian.min_real_rows(1000, 0.9, to_subset=True) == GOLDEN["min_real subset rho=.9"]


def test_the_first_order_band_of_a_fit_on_real_rows_is_that_of_chi2():
    n, dim = 40, 3
    error = 2.0 / n
    band = gaussian.first_order_band(2.0 - error, error, 2.0, dim)
    law = chi2((n - 1) * dim, scale=2.0 / n / dim)
    assert band == pytest.approx(law.ppf([0.05, 0.95]), rel=1e-12)
