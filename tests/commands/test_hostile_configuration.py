"""Configurations that mean harm, and mutants of one: one line, nothing run."""

import os
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from fuzzing import SECONDS, Reader, either, of
from tiny_runs import arguments

from lightning_collapse.commands.fit import CollapseCLI, run_fit


class Parsed(CollapseCLI):
    """Of a command line, the configuration alone."""

    def instantiate_classes(self) -> None: ...


def configuration_on_the_command_line(run: Path, capsys) -> Reader:
    words = arguments(run)
    path = run / "mine.yaml"
    tree = yaml.safe_load(Path(words[1]).read_text())
    data = yaml.safe_dump(tree).encode()
    path.write_bytes(data)
    line = ["--config", str(path), "--trainer.max_epochs", "2"]
    cli = Parsed(line)

    def encode(tree: Any) -> bytes:
        return yaml.safe_dump(tree).encode(errors="replace")

    def said(error: BaseException) -> str:
        text = capsys.readouterr().err if isinstance(error, SystemExit) else str(error)
        assert isinstance(error, (ValueError, OSError)) or text.startswith("error: ")
        return text

    return of(
        path,
        either(data, tree, encode),
        lambda: cli.parse_arguments(cli.parser, line),
        named="",
        refusals=(SystemExit, ValueError, OSError),
        said=said,
        allowed={"import"},  # of what it names, as configurations do
    )


@pytest.mark.parametrize("mutants", [20, pytest.param(1000, marks=pytest.mark.slow)])
def test_mutants_of_a_configuration_are_one_line(tmp_path, mutants, capsys):
    tally = configuration_on_the_command_line(tmp_path, capsys).fuzz(mutants)
    assert tally.outcomes["refused"] > 0.1 * mutants


LAUGHS = "a0: &a0 [1, 1]\n" + "".join(
    f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 60)
)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (LAUGHS, "is not plain YAML (it has an alias"),
        ("data: !!python/object/apply:os.system ['touch owned']", "could not determine a constr"),
        ("data: !!python/name:os.system", "could not determine a constructor"),
        ("data:\n  train_rows: 3\n  train_rows: 4\n", "the key 'train_rows' is there twice"),
        ("[" * 5000, "is nested too deep"),
        ("data: {train_rows: " + "[" * 400 + "]" * 400 + "}", "is nested too deep"),
        (b"data: \xff\xfe\x00", "is not plain YAML (unacceptable character"),
        ("#" * 2**21, "has 2097152 characters; at most 131072 are read"),
        ("? [1, 2]\n: 3\n", "is not plain YAML"),
        ("data: {train_rows: 2001-99-99}", "is not plain YAML (month must be"),
        ("".join(f"k{n}: 0\n" for n in range(2000)), "k0: unknown key"),
        ("just words", "must be a table of options"),
        ("- 1\n- 2\n", "must be a table of options"),
        ("model: {sigma_data: .nan}", "model.sigma_data = nan: must be a number > 0"),
        ("data: {num_workers: -4}", "data.num_workers = -4: must be at least 0"),
        ("data: {batch_size: {}}", "data.batch_size = {}: must be a whole number"),
        ("seed_everything: 99999999999999999999", "seed_everything = 99999999999999999999: must"),
        ("model: {lr_rampup: .inf}", "model.lr_rampup = inf: must be a share"),
    ],
    ids=range(18),
)
def test_a_configuration_that_means_harm(tmp_path, monkeypatch, capsys, text, says):
    monkeypatch.chdir(tmp_path)
    path = Path("mine.yaml")
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    words = ["--config", str(path), *arguments(Path("run"))]
    begun = time.process_time()
    with pytest.raises(SystemExit) as left:
        run_fit(words[2:4] + words[:2] + words[4:])
    assert left.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ") and said.count("\n") == 1 and says in said, said
    assert len(said) < 600 and time.process_time() - begun < SECONDS
    assert sorted(os.listdir()) == ["mine.yaml"]
