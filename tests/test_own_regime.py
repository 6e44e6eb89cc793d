"""The documentation's regime, in a user's file, gives right numbers in `fit` and in every toy."""

import json
import re
import sys
from pathlib import Path

import pytest

from lightning_collapse import __main__ as front_door

PAGE = (Path(__file__).parents[1] / "docs" / "extending.md").read_text()
MINE = re.search(r"## A regime of your own.*?```python\n(.*?)```", PAGE, flags=re.DOTALL)[1]
# Of N = 40: the shares are 0, 1/4, 1/2, 3/4, 1.
OPTIONS = ["--regime=mine.Ramp", '--regime_options={"step": 0.25}', "--n=40", "--rounds=5"]
REAL = [40, 30, 20, 10, 0]


@pytest.fixture
def command(tmp_path, monkeypatch):
    """Runs a command in a folder that has mine.py, as the front door does."""
    (tmp_path / "mine.py").write_text(MINE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "mine", raising=False)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["lightning-collapse", *arguments])
        try:
            front_door.main()
        except SystemExit as end:
            return end.code
        return 0

    yield run
    sys.modules.pop("mine", None)


def conditions(out):
    return json.loads((Path(out) / "summary.json").read_text())["conditions"]


def test_toy_gaussian(command):
    assert command("toy", "gaussian", *OPTIONS, "--replicas=4000", "--out=out") == 0
    (course,) = conditions("out")
    assert course["regime"] == "Ramp(step=0.25)"
    assert course["lambda"] is None
    assert course["n_real"] == REAL
    assert course["n_synthetic"] == [40 - n for n in REAL]
    assert course["theory"] == {}
    # Of a sum: E[v] of round 1 with m = 30 real rows of the first fit's, k = 10 new of it.
    m, k, n = 30, 10, 40
    fit, apart = 1 - 1 / n, 1 / m - 1 / n
    expected = (m * (1 - 1 / m) + k * (1 - 1 / k) * fit + m * k / n * (apart + fit / k)) / n
    assert course["variance_mean"][1] == pytest.approx(2 * expected, abs=4 * 2 * 0.22 / 4000**0.5)


def test_toy_regression(command):
    many = ["--dim=2", "--replicas=2000", "--out=out"]
    assert command("toy", "regression", *OPTIONS, *many) == 0
    (course,) = conditions("out")
    assert course["inputs"] == "fresh"
    assert course["theory"] == {}
    base = 2 / (40 - 2 - 1)
    assert course["error_mean"][0] == pytest.approx(base, rel=0.1)
    assert base < course["error_mean"][-1] < 5 * base
    assert course["error_mean"] == sorted(course["error_mean"])


def test_toy_gmm(command):
    assert command("toy", "gmm", *OPTIONS, "--replicas=2", "--out=out") == 0
    (course,) = conditions("out")
    assert course["regime"] == "Ramp(step=0.25)"
    assert len(course["variance_mean"]) == 5


def test_fit(command):
    source = (
        '{"class_path": "lightning_collapse.data.sources.points.Mixture", "init_args": {"n": 56}}'
    )
    network = '{"class_path": "SigmaMLP", "init_args": {"dim": 2, "width": 8, "depth": 1}}'
    words = {
        "run": "run",
        "trainer.max_epochs": 5,
        "trainer.accelerator": "cpu",
        "trainer.logger": "false",
        "data.source": source,
        "data.regime": "mine.Ramp",
        "data.regime.step": 0.25,
        "data.train_rows": 40,
        "data.held_out_rows": 16,
        "data.images_per_round": 32,
        "data.batch_size": 16,
        "model.network": network,
        "loop.sampling.num_steps": 4,
    }
    assert command("fit", *(f"--{name}={value}" for name, value in words.items())) == 0
    lines = Path("run/rounds.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    assert [record["n_real"] for record in records] == REAL
    assert [record["n_synthetic"] for record in records] == [40 - n for n in REAL]
    assert {record["regime"] for record in records} == {"Ramp"}
    assert records[0]["regime_options"] == {"step": 0.25}
    assert Path("run/collapse.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--regime=mine.Rmap"], "regime = mine.Rmap: cannot be imported (module 'mine' has no"),
        (["--regime=yours.Ramp"], "regime = yours.Ramp: cannot be imported (No module named"),
        (["--regime=os.getcwd"], "regime = os.getcwd: must be a class that is derived from Reg"),
        (["--regime=mine.Ramp"], "regime_options = {}: Ramp.__init__() missing 1 required"),
        (['--regime_options={"stride": 1}'], "regime_options.stride: unknown; Ramp has step"),
        (['--regime_options={"step": "far"}'], "regime_options: step = far: must be a number"),
        (["--regime_options=3"], "regime_options = 3: must be a table in braces or null"),
        (["--lambdas=0.5"], "lambdas = 0.5: Ramp has no synthetic_fraction for λ to set; leave"),
        (
            ["--regime=Replace", '--regime_options={"synthetic_fraction": 2}'],
            "synthetic_fraction = 2.0: must be a number in [0, 1]",
        ),
        (
            ["--regime=Replace", '--regime_options={"synthetic_fraction": 0.2}', "--lambdas=0.5"],
            "regime_options.synthetic_fraction: is what lambdas sets; leave one of them out",
        ),
    ],
)
@pytest.mark.parametrize("toy", ["gaussian", "regression", "gmm", "diffusion"])
def test_bad_options_are_one_line(command, capsys, toy, options, said):
    given = {word.partition("=")[0]: word for word in [*OPTIONS[:1], *options]}
    if "--regime_options" not in given and "--lambdas" in given:
        given["--regime_options"] = OPTIONS[1]
    assert command("toy", toy, *given.values(), "--out=new") == 2
    out, err = capsys.readouterr()
    (line,) = err.splitlines()
    assert out == ""
    assert line.startswith(f"error: {said}")
    assert not Path("new").exists()
