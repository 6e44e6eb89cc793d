"""The two answers on the least number of real rows, by runs whose excess is known."""

import json

import numpy as np
import pytest
from records import CONTROL, write_run
from tiny_runs import CONFIGS

from lightning_collapse import Run
from lightning_collapse.analysis.conditions import conditions, controls_among
from lightning_collapse.analysis.real_rows import of_conditions

EXCESS = {0: 3.0, 100: 1.0, 500: 0.0, 800: 0.0}


def a_grid(folder, rounds, seeds=3):
    """Runs with an excess of 1 at 100 real rows and none from 500 on; where there is, it rises."""
    chance = np.random.default_rng(0)
    for seed in range(seeds):
        for m, excess in {**EXCESS, 1000: 0.0}.items():
            rise = excess * np.arange(rounds) / rounds + 0.004 * chance.standard_normal(rounds)
            columns = {"fd_pixels": (0.5 + 0.1 * seed + rise).tolist()}
            fixed = {"regime_options": {"m": m}, "n_real": m, "n_synthetic": 1000 - m}
            fixed = CONTROL if m == 1000 else fixed
            write_run(folder / f"m{m}-{seed}", columns, seed=seed, **fixed)
        for m in (100, 500):
            fixed = {"regime": "Fresh", "n_real": m, "n_synthetic": 0, "regime_options": {"m": m}}
            columns = {"fd_pixels": [0.5 + 0.1 * seed + 100 / m + 0.004 * seed]}
            write_run(folder / f"alone{m}-{seed}", columns, seed=seed, **fixed)


def answer(folder, **options):
    read = conditions([Run(path) for path in sorted(folder.iterdir())])
    (control,) = controls_among(read)
    return of_conditions([one for one in read if one is not control], control, **options)


def test_runs_are_free_and_bounded_from_where_their_excess_says(tmp_path):
    a_grid(tmp_path, 12)
    told = answer(tmp_path)
    assert [level.m for level in told.levels] == [0, 100, 500, 800] and told.n == 1000
    # A quarter of the floor, 0.4.
    assert told.margin == pytest.approx(0.1)
    assert [level.free for level in told.levels] == [False, False, True, True]
    assert told.bracket == (100, 500) and told.is_settled
    # Rounds 8 to 11 of 12, of a line from 0 to 1.
    assert told.levels[1].excess.value == pytest.approx(9.5 / 12, abs=0.01)
    assert told.levels[1].rise.value == pytest.approx(0.5, abs=0.02)
    assert 100 < told.passes.low < told.passes.mean < told.passes.high < 500
    # 5 N/m: 50, 10 and 7 rounds; of those before it is plain that they grow.
    assert [level.bounded for level in told.levels] == [False, False, True, True]
    assert told.least_bounded == 500
    assert [one.m for one in told.alone] == [100, 500]
    assert [one.excess.value for one in told.alone] == pytest.approx([1, 0.2], abs=0.02)


def test_all_are_compared_over_the_rounds_that_all_have(tmp_path):
    """A control that drifts as all do has gone on: what is late of it alone is no excess."""
    for seed in range(3):
        for m, rounds in ((500, 6), (800, 12), (1000, 12)):
            drift = 0.1 * np.arange(rounds) + 0.001 * seed * (m == 500)
            fixed = {"regime_options": {"m": m}, "n_real": m, "n_synthetic": 1000 - m}
            columns = {"fd_pixels": (0.5 + drift).tolist()}
            fixed = CONTROL if m == 1000 else fixed
            write_run(tmp_path / f"m{m}-{seed}", columns, seed=seed, **fixed)
    told = answer(tmp_path)
    assert [level.excess.value for level in told.levels] == pytest.approx([0.001, 0], abs=1e-9)
    assert [level.rounds for level in told.levels] == [6, 6]


def test_a_wider_margin_frees_fewer_rows(tmp_path):
    a_grid(tmp_path, 12)
    assert answer(tmp_path, of_floor=2.5).least_free == 100
    assert answer(tmp_path, of_floor=10).bracket == (None, 0)


def test_too_few_rounds_tell_nothing_of_what_is_bounded(tmp_path):
    a_grid(tmp_path, 6)
    told = answer(tmp_path)
    assert [level.bounded for level in told.levels] == [False, False, None, None]
    assert told.least_bounded is None
    assert [level.needed for level in told.levels] == [None, 50, 10, 7]


def test_one_seed_tells_nothing_and_says_so(tmp_path):
    a_grid(tmp_path, 6, seeds=1)
    told = answer(tmp_path)
    assert told.bracket is None and told.passes is None and "one seed" in told.why
    assert not told.is_settled


def test_two_conditions_of_one_number_of_rows_are_refused(tmp_path):
    a_grid(tmp_path, 3)
    write_run(tmp_path / "other", {"fd_pixels": [1.0, 1.0]}, n_samples=1001)
    with pytest.raises(ValueError, match="both have 0 real rows"):
        answer(tmp_path)


def test_the_command_says_both_answers_of_runs(tmp_path, cli):
    a_grid(tmp_path / "sweep", 12)
    out = tmp_path / "out"
    status, said, errors = cli("analyse", "min-real", tmp_path / "sweep", "--out", out)
    assert (status, errors) == (0, "")
    assert "bounded: from m = 500 on, in 12 rounds" in said
    assert "from m = 500 on, in 12 rounds; not told to be at m = 100; the fit passes" in said
    summary = json.loads((out / "summary.json").read_text())
    assert summary["bracket"] == [100, 500]
    assert summary["command"].startswith(f"analyse min-real {tmp_path / 'sweep'}")
    assert (out / "min_real.png").exists() and (out / "min_real.pdf").exists()
    without = [path for path in (tmp_path / "sweep").iterdir() if "1000" not in path.name]
    status, _, errors = cli("analyse", "min-real", *without, "--out", out)
    assert status == 2 and errors.startswith("error: control: there is none")


def test_kept_records_without_samples_are_read_alike(tmp_path, cli):
    a_grid(tmp_path / "sweep", 12)
    for run in (tmp_path / "sweep").iterdir():
        (run / "pool").rmdir()
    said = cli("analyse", "min-real", tmp_path / "sweep", "--out", tmp_path / "out")[1]
    assert "bounded: from m = 500 on, in 12 rounds" in said


POINTS = CONFIGS / "points_replace.yaml"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "runs: name some, or else --config, or --toy gaussian"),
        (["--toy", "gaussian", "--config", POINTS], "runs: name some, or else --config"),
        (["--config", "none.yaml"], "config = none.yaml: no such file"),
        (["--config", CONFIGS / "digits_replace.yaml"], "n: name the number of training rows"),
        (["--config", POINTS, "--budget", 0], "budget = 0: must be a number above 0"),
        (["--config", POINTS, "--margin", 0], "margin = 0: must be a number above 0"),
        (["--config", POINTS, "--set", '{"data.swop": 1}'], "data.swop: unknown key"),
    ],
)
def test_mistakes_are_one_line_before_anything_is_run(tmp_path, cli, words, said):
    status, _, errors = cli("analyse", "min-real", *words, "--out", tmp_path / "out")
    assert status == 2 and errors.startswith("error: ") and said in errors
    assert errors.count("\n") == 1 and not (tmp_path / "out/runs").exists()


@pytest.mark.slow
def test_runs_are_made_of_a_configuration_and_seeds_added_until_the_budget_ends(tmp_path, cli):
    tiny = {
        "data.source.init_args.n": 80,
        "data.held_out_rows": 32,
        "data.images_per_round": 64,
        "data.batch_size": 16,
        "model.network.init_args.width": 16,
        "trainer.logger": False,
        "trainer.accelerator": "cpu",
    }
    words = ("analyse", "min-real", "--config", POINTS, "--n", 40, "--rounds", 2)
    words = (*words, "--set", json.dumps(tiny), "--devices", "cpu,cpu", "--margin", 1e-3)
    words = (*words, "--out", tmp_path)
    status, said, _ = cli(*words)
    assert status == 0 and "4 real   seeds 3" in said and "4 alone  seeds 3" in said
    first = (tmp_path / "summary.json").read_bytes()
    made = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("rounds.jsonl")}
    assert len(made) == 3 * (4 + 3 + 1)
    assert cli(*words)[0] == 0 and (tmp_path / "summary.json").read_bytes() == first
    # So small a margin leaves the bracket open below N, and seeds are added there.
    assert cli(*words, "--budget", 0.02)[0] == 0
    assert {path: path.stat().st_mtime_ns for path in made} == made
    added = {path.parent.name.split("-")[0] for path in tmp_path.glob("seed-3/*/rounds.jsonl")}
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["bracket"][1] == 40 and "control" in added and len(added) <= 2
