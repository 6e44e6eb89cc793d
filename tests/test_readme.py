"""What the README shows works as it stands there."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def test_python_examples_run(capsys):
    examples = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert examples
    for example in examples:
        if "Run(" in example:
            continue  # reads a run, in runs/test_layout.py
        exec(compile(example, "README.md", "exec"), {})
    assert len(capsys.readouterr().out.splitlines()) == 5


def test_table_names_every_configuration():
    named = set(re.findall(r"^\| `(\w+)` \| ", README, flags=re.MULTILINE))
    assert {path.stem for path in (ROOT / "configs").glob("*.yaml")} <= named


def test_make_targets_exist():
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"\bmake (\w+)", README):
        if target != "a":  # "make a virtual environment"
            assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target
