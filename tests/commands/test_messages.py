"""Messages are made by jsonargparse itself, as the installed version words them."""

from typing import Literal

import pytest
from jsonargparse import ArgumentParser

from lightning_collapse.commands.messages import one_line
from lightning_collapse.regimes import Regime

KEYS = ["data.batch_size", "data.restart", "data.regime", "synthetic_fraction", "size", "ratio"]
CLASSES = [regime.__name__ for regime in Regime.__subclasses__()]
REPLACE = ["--data.regime", "Replace"]


class RefusalError(Exception):
    pass


class Parser(ArgumentParser):
    def error(self, message, ex=None):
        raise RefusalError(message)


class Data:
    def __init__(
        self,
        regime: Regime,
        batch_size: int = 128,
        restart: Literal["scratch", "warm", "initial"] = "scratch",
        rows: int | None = None,
        rate: float = 0.1,
    ):
        pass


def refusal(arguments):
    parser = Parser(allow_abbrev=False)
    parser.add_argument("--config", action="config")
    parser.add_class_arguments(Data, "data")
    with pytest.raises(RefusalError) as caught:
        parser.parse_args(arguments)
    return one_line(str(caught.value), KEYS, CLASSES)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            ["--data.batch_sise", "3", *REPLACE],
            "data.batch_sise: unknown key; did you mean data.batch_size?",
        ),
        (["--data.batch_sise=3", *REPLACE], "data.batch_sise: unknown key; did you mean data."),
        ([*REPLACE, "--nonsense", "3"], "nonsense: unknown key"),
        (
            ["--data.regime", "Replce"],
            "data.regime = Replce: unknown class; did you mean Replace?",
        ),
        (["--data.regime", "Nonsense"], "data.regime = Nonsense: unknown class"),
        (
            ["--data.regime", "lightning_collapse.regimes.Replce"],
            "data.regime = lightning_collapse.regimes.Replce: unknown class; did you mean Repl",
        ),
        ([], "data.regime: missing; name it in the configuration or on the command line"),
        (
            [*REPLACE, "--data.batch_size", "many"],
            "data.batch_size = many: must be a whole number",
        ),
        ([*REPLACE, "--data.batch_size", "1.5"], "data.batch_size = 1.5: must be a whole number"),
        ([*REPLACE, "--data.rate", "fast"], "data.rate = fast: must be a number"),
        ([*REPLACE, "--data.rows", "many"], "data.rows = many: must be a whole number or null"),
        (
            [*REPLACE, "--data.restart", "wram"],
            "data.restart = wram: must be one of scratch, warm, initial; did you mean warm?",
        ),
        (
            [*REPLACE, "--data.regime.synthetic_fracton", "0.3"],
            "synthetic_fracton: unknown key; did you mean synthetic_fraction?",
        ),
        (
            [*REPLACE, "--data.regime.synthetic_fraction", "lots"],
            "synthetic_fraction = lots: must be a number",
        ),
    ],
)
def test_names_key_value_and_way_out(arguments, line):
    assert refusal(arguments).startswith(line)


def test_an_option_of_another_class_is_not_its_own_correction():
    assert refusal([*REPLACE, "--data.regime.ratio", "2"]) == "ratio: unknown key"


def test_names_mistakes_in_a_file(tmp_path):
    config = tmp_path / "bad.yaml"
    assert refusal(["--config", str(config)]) == f"config = {config}: no such file"
    config.write_text("data:\n  regime:\n    class_path: Replace\n  batch_sise: 3\n")
    line = "data.batch_sise: unknown key; did you mean data.batch_size?"
    assert refusal(["--config", str(config)]) == line


@pytest.mark.parametrize("text", ["data: [1,\n", "- 3\n", "data:\n  rate: {a: 1\n  b: 2}\n"])
def test_a_file_that_is_no_configuration_is_still_one_line(tmp_path, text):
    (tmp_path / "bad.yaml").write_text(text)
    line = refusal(["--config", str(tmp_path / "bad.yaml")])
    assert line
    assert "\n" not in line


def test_an_unknown_message_is_kept_whole():
    assert one_line("something\n   quite\nnew", KEYS, CLASSES) == "something quite new"
