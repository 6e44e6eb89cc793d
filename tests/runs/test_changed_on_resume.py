"""What may change when a run goes on: told in a table, recorded, or refused."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from tiny_runs import arguments

from lightning_collapse.commands import fit as cli
from lightning_collapse.runs.config_file import Change, ConfigFile, config_digest, load_yaml
from lightning_collapse.runs.layout import Run
from lightning_collapse.sampling.choice import Sampling

STARTED = {
    "seed_everything": 0,
    "trainer": {"max_epochs": 2, "devices": 1, "precision": None, "log_every_n_steps": 5},
    "model": {"network": {"class_path": "A", "init_args": {"width": 16}}, "sigma_data": 0.5},
    "data": {
        "source": {"init_args": {"means": [[0.0], [1.0]]}},
        "regime": {"init_args": {}},
        "num_workers": 0,
        "split_seed": None,
        "swap": None,
        "run": "a",
    },
    "loop": {
        "sampling": {"S_max": float("inf")},
        "features": None,
        "checkpoint_every": 2,
        "fd_rows": None,
        "measures": None,
        "default_measures": True,
    },
    "run": "a",
}


@pytest.fixture
def file(tmp_path) -> ConfigFile:
    file = ConfigFile(tmp_path / "config.yaml")
    file.write(STARTED)
    return file


def changed(key: str, value: object) -> dict:
    """The same configuration, with one key changed."""
    config = yaml.safe_load(yaml.safe_dump(STARTED))
    *parents, name = key.split(".")
    part = config
    for parent in parents:
        part = part.setdefault(parent, {})
    part[name] = value
    return config


def test_the_same_configuration_has_no_changes(file):
    assert file.changes(STARTED) == []
    assert file.read() == STARTED


@pytest.mark.parametrize(
    ("key", "value", "was", "kind"),
    [
        ("trainer.max_epochs", 3, "2", "recorded"),
        ("trainer.devices", 2, "1", "recorded"),
        ("data.num_workers", 2, "0", "recorded"),
        ("loop.checkpoint_every", 3, "2", "recorded"),
        # Of samples, which are the same.
        ("loop.default_measures", False, "true", "recorded"),
        ("loop.measures", [{"class_path": "Modes"}], "null", "recorded"),
        ("loop.features", {"class_path": "Inception"}, "null", "recorded"),
        ("loop.fd_rows", 5, "null", "recorded"),
        ("trainer.log_every_n_steps", 9, "5", "free"),
        ("data.run", "b", '"a"', "free"),
        ("run", "b", '"a"', "free"),
    ],
)
def test_a_change_that_a_run_may_go_on_with(file, key, value, was, kind):
    assert file.changes(changed(key, value)) == [Change(key, was, json.dumps(value), kind)]
    assert config_digest(changed(key, value)) == file.digest


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("seed_everything", 1),
        ("trainer.precision", "bf16-mixed"),
        ("model.network.class_path", "B"),
        ("model.network.init_args.width", 32),
        ("model.sigma_data", 1),
        ("data.source.init_args.means", [[0.0], [2.0]]),
        ("loop.sampling.S_max", 50.0),
        ("data.source.init_args", None),
        ("data.regime.init_args", {"per_round": 0.5}),
        ("data.split_seed", 1),
        ("data.swap", 0),
    ],
)
def test_a_change_of_the_experiment_is_refused_with_what_it_was(file, key, value):
    with pytest.raises(
        ValueError, match=rf"{re.escape(key)}.* = .* \(was .*\): .*another folder$"
    ):
        file.refuse_forbidden(file.changes(changed(key, value)))
    assert config_digest(changed(key, value)) != file.digest


@pytest.mark.parametrize(
    ("was", "now", "same"),
    [
        ("lightning_collapse.data.images.Digits", "lightning_collapse.data.x.y.Digits", True),
        ("lightning_collapse.data.images.Digits", "lightning_collapse.data.images.CIFAR10", False),
        ("lightning_collapse.data.images.Digits", "mine.data.images.Digits", False),
        ("mine.images.Digits", "mine.data.Digits", False),
    ],
)
def test_a_class_of_ours_is_the_same_wherever_its_module_has_moved(tmp_path, was, now, same):
    file = ConfigFile(tmp_path / "config.yaml")
    file.write({"data": {"source": {"class_path": was}}})
    changes = file.changes({"data": {"source": {"class_path": now}}})
    assert [change.kind for change in changes] == ([] if same else ["forbidden"])


def test_an_option_that_is_new_is_no_change(file):
    assert file.changes(changed("model.invented_later", 1)) == []


class Loop:
    def __init__(self, sampling: Sampling = Sampling(), guide: str | None = None) -> None: ...  # noqa: B008


@dataclass
class Shift:
    by: float = 1.0
    twice: bool = False


SHIFT = f"{__name__}.Shift"


@pytest.mark.parametrize(
    ("before", "now", "told"),
    [
        ({}, {"guide": None}, None),
        ({}, {"guide": "a"}, 'loop.guide = "a" (was null)'),
        ({"sampling": {"solver": "heun"}}, {"sampling": {"temperature": 1}}, None),
        (
            {"sampling": {"solver": "heun"}},
            {"sampling": {"temperature": 0.5}},
            "loop.sampling.temperature = 0.5 (was 1.0)",
        ),
        ({"class_path": SHIFT, "init_args": {}}, {"init_args": {"by": 1, "twice": False}}, None),
        (
            {"class_path": SHIFT, "init_args": {}},
            {"init_args": {"by": 1, "twice": True}},
            "loop.init_args.twice = true (was false)",
        ),
        ({"measures": [{"class_path": SHIFT}]}, {"measures": [{"class_path": SHIFT}]}, None),
        (
            {"all": [{"class_path": SHIFT, "init_args": {"by": 2}}]},
            {"all": [{"class_path": SHIFT, "init_args": {"by": 2, "twice": False}}]},
            None,
        ),
    ],
)
def test_an_option_that_a_run_was_started_without_was_at_its_default(tmp_path, before, now, told):
    file = ConfigFile(tmp_path / "config.yaml")
    file.write({"loop": before})
    merged = {
        **before,
        **{k: {**before.get(k, {}), **v} if isinstance(v, dict) else v for k, v in now.items()},
    }
    changes = file.changes({"loop": merged}, {"loop": Loop})
    assert [str(change) for change in changes] == ([told] if told else [])
    assert all(change.kind == "forbidden" for change in changes)


def test_a_run_of_before_an_option_is_not_gone_on_with_by_another_value(tmp_path, capsys):
    cli.run_fit(arguments(tmp_path, trainer__max_epochs=1))
    file = ConfigFile(tmp_path / "config.yaml")
    config = file.read()
    del config["model"]["restart"], config["loop"]["sampling"]["temperature"]
    del config["data"]["num_workers"], config["trainer"]["precision"]
    (tmp_path / "config.yaml").unlink()
    file.write(config)
    for changed in ({"model__restart": "warm"}, {"loop__sampling__temperature": 0.5}):
        with pytest.raises(SystemExit):
            cli.run_fit(arguments(tmp_path, trainer__max_epochs=2, **changed))
        assert "the run in" in capsys.readouterr().err
    cli.run_fit(arguments(tmp_path, trainer__max_epochs=2))
    assert Run(tmp_path).rounds == 2


def test_recorded_changes_stay_in_the_file_and_free_ones_do_not(file):
    for n in (3, 4):
        config = changed("trainer.max_epochs", n) | {"run": f"moved {n}"}
        file.write(config, file.changes(config))
    told = [line for line in file.path.read_text().splitlines() if line.startswith("# 2")]
    assert [line.split(": ", 1)[1] for line in told] == [
        "trainer.max_epochs = 3 (was 2)",
        "trainer.max_epochs = 4 (was 3)",
    ]
    assert file.read()["trainer"]["max_epochs"] == 4


@pytest.mark.parametrize(
    "edit", [("width: 16", "width: 17"), ("# sha256 ", "# sha255 "), ("\n", "")]
)
def test_an_edited_file_is_refused(file, edit):
    file.path.write_text(file.path.read_text().replace(*edit, 1))
    with pytest.raises(ValueError, match=r"config\.yaml: is damaged, or was edited"):
        file.changes(STARTED)


def test_aliases_are_refused_before_they_unfold():
    bomb = "a0: &a0 [x, x]\n" + "".join(
        f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 60)
    )
    with pytest.raises(ValueError, match="bomb: is not plain YAML"):
        load_yaml(bomb, "bomb")


def test_the_user_is_shown_what_changed(tmp_path: Path, capsys):
    cli.run_fit(arguments(tmp_path, trainer__max_epochs=1))
    assert "changed" not in capsys.readouterr().out
    changes = {"trainer__max_epochs": 2, "trainer__log_every_n_steps": 7}
    cli.run_fit(arguments(tmp_path, loop__checkpoint_every=3, **changes))
    lines = [line.split() for line in capsys.readouterr().out.splitlines()[:4]]
    assert lines == [
        ["changed", "was", "now", "kind"],
        ["trainer.max_epochs", "1", "2", "recorded"],
        ["trainer.log_every_n_steps", "null", "7", "free"],
        ["loop.checkpoint_every", "2", "3", "recorded"],
    ]
    text = (tmp_path / "config.yaml").read_text()
    assert re.search(r"^# \d{4}-.*: trainer.max_epochs = 2 \(was 1\)$", text, re.MULTILINE)
    assert re.search(r"^# \d{4}-.*: loop.checkpoint_every = 3 \(was 2\)$", text, re.MULTILINE)
    assert "# 20" not in text.split("log_every")[1]


def test_the_table_is_shown_where_a_change_is_refused(tmp_path, capsys):
    cli.run_fit(arguments(tmp_path, trainer__max_epochs=1))
    capsys.readouterr()
    with pytest.raises(SystemExit):
        cli.run_fit(arguments(tmp_path, trainer__max_epochs=2, data__batch_size=8))
    out, err = capsys.readouterr()
    assert [line.split() for line in out.splitlines()] == [
        ["changed", "was", "now", "kind"],
        ["trainer.max_epochs", "1", "2", "recorded"],
        ["data.batch_size", "16", "8", "forbidden"],
    ]
    assert err.startswith("error: data.batch_size = 8 (was 16): the run in ")


@pytest.mark.parametrize(
    ("key", "was", "now"),
    [
        ("trainer.precision", None, "32"),
        ("trainer.precision", "32-true", 32),
        ("trainer.precision", "bf16", "bf16-mixed"),
        ("trainer.accumulate_grad_batches", 1, None),
        ("trainer.gradient_clip_val", None, 0.0),
        ("trainer.gradient_clip_algorithm", None, "norm"),
        ("model.sigma_data", 1.0, 1),
        ("data.source.init_args.path", "data/afhq", "./data/afhq/"),
        ("data.source.init_args.path", "~/afhq", str(Path.home() / "afhq")),
    ],
)
def test_another_spelling_of_the_same_is_no_change(tmp_path, key, was, now):
    file = ConfigFile(tmp_path / "config.yaml")
    file.write(changed(key, was))
    assert file.changes(changed(key, now)) == []
    assert file.changes(changed(key, "other")) != []


@pytest.mark.parametrize(("was", "now"), [(None, "64-true"), ("16", "bf16"), (32, "16-mixed")])
def test_another_precision_is_a_change(tmp_path, was, now):
    file = ConfigFile(tmp_path / "config.yaml")
    file.write(changed("trainer.precision", was))
    assert [change.kind for change in file.changes(changed("trainer.precision", now))] == [
        "forbidden"
    ]
