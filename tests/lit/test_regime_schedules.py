"""Regimes inside regimes, in `fit`: from YAML, in the record, resumed, and measured again."""

import json

import pytest
import yaml
from tiny_runs import arguments, assert_same, outcome, records

from lightning_collapse.commands.fit import run_fit
from lightning_collapse.commands.measure import main as measure
from lightning_collapse.regimes import Replace, Then
from lightning_collapse.regimes.options import options_of, regime_of

ROUNDS = 3
RECOVERY = {
    "class_path": "Then",
    "init_args": {
        "first": {"class_path": "Replace"},
        "at": 2,
        "then": {"class_path": "Replace", "init_args": {"synthetic_fraction": 0.5}},
    },
}


def words(folder, tmp_path, **changed):
    """The options of a tiny run, whose regime comes from a file."""
    config = tmp_path / "regime.yaml"
    config.write_text(yaml.safe_dump({"data": {"regime": RECOVERY}}))
    options = {"trainer__max_epochs": ROUNDS, **changed}
    given = arguments(folder, **options)
    return [*given[:2], "--config", str(config), *given[2:]]


def test_a_nested_regime_in_a_configuration(tmp_path):
    run_fit(words(tmp_path / "a", tmp_path))
    told = records(tmp_path / "a")
    n = told[0]["n_real"]
    counts = [(one["n_real"], one["n_synthetic"]) for one in told]
    assert counts == [(n, 0), (0, n), (n - round(n / 2), round(n / 2))]
    assert told[0]["regime"] == "Then"
    regime = regime_of("Then", told[0]["regime_options"])
    assert regime == Then(Replace(), 2, Replace(0.5))
    # And the configuration that the run keeps starts it again.
    kept = tmp_path / "a" / "config.yaml"
    config = yaml.safe_load(kept.read_text())
    for part in ("data", "model"):
        del config[part]["seed"]  # given once, by seed_everything
    kept.write_text(yaml.safe_dump(config))
    run_fit(["--config", str(kept), "--run", str(tmp_path / "b")])
    assert_same(outcome(tmp_path / "a"), outcome(tmp_path / "b"))


def test_a_nested_regime_goes_on_where_it_stopped(tmp_path):
    run_fit(words(tmp_path / "a", tmp_path))
    run_fit(words(tmp_path / "b", tmp_path, trainer__max_epochs=2))
    run_fit(words(tmp_path / "b", tmp_path))
    assert_same(outcome(tmp_path / "a"), outcome(tmp_path / "b"))


def test_its_parts_may_not_change_on_the_way(tmp_path, capsys):
    run_fit(words(tmp_path / "a", tmp_path, trainer__max_epochs=1))
    then = {"data__regime__init_args__at": 1}
    with pytest.raises(SystemExit):
        run_fit(words(tmp_path / "a", tmp_path, **then))
    out, err = capsys.readouterr()
    assert "data.regime" in out + err
    inner = {"data__regime__init_args__then__init_args__synthetic_fraction": 0.25}
    with pytest.raises(SystemExit):
        run_fit(words(tmp_path / "a", tmp_path, **inner))
    out, err = capsys.readouterr()
    assert "synthetic_fraction" in out + err


def test_its_rounds_are_measured_again(tmp_path):
    run_fit(words(tmp_path / "a", tmp_path))
    before = records(tmp_path / "a")
    measure([str(tmp_path / "a"), "--measures", '["Copying"]'])
    # What it trained on is found again through the record: copies are told of by it.
    after = records(tmp_path / "a")
    assert set(after[-1]) > set(before[-1])


def test_a_record_of_a_foreign_regime_inside_imports_nothing():
    options = options_of(Then(Replace(), 2, Replace(0.5)))
    assert json.loads(json.dumps(options)) == options
    options["then"]["class_path"] = "os.getcwd"
    assert regime_of("Then", options) is None
    assert regime_of("check_fraction", {}) is None


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"data__regime__init_args__at": 0}, "at = 0: must be at least 1"),
        (
            {"data__regime__init_args__then__init_args__synthetic_fraction": 1.5},
            "synthetic_fraction = 1.5: must be",
        ),
        ({"data__regime__init_args__then__class_path": "Replce"}, "Replce"),
    ],
)
def test_a_wrong_part_is_one_line(tmp_path, capsys, changed, said):
    with pytest.raises(SystemExit) as end:
        run_fit(words(tmp_path / "a", tmp_path, **changed))
    assert end.value.code == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ") and err.count("\n") == 1
    assert said in err
