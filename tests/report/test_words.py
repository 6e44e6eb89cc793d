"""What a report says of studies that are not as they should be."""

import math

import pytest
from records import CONTROL, write_run
from studies import columns

from lightning_collapse.report.comparison import compare
from lightning_collapse.report.dose import draw_doses, end_state, least_real
from lightning_collapse.report.words import closing, missing
from lightning_collapse.runs.layout import Run

SEEDS = (0, 1, 2)


def study(folder, slopes=(2.0,), control=SEEDS, changed=None, **fixed):
    """Runs of Replace at one slope each, of other shares of samples, and a control."""
    runs = []
    for i, slope in enumerate(slopes):
        options = {"regime_options": {"synthetic_fraction": 1.0 - 0.5 * i}, **fixed}
        shares = {"synthetic_fraction": [0.0, *[1.0 - 0.5 * i] * 3]}
        for seed in SEEDS:
            told = {**columns(slope, seed), **shares, **(changed or {})}
            runs.append(write_run(folder / f"{i}-{seed}", told, seed, **options))
    for seed in control:
        runs.append(write_run(folder / f"control-{seed}", columns(0, seed), seed, **CONTROL))
    (one,) = compare(runs)
    return one


def test_what_is_off_its_control_in_round_0_already_is_said_beside_the_verdict(tmp_path):
    above = {"fd_pixels": [2.6, 2.7, 2.6, 2.7], "n_real": [200, 0, 0, 0]}
    fresh = {"regime": "Fresh", "regime_options": {"size": 200}}
    runs = [run for each in study(tmp_path / "a").all for run in each.condition.runs.values()]
    for seed in SEEDS:
        own = {**columns(0, seed), **above}
        own["fd_pixels"] = [value + 0.01 * seed for value in above["fd_pixels"]]
        runs.append(write_run(tmp_path / f"f{seed}", own, seed, **fresh))
    (one,) = compare(Run(run.path) for run in runs)
    assert closing(one) == "Replace and Fresh collapse."
    (line,) = missing(one)
    assert line.startswith("Fresh: ")
    assert "most of its excess is there in round 0" in line
    assert "of 200 real rows and not 1000" in line
    assert missing(study(tmp_path / "b")) == []


def test_runs_that_collapsed_outright_are_not_those_of_which_nothing_can_be_told(tmp_path):
    dead = {"fd_pixels": [0.6, None, None, None], "collapsed": [None, None, None, "no variance"]}
    one = study(tmp_path, changed=dead)
    assert closing(one) == "Replace collapsed outright in every run."
    assert any("Replace: 3 of its runs collapsed outright" in line for line in missing(one))


def test_runs_of_other_numbers_of_samples_on_the_way_are_no_part_of_a_curve(tmp_path):
    runs = [write_run(tmp_path / f"a{s}", columns(2.0, s), s) for s in SEEDS]
    sizes = {"fd_n": [500, 500, 77, 77]}
    runs += [
        write_run(tmp_path / f"b{s}", columns(2.0, s) | sizes, s, restart="warm") for s in SEEDS
    ]
    assert len(compare(runs)) == 2


def test_one_missing_number_costs_no_more_than_the_trend(tmp_path):
    told = {"fd_pixels": [0.6, 2.0, None, 4.0, 5.0, 6.0]}
    told = {name: values + [values[-1]] * 2 for name, values in columns(2.0, 0).items()} | told
    flat = {name: values + [values[-1]] * 2 for name, values in columns(0.0, 0).items()}
    runs = []
    for seed in SEEDS:
        own = {**told, "fd_pixels": [v and v + 0.1 * seed for v in told["fd_pixels"]]}
        runs.append(write_run(tmp_path / f"a{seed}", own, seed))
        runs.append(write_run(tmp_path / f"c{seed}", flat, seed, **CONTROL))
    (one,) = compare(runs)
    # The last third is known, the last half is from round 3 on.
    assert one.judged[0].verdict.word == "collapses"


def test_a_control_alone_is_not_told_to_have_one(tmp_path):
    runs = [write_run(tmp_path / f"{s}", columns(0.0, s), s, **CONTROL) for s in SEEDS]
    (one,) = compare(runs)
    (line,) = missing(one)
    assert "trains on real rows alone, a control of nothing that is here" in line


def test_an_excess_is_of_pairs_of_seeds_and_of_one_pair_has_no_interval(tmp_path):
    one = study(tmp_path, slopes=(2.0, 1.0), control=(1,))
    end = end_state(one.judged[0], one.headline, controlled=True)
    paired = columns(2.0, 1)["fd_pixels"], columns(0, 1)["fd_pixels"]
    known = [sum(values[-2:]) / 2 for values in paired]
    assert end.n == 1 and end.mean == pytest.approx(known[0] - known[1])
    assert all(
        said.endswith(", one seed")
        for _, said in draw_doses(one, legend=False)[0].values["points"]
    )


def test_the_least_real_rows_are_asked_of_runs_that_keep_them(tmp_path):
    kept = study(tmp_path / "a", slopes=(2.0, 1.0))
    assert least_real(kept) == []  # both train on none
    runs = [run for one in kept.all for run in one.condition.runs.values()]
    for seed in SEEDS:
        options = {"regime_options": {"synthetic_fraction": 0.7}}
        falling = {"n_real": [1000, 500, 250, 125], "n_synthetic": [0, 500, 750, 875]}
        told = columns(1.0, seed) | falling
        runs.append(write_run(tmp_path / f"t{seed}", told, seed, **options))
    (one,) = compare(Run(run.path) for run in runs)
    assert least_real(one) == []


def test_truth_values_and_texts_are_no_figures(tmp_path):
    one = study(tmp_path, changed={"val_loss": [True, "abc", None, 1.0]})
    values = next(iter(one.judged[0].condition.series("val_loss").values()))
    assert [math.isnan(value) for value in values] == [True, True, True, False]
