"""What README and its pages show works as it stands there."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
README, PYTHON, EXPERIMENT = (
    (ROOT / page).read_text() for page in ("README.md", "docs/python.md", "docs/experiment.md")
)


def test_python_examples_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    examples = re.findall(r"```python\n(.*?)```", PYTHON, flags=re.DOTALL)
    assert examples
    for example in examples:
        if "Run(" in example:
            continue  # reads a run, in runs/test_layout.py
        exec(compile(example, "python.md", "exec"), {})
    # Among Lightning's bars.
    out = capsys.readouterr().out
    assert len(re.findall(r"^\d \d+ [\d.]+$", out, flags=re.MULTILINE)) == 5 + 2


def test_the_mixture_of_the_example_loses_modes_where_all_is_replaced_alone(tmp_path, cli):
    (words,) = re.findall(r"^    lightning-collapse (toy gmm .*)$", README, flags=re.MULTILINE)
    status, out, err = cli(*words.split(), "--out", str(tmp_path))
    assert status == 0, err
    modes = re.findall(r"^λ = (\S+) +modes_covered +(\S+)", out, flags=re.MULTILINE)
    left = {share: float(number) for share, number in modes}
    assert left["0.1"] == left["0.5"] == 3 and left["1"] < 1.5


def test_table_names_every_configuration():
    named = set(re.findall(r"^\| `(\w+)` \| ", EXPERIMENT, flags=re.MULTILINE))
    assert {path.stem for path in (ROOT / "configs").glob("*.yaml")} <= named


def test_make_targets_exist():
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"\bmake (\w+)", README):
        if target != "a":  # "make a virtual environment"
            assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target
