"""The least number of real rows: in the Gaussian loop beside theory, and by verdicts of runs."""

import json

import numpy as np
import pytest
from records import CONTROL, write_run

from lightning_collapse import Run
from lightning_collapse.analysis.conditions import conditions
from lightning_collapse.analysis.min_real import gaussian_search, of_conditions
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


def a_grid(folder, rounds):
    """Runs whose excess is 1 at 100 real rows and none from 500 on; those of 100 still rise."""
    for seed in range(3):
        for m, excess in ((100, 1.0), (500, 0.0), (800, 0.0), (1000, 0.0)):
            rise = excess * np.arange(rounds) / rounds
            columns = {"fd_pixels": (0.5 + rise + 0.001 * seed * (m < 1000)).tolist()}
            fixed = {"regime_options": {"m": m}, "n_real": m, "n_synthetic": 1000 - m}
            fixed = CONTROL if m == 1000 else fixed
            write_run(folder / f"m{m}-{seed}", columns, seed=seed, **fixed)


def test_runs_are_free_and_bounded_from_where_their_verdicts_say(tmp_path, cli):
    a_grid(tmp_path / "sweep", 12)
    read = conditions([Run(path) for path in sorted((tmp_path / "sweep").iterdir())])
    control = next(one for one in read if one.is_control)
    told = of_conditions([one for one in read if one is not control], control)
    assert told.rows == [100, 500, 800]
    assert [one.word for one in told.verdicts] == ["collapses", "stable", "stable"]
    assert told.least_free == 500
    # 5 N/m: 50, 10 and 7 rounds; of the first it is plain that it grows.
    assert told.bounded == [False, True, True] and told.least_bounded == 500
    status, said, _ = cli("analyse", "min-real", tmp_path / "sweep", "--out", tmp_path / "out")
    assert status == 0
    assert "free, of an excess above the margin: from m = 500 on, in 12 rounds" in said


def test_too_few_rounds_tell_nothing_of_what_is_bounded(tmp_path):
    a_grid(tmp_path, 6)
    read = conditions([Run(path) for path in sorted(tmp_path.iterdir())])
    control = next(one for one in read if one.is_control)
    told = of_conditions([one for one in read if one is not control], control)
    assert told.bounded == [False, None, None] and told.least_bounded is None
    assert told.needed == 50


def test_two_conditions_of_one_number_of_rows_are_refused(tmp_path):
    for i in range(2):
        write_run(tmp_path / str(i), {"fd_pixels": [1.0, 1.0]}, n_samples=1000 + i)
    read = conditions([Run(path) for path in sorted(tmp_path.iterdir())])
    with pytest.raises(ValueError, match="both have 0 real rows"):
        of_conditions(read, None)
