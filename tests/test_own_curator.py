"""The documentation's curator, in a user's file, keeps what it says, in `fit` and in the toy."""

import json
import re
import sys
from pathlib import Path

import pytest
import torch
from tiny_runs import arguments, records

from lightning_collapse import __main__ as front_door
from lightning_collapse.runs.layout import Run
from lightning_collapse.runs.split import split

PAGE = (Path(__file__).parents[1] / "docs" / "extending.md").read_text()
MINE = re.search(r"## A curator of your own.*?```python\n(.*?)```", PAGE, flags=re.DOTALL)[1]


@pytest.fixture
def command(tmp_path, monkeypatch):
    """Runs a command in a folder that has mine.py, as the front door does."""
    (tmp_path / "mine.py").write_text(MINE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "mine", raising=False)

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["lightning-collapse", *words])
        try:
            front_door.main()
        except SystemExit as end:
            return end.code
        return 0

    yield run
    sys.modules.pop("mine", None)


def test_fit(command):
    assert command("fit", *arguments(Path("run"), data__curator="mine.Inside")) == 0
    record = records(Path("run"))[1]
    run, pool = Run("run"), Run("run").real_rows
    real, _ = split(pool, 0, 48, 16)
    rows, samples = real[torch.arange(48)], run.samples(0)[torch.arange(48)]
    inside = ((samples >= rows.amin(0)) & (samples <= rows.amax(0))).all(1)
    assert (record["curator"], record["n_offered"]) == ("Inside", 48)
    assert record["n_synthetic"] == int(inside.sum()) < 48


def test_toy_discrete(command):
    words = ["--curator=mine.Inside", "--lambdas=1", "--rounds=3", "--replicas=2", "--out=out"]
    assert command("toy", "discrete", *words) == 0
    (course,) = json.loads(Path("out/summary.json").read_text())["conditions"]
    assert course["curator"] == "Inside()"
    assert course["n_synthetic"] == [0, 100, 100]


def test_a_wrong_path_is_one_line(command, capsys):
    assert command("fit", *arguments(Path("run"), data__curator="mine.Outside")) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: data.curator = mine.Outside")
