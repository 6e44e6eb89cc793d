"""What a report says of studies that are not as they should be."""

import math

import pytest
from records import CONTROL, write_run
from studies import columns

from lightning_collapse.report.comparison import compare
from lightning_collapse.report.dose import draw_doses, end_state, least_real
from lightning_collapse.report.sections import conditions_table
from lightning_collapse.report.words import beside, closing, missing, warnings_of
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
    (line,) = beside(one)
    assert line.startswith("Fresh: ")
    assert "most of its excess is there in round 0" in line
    assert "of 200 real rows and not 1000" in line
    assert missing(one) == missing(plain := study(tmp_path / "b")) == beside(plain) == []


def test_runs_that_collapsed_outright_are_not_those_of_which_nothing_can_be_told(tmp_path):
    dead = {"fd_pixels": [0.6, None, None, None], "collapsed": [None, None, None, "no variance"]}
    one = study(tmp_path / "a", changed=dead)
    assert closing(one) == "Replace collapsed outright in every run."
    (line,) = beside(one)
    assert line == "Replace: 3 of its 3 runs collapsed outright, 0-0, 0-1 and 0-2"


def test_a_run_that_went_on_after_its_collapse_has_collapsed_all_the_same(tmp_path):
    dead = {
        "fd_pixels": [0.6, None, None, 2.0],
        "collapsed": [None, "no variance", "no variance", None],
    }
    one = study(tmp_path, changed=dead)
    assert "3 of its 3 runs collapsed outright" in beside(one)[0]
    (said,) = [line for line in warnings_of(one) if "collapsed in" in line]
    assert said == "collapsed in rounds 1 to 2 (no variance): 0-0, 0-1 and 0-2"


def test_seeds_without_a_partner_and_rounds_without_a_figure_are_missing(tmp_path):
    one = study(tmp_path / "a", control=(0, 1))
    assert missing(one) == [
        "Replace: seed 2 without a run of the control, and no part of the verdict"
    ]
    assert "2 paired of 3" in conditions_table(one)
    one = study(tmp_path / "b", changed={"fd_pixels": [0.6, None, 2.0, 3.0]})
    assert missing(one) == ["Replace: fd_pixels is not known in round 1"]


def test_a_control_that_has_just_begun_and_one_of_another_split_are_told_as_such(tmp_path):
    runs = [write_run(tmp_path / f"a{s}", columns(2.0, s), s) for s in SEEDS]
    first = {name: values[:1] for name, values in columns(0.0, 0).items()}
    begun = write_run(tmp_path / "begun", first, 0, **CONTROL)
    lines = missing(compare([*runs, begun])[0])
    assert any(
        line.endswith("no control yet: of the one that is here only round 0") for line in lines
    )
    assert any(line.endswith("only round 0 is there, which trains on real rows") for line in lines)
    split = [
        write_run(tmp_path / f"c{s}", columns(0.0, s), s, **CONTROL, split_seed=7) for s in SEEDS
    ]
    (line,) = missing(compare([*runs, *split])[0])
    assert "of other splits" in line


def test_a_comparison_is_headed_by_what_tells_it_from_the_others(tmp_path):
    old, new = ({"versions": {"lightning_collapse": v}} for v in ("0.1.0", "0.2.0"))
    runs = [
        write_run(tmp_path / f"{i}", columns(1.0, 0), 0, **own) for i, own in enumerate((old, new))
    ]
    titles = [one.title for one in compare(runs)]
    assert [title.rpartition(", ")[2] for title in titles] == ["version 0.1.0", "version 0.2.0"]
    (alone,) = compare(runs[:1])
    assert "version" not in alone.title


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
