"""The least number of real rows that saves the Gaussian loop, beside theory."""

import json

import pytest

from lightning_collapse.analysis.min_real import gaussian_search
from lightning_collapse.theory.gaussian import (
    min_real_rows,
    ratio_to_population,
    ratio_to_subset,
)


def test_the_search_finds_what_theory_says():
    n, rho, replicas = 100, 0.8, 1500
    population, own = gaussian_search(rho, n, replicas, 0)
    for one, exact, least in (
        (population, ratio_to_population, min_real_rows(n, rho)),
        (own, ratio_to_subset, min_real_rows(n, rho, to_subset=True)),
    ):
        # Its bound asks for a little more than the mean.
        assert least <= one.passing <= least + 2
        assert one.failing == one.passing - 1
        for tried in one.tried:
            # Ratios to few rows of one's own have a long tail.
            if tried.m > 3:
                width = tried.ratio - tried.ratio_low
                assert tried.ratio == pytest.approx(exact(tried.m, n), abs=2.2 * width + 0.004)
        assert {tried.m for tried in one.again} <= {one.failing, one.passing}


def test_the_command_says_the_bracket_beside_theory(tmp_path, cli):
    options = "--rho", 0.5, "--n", 20, "--replicas", 200, "--out", tmp_path
    status, said, errors = cli("analyse", "min-real", "--toy", "gaussian", *options)
    assert (status, errors) == (0, "") and "least m of 20: " in said
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["theory"]["population"] == min_real_rows(20, 0.5)
    assert (tmp_path / "min_real.png").exists()
    status, _, errors = cli("analyse", "min-real", "--toy", "gaussian", "--rho", 1.5)
    assert status == 2 and errors.startswith("error: rho = 1.5: must lie in (0, 1)")
