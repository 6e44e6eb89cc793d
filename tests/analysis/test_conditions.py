"""Runs are grouped by what they were started with, less the seeds."""

import pytest
from records import CONTROL, write_run

from lightning_collapse import Run
from lightning_collapse.analysis.conditions import (
    check_comparable,
    conditions,
    controls_among,
    find_runs,
)
from lightning_collapse.report.comparison import compare

FLAT = {"fd_pixels": [0.5, 0.6, None]}


def test_runs_that_differ_by_seed_are_one_condition(tmp_path):
    runs = [write_run(tmp_path / f"r{s}", FLAT, seed=s) for s in (2, 0, 1)]
    (one,) = conditions(runs)
    assert [replica.seed for replica in one.runs] == [0, 1, 2]
    assert one.name == "Replace(synthetic_fraction=1.0)"
    series = one.series("fd_pixels")
    assert len(series) == 3 and one.rounds == 3 and not one.is_real
    first = next(iter(series.values()))
    assert first[:2].tolist() == [0.5, 0.6] and first[2] != first[2]


def test_a_run_that_two_studies_keep_counts_once_and_another_of_its_seed_is_refused(tmp_path):
    runs = [write_run(tmp_path / name, FLAT) for name in ("a", "b")]
    (one,) = conditions(runs)
    assert list(one.runs.values()) == runs[:1]
    other = write_run(tmp_path / "c", {"fd_pixels": [0.5, 0.7, None]})
    with pytest.raises(ValueError, match="is of the condition and seed 0 of .*a; name one"):
        conditions([*runs, other])


def test_an_option_of_the_sampler_that_is_younger_than_a_run_was_as_by_default(tmp_path):
    runs = []
    for i, own in enumerate(({}, {"start": "zero", "temperature": 1.0}, {"start": "mean"})):
        runs.append(write_run(tmp_path / f"r{i}", FLAT, seed=i))
        sampling = {"solver": "heun", "levels": []} | own
        runs[-1].config.write({"loop": {"sampling": sampling}})
    usual, other = conditions(runs)
    assert [replica.seed for replica in usual.runs] == [0, 1]
    assert other.name.endswith(', loop.sampling.start = "mean"')


def test_a_configuration_tells_conditions_apart_and_names_them(tmp_path):
    runs = []
    for i, lr in enumerate((0.1, 0.1, 0.2)):
        run = write_run(tmp_path / f"r{i}", FLAT, seed=i)
        config = {"seed_everything": i, "data": {"run": str(run), "seed": i}}
        config["model"] = {"seed": i, "lr": lr}
        run.config.write(config | {"trainer": {"max_epochs": i + 3}})
        runs.append(run)
    both, other = conditions(runs)
    assert (len(both.runs), len(other.runs)) == (2, 1)
    assert both.name.endswith(", model.lr = 0.1") and other.name.endswith(", model.lr = 0.2")


def test_a_class_that_some_have_is_told_with_what_tells_it_from_others_of_it(tmp_path):
    def by(kind, **options):
        return {"class_path": f"lightning_collapse.{kind}", "init_args": options}

    real, half = by("ByDensity", keep=0.5, of="real"), by("ByDensity", keep=0.5, of="samples")
    curators = [real, half, by("ByEntropy", keep=0.2), None]
    for seed, curator in enumerate(curators):
        config = {"data": {"curator": curator}}
        write_run(tmp_path / f"{seed}", FLAT, seed=seed).config.write(config)
    told = [one.name for one in conditions([Run(tmp_path / f"{i}") for i in range(4)])]
    regime = "Replace(synthetic_fraction=1.0)"
    assert told == [
        f'{regime}, data.curator = ByDensity(of="real")',
        f'{regime}, data.curator = ByDensity(of="samples")',
        f"{regime}, data.curator = ByEntropy(keep=0.2)",
        regime,
    ]


def test_runs_measured_otherwise_are_other_conditions(tmp_path):
    write_run(tmp_path / "a", FLAT)
    write_run(tmp_path / "b", FLAT, seed=1, fd_n=100)
    names = [one.name for one in conditions(find_runs([tmp_path]))]
    assert [name.rpartition(", ")[2] for name in names] == ["fd_n = 500", "fd_n = 100"]


def test_the_seed_of_the_split_makes_another_replica(tmp_path):
    runs = []
    for i, (seed, split) in enumerate([(0, 0), (0, 1), (1, 0)]):
        run = write_run(tmp_path / f"r{i}", FLAT, seed=seed, split_seed=split)
        run.config.write({"seed_everything": seed, "data": {"split_seed": split}})
        runs.append(run)
    (one,) = conditions(runs)
    assert list(one.runs) == [(0, 0), (0, 1), (1, 0)]


def test_a_run_with_a_row_swapped_is_of_a_condition_of_its_own(tmp_path):
    runs = [write_run(tmp_path / name, FLAT, swap=swap) for name, swap in [("a", None), ("b", 4)]]
    runs[1].config.write({"data": {"swap": 4}})
    runs[0].config.write({"data": {"swap": None}})
    names = [one.name for one in conditions(runs)]
    assert [name.rpartition(", ")[2] for name in names] == ["swap = null", "swap = 4"]


def test_a_control_never_trains_on_samples(tmp_path):
    real = conditions([write_run(tmp_path / "real", FLAT, **CONTROL)])
    mixed = conditions([write_run(tmp_path / "mixed", FLAT)])
    assert controls_among([*mixed, *real]) == controls_among(real) == real


def test_a_control_has_as_many_rows_as_what_it_is_beside_not_as_many_as_there_are(tmp_path):
    def fresh(name, share, n):
        fixed = {"regime": "Fresh", "regime_options": {"share": share, "size": n}}
        rows = {"n_real": n, "n_synthetic": 0} if share == 0 else {}
        columns = {**FLAT, "n_real": [n, 0, 0], "n_synthetic": [0, n, n]} if share else FLAT
        return write_run(tmp_path / name, columns, **fixed, **rows, n_train=1600)

    (mixed,) = conditions([fresh("mixed", 1.0, 200)])
    (control,) = conditions([fresh("control", 0, 200)])
    (fewer,) = conditions([fresh("fewer", 0, 50)])
    assert controls_among([mixed, control, fewer]) == [control]


def test_figures_of_other_sizes_are_not_compared(tmp_path):
    one, other = conditions(
        [write_run(tmp_path / "a", FLAT), write_run(tmp_path / "b", FLAT, fd_n=100, **CONTROL)]
    )
    with pytest.raises(ValueError, match="fd_n = 100, those of Replace"):
        check_comparable(one, other)


@pytest.mark.parametrize(
    "own",
    [
        {"model": {"network": {"width": 64}}},
        {"model": {"augment": {"class_path": "AugmentPipe", "init_args": {"p": 0.1}}}},
        {"loop": {"sampling": {"num_steps": 5}}},
        {"data": {"images_per_round": 9}},
    ],
    ids=str,
)
def test_a_control_of_another_network_or_sampler_is_none(tmp_path, own):
    usual = {
        "model": {"network": {"width": 32}},
        "loop": {"sampling": {"num_steps": 35}},
        "data": {"images_per_round": 8},
    }
    mixed, real = write_run(tmp_path / "a", FLAT), write_run(tmp_path / "b", FLAT, **CONTROL)
    real.config.write(usual)
    # What later versions have, and how later rounds begin, make it no other.
    later = {"restart": "warm", "P_mean": -1.2}
    mixed.config.write(usual | {"model": usual["model"] | later})
    one, control = conditions([mixed, real])
    check_comparable(one, control)
    assert compare([mixed, real])[0].judged[0].control is not None
    mixed.config.write({key: usual.get(key, {}) | own.get(key, {}) for key in {*usual, *own}})
    one, control = conditions([mixed, real])
    with pytest.raises(ValueError, match=r"^control: its runs have (model|loop|data)\."):
        check_comparable(one, control)
    assert compare([mixed, real])[0].judged[0].control is None


def test_runs_are_found_in_folders_of_them(tmp_path):
    for name in "ab":
        write_run(tmp_path / "many" / name, FLAT)
    assert [run.path.name for run in find_runs([tmp_path / "many"])] == ["a", "b"]
    (tmp_path / "none").mkdir()
    with pytest.raises(ValueError, match="holds no run"):
        find_runs([tmp_path / "none"])
    with pytest.raises(ValueError, match="named twice"):
        find_runs([tmp_path / "many", tmp_path / "many" / "a"])


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ({"seed": "x"}, "round 0: seed = x: must be a whole number"),
        ({"n_real": None}, "round 0: n_real = None: must be a whole number"),
        ({"versions": 3}, "round 0: versions = 3: must be names and versions"),
        ({"fd_pixels_floor": ...}, "round 0: no Fréchet distance with a floor"),
    ],
)
def test_records_that_cannot_be_read_are_refused_in_one_line(tmp_path, broken, said):
    run = write_run(tmp_path / "r", FLAT, **{k: v for k, v in broken.items() if v is not ...})
    if broken.get("fd_pixels_floor") is ...:
        run.table.write_text(run.table.read_text().replace("fd_pixels_floor", "other"))
    with pytest.raises(ValueError, match=said):
        conditions([run])


def test_of_many_runs_those_without_a_round_are_left_out(tmp_path):
    for name in "ab":
        write_run(tmp_path / name, FLAT)
    (tmp_path / "a" / "rounds.jsonl").unlink()
    with pytest.warns(UserWarning, match="a is left out"):
        assert [run.path.name for run in find_runs([tmp_path])] == ["b"]


def test_runs_of_before_an_option_was_there_are_of_the_condition_of_those_that_leave_it_off(
    tmp_path,
):
    runs = [write_run(tmp_path / f"{s}", {"fd_pixels": [1.0]}, seed=s) for s in range(2)]
    for run, data in zip(
        runs, ({"curator": None, "batch_size": 8}, {"batch_size": 8}), strict=True
    ):
        run.config.write({"data": data})
    (one,) = conditions(runs)
    assert len(one.runs) == 2 and "data.curator" not in one.settings


def test_a_switch_that_is_off_splits_no_condition_but_tells_a_control_apart(tmp_path):
    """Off or empty is as good as unknown among seeds; where both know it, it counts."""
    made = {}
    for seed, model in enumerate(({"compile": False, "levels": []}, {}, {"compile": True})):
        run = made[seed] = write_run(tmp_path / f"{seed}", FLAT, seed=seed)
        run.config.write({"data": {"batch_size": 8}, "model": {"lr": 0.1, **model}})
    off, on = conditions(list(made.values()))
    assert (len(off.runs), len(on.runs)) == (2, 1)
    assert (off.name, on.name) == (
        "Replace(synthetic_fraction=1.0)",
        "Replace(synthetic_fraction=1.0), model.compile = true",
    )
    with pytest.raises(ValueError, match="its runs have model.compile = true"):
        check_comparable(off, on)


@pytest.mark.parametrize(
    ("options", "told"), [(range(3), "Net(a=0, b=1, c=2)"), (range(4), "Net")]
)
def test_a_class_alone_of_its_kind_is_told_with_few_options_or_by_its_name(
    tmp_path, options, told
):
    runs = []
    for seed, name in enumerate(("mine.Net", "mine.Other")):
        run = write_run(tmp_path / f"{seed}", FLAT, seed=seed)
        given = {"abcd"[i]: i for i in options} if name == "mine.Net" else {}
        network = {"class_path": name, "init_args": given}
        run.config.write({"model": {"network": network}})
        runs.append(run)
    assert conditions(runs)[0].name.endswith(f", model.network = {told}")
