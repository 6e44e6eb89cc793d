"""Plans: what they come to, what is refused, and that those which ship can start."""

import re
import shutil
from pathlib import Path
from unittest.mock import Mock

import pytest
import yaml

from lightning_collapse import DiT, ddpmpp
from lightning_collapse.commands.sweep import checker
from lightning_collapse.sweeps.plan import Plan
from lightning_collapse.sweeps.study import Checked, Study

PLANS = Path(__file__).parents[2] / "plans"
NAMES = sorted(path.stem for path in PLANS.glob("*.yaml"))
GRID = {"grid": {"seed": [0, 1]}}


def plan(tmp_path, **told) -> Plan:
    (tmp_path / "c.yaml").touch()
    path = tmp_path / "plan.yaml"
    path.write_text(yaml.safe_dump({"config": "c.yaml", **told}, sort_keys=False))
    return Plan.read(path)


def checked(words) -> Checked:
    """Tells runs apart by all of their options."""
    options = [word for word in words if "/" not in word]
    return Checked(f"{abs(hash(tuple(options))) % 16**8:08x}", rounds=1)


def test_the_grid_is_every_combination_and_the_control_takes_the_place_of_the_regimes(tmp_path):
    made = plan(
        tmp_path,
        set={"trainer.max_epochs": 8},
        grid={
            "regime": {
                "replace": {"data.regime": "Replace", "data.regime.synthetic_fraction": "{lambda}"}
            },
            "lambda": [0.1, 1.0],
            "size": {300: {"data.train_rows": 300}, 1297: {"data.train_rows": 1297}},
            "seed": [0, 1],
        },
        control={"data.regime": "Replace", "data.regime.synthetic_fraction": 0},
    )
    cells = made.cells()
    assert [cell.name for cell in cells[:3]] == [
        "regime=replace-lambda=0.1-size=300-seed=0",
        "regime=replace-lambda=0.1-size=300-seed=1",
        "regime=replace-lambda=0.1-size=1297-seed=0",
    ]
    assert [cell.name for cell in cells[8:]] == [
        f"control-size={size}-seed={seed}" for size in (300, 1297) for seed in (0, 1)
    ]
    assert cells[2].options == {
        "trainer.max_epochs": 8,
        "data.regime": "Replace",
        "data.regime.synthetic_fraction": "0.1",
        "data.train_rows": 1297,
        "seed_everything": 0,
    }
    assert cells[8].options["data.regime.synthetic_fraction"] == 0
    assert cells[2].condition == cells[3].condition != cells[4].condition


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({}, "grid: is empty"),
        ({"grid": {}}, "grid: is empty"),
        ({"gird": {}, **GRID}, "gird: unknown key; did you mean grid?"),
        ({"grid": {"seed": []}}, "grid.seed: must be a list of values, or a table"),
        ({"grid": {"seed": [1, 1]}}, "grid.seed: has 1 twice"),
        ({"grid": {"lambda": [0.1]}}, "grid.lambda: has no effect; write {lambda} in an option"),
        ({"set": {"data.regime.size": "{n}"}, **GRID}, "{n}: the grid has no such axis"),
        ({"set": [1], **GRID}, "set: must be a table of options"),
        ({"name": "../x", **GRID}, "name = '../x': must be letters, digits and ._+-"),
        ({"config": "none.yaml", **GRID}, "config = none.yaml: no such file in "),
        ({"config": None, **GRID}, "config: name the configuration"),
        ({"grid": {"seed": ["a"]}}, "grid.seed = ['a']: must be whole numbers from 0 on"),
        ({"grid": {"seed": [True]}}, "grid.seed = [True]: must be whole numbers from 0 on"),
        ({"set": {"run": "x"}, **GRID}, "set: run is for the sweep to set; leave it out"),
        ({"grid": {"a": {"b": {"--help": True}}}}, "grid.a: --help is for the sweep to set"),
        ({"control": {"share": "x"}, **GRID}, "control: share is for the sweep to set"),
        ({"grid": {"seed": [*range(101)], "a.b": [*range(100)]}}, "grid: has 10100 runs; at"),
    ],
)
def test_a_plan_that_is_none_is_refused_in_one_line(tmp_path, told, said):
    with pytest.raises(ValueError, match="plan.yaml: ") as refused:
        plan(tmp_path, **told)
    assert said in str(refused.value) and "\n" not in str(refused.value)


def test_a_name_that_no_folder_can_have_is_refused(tmp_path):
    long = plan(tmp_path, grid={"way": {"x" * 300: {"data.regime": "Replace"}}})
    with pytest.raises(ValueError, match="is a name of 304 letters, of which .* shorter labels"):
        Study.of(long, checked)


def test_a_section_in_a_file_of_its_own_is_of_the_configuration(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for told in ({"set": {"model": "net.yaml"}}, {"config": "whole.yaml"}):
        (tmp_path / "net.yaml").write_text("width: 8")
        (tmp_path / "whole.yaml").write_text("model: net.yaml\n")
        made = Study.of(plan(tmp_path, **told, **GRID), checked, tmp_path)
        made.open()
        check = Mock(side_effect=checked)
        Study.of(made.plan, check, tmp_path)
        assert check.call_count == 0
        (tmp_path / "net.yaml").write_text("width: 32")
        Study.of(made.plan, check, tmp_path)
        assert check.call_count == 2
        shutil.rmtree(made.folder)


def test_paths_are_relative_to_the_plan(tmp_path, monkeypatch):
    (tmp_path / "plans").mkdir()
    (tmp_path / "data").mkdir()
    monkeypatch.chdir(tmp_path)
    source = {"class_path": "ImageFolder", "init_args": {"path": "../data"}}
    given = {"data.source": source, "a.path": "../data", "b": "no/such", "c": "x" * 9999 + "/"}
    (cell,) = plan(tmp_path / "plans", set=given, grid={"seed": [0]}).cells()
    assert cell.options["data.source"]["init_args"] == {"path": "data"}
    assert cell.options["a.path"] == "data" and cell.options["b"] == "no/such"
    assert cell.options["c"] == given["c"]


def test_a_time_is_no_number_to_the_base_of_60(tmp_path):
    (tmp_path / "c.yaml").touch()
    (tmp_path / "p.yaml").write_text(
        "config: c.yaml\ngrid: {seed: [0]}\nslurm: {time: 12:00:00}\n"
    )
    assert Plan.read(tmp_path / "p.yaml").launchers == {"slurm": {"time": "12:00:00"}}


def test_equal_conditions_are_refused(tmp_path):
    same = {"a": {"data.regime": "Replace"}, "b": {"data.regime": "Replace"}}
    with pytest.raises(ValueError, match="regime=a and regime=b are the same run"):
        Study.of(plan(tmp_path, grid={"regime": same}), checked)


def test_a_study_is_opened_again_by_its_folder(tmp_path):
    made = Study.of(plan(tmp_path, **GRID), checked, tmp_path)
    made.open()
    made.open()
    (tmp_path / "c.yaml").unlink()
    again = Study.at(made.folder)
    assert [run.folder for run in again.runs] == [run.folder for run in made.runs]
    assert {key: [run.path for run in runs] for key, runs in again.conditions.items()} == {
        (): [run.folder for run in made.runs]
    }


@pytest.mark.parametrize(
    "wrong", ["", "[]", "{}", '{"of": 1}', '"digest": "../../up"', '"rounds": "many"', "nonsense"]
)
def test_what_commands_came_to_is_found_out_anew_where_its_file_is_damaged(tmp_path, wrong):
    made = Study.of(plan(tmp_path, **GRID), checked, tmp_path)
    made.open()
    path, seen = made.folder / "checked.json", []
    whole = path.read_text()
    key = wrong.partition(":")[0]
    path.write_text(re.sub(rf"{key}: [^,\n}}]*", wrong, whole) if key in whole else wrong)
    again = Study.of(made.plan, lambda words: seen.append(words) or checked(words), tmp_path)
    assert len(seen) == 2 and again == made
    again.open()
    assert path.read_text() == whole


def test_a_plan_that_has_changed_is_refused(tmp_path):
    Study.of(plan(tmp_path, name="s", **GRID), checked, tmp_path).open()
    other = plan(tmp_path, name="s", grid={"seed": [0, 1, 2]})
    with pytest.raises(ValueError, match="have changed .*2 runs then, 3 now.*another name"):
        Study.of(other, checked, tmp_path).open()


def test_the_issues_plans_are_all_there():
    ways = ["discriminator", "entropy", "extrapolation", "fresh", "likelihood"]
    ways += ["likelihood_digits"]
    ways += ["negative_guidance", "recovery", "weights"]
    drives = ["architecture", "conditioning", "end", "inpainting", "latents", "levels"]
    drives += ["noise_distribution", "schedule", "size", "start", "steps", "temperature"]
    servers = ["afhq_cat", "afhq_dog", "afhq_wild", "afhqv2", "cifar10", "ffhq"]
    assert [
        "claim_entropy_digits",
        "demo",
        "domains_digits_patches",
        *[f"drives_{name}" for name in drives],
        "lambda_grid_digits",
        "lambda_grid_fresh",
        "lambda_grid_points",
        "regimes_digits",
        "regimes_points",
        "sampling_afhqv2",
        "sampling_digits",
        *[f"server_{name}" for name in servers],
        *[f"ways_out_{name}" for name in ways],
        "zeta_points",
    ] == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_plan_that_ships_can_start(name, monkeypatch):
    for kind in ("ImageFolder", "CIFAR10"):
        path = f"lightning_collapse.data.sources.images.{kind}.check"
        monkeypatch.setattr(path, lambda self: None)
    monkeypatch.setattr("lightning_collapse.commands.fit._unmade", lambda *_, **__: None)
    told = Plan.read(PLANS / f"{name}.yaml")
    check, seen, first = checker(told), set(), []

    def some(words):
        # One of every option and of every name: the rest are other numbers, and combinations.
        pairs = {
            (key, "" if value[0].isdigit() else value)
            for key, value in zip(words[7::2], words[8::2], strict=True)
        }
        if pairs - seen:
            seen.update(pairs)
            first.append(check(words))
        return checked(words)

    made = Study.of(told, some)
    # The control of a claim's plan is half by chance; what retraining alone does is kept already.
    has_none = name.startswith(("sampling", "claim"))
    assert told.name == name and (told.control is None) is has_none
    fewer = {"demo": 3, "claim_entropy_digits": 6, "drives_levels": 12, "regimes_points": 12}
    assert len(made.runs) >= fewer.get(name, 15)
    # Figures of other numbers of samples are not comparable, and such samples are not shared.
    (size,) = {run.cell.options.get("data.samples_per_round") for run in made.runs}
    # As many as the rows that are completed.
    assert (size is None) is (name == "drives_inpainting")
    # One of every domain, or of every network.
    networks = name in ("drives_architecture", "drives_noise_distribution", "drives_size")
    assert len({one.round_zero for one in first}) <= (6 if networks else 2)


def test_architectures_are_compared_at_equal_parameters():
    """Each within 2 % of the configuration's own."""
    told = Plan.read(PLANS / "drives_architecture.yaml")
    base = yaml.safe_load(told.config.read_text())
    own, sizes = base["model"]["network"]["init_args"], {}
    for label, options in told.grid["network"].items():
        given = {key.removeprefix("model.network."): value for key, value in options.items()}
        kind = DiT if given.pop("model.network", None) == "DiT" else ddpmpp
        network = kind(**(given if kind is DiT else own | given))
        sizes[label] = sum(value.numel() for value in network.parameters())
    expected = sum(value.numel() for value in ddpmpp(**own).parameters())
    assert sizes["unet_wide"] == expected and len(sizes) == 3
    assert all(abs(size / expected - 1) < 0.02 for size in sizes.values()), sizes
