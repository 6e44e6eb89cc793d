"""The run as a noun: its layout is spelled once, and it is read without Lightning."""

import ast
import json
import re
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
from tiny_runs import At, CrashError, Fit, arguments, crash, records

import lightning_collapse
from lightning_collapse import Run, read_runs
from lightning_collapse.commands.fit import run_fit
from lightning_collapse.data.store.manifest import manifest_path

PACKAGE = Path(lightning_collapse.__file__).parent
# Names that mean nothing else, and those that do unless they are a part of a path.
NAMES = {"last.ckpt", "rounds.jsonl", "config.yaml", "collapse.png", "preview.png", ".lock", ".id"}
IN_PATHS = {"pool", "checkpoints", "real", "wandb", "rounds.csv", "manifest.json"}
OTHERS = {
    ("metrics/inception_weights.py", "checkpoints"),  # torch.hub's
    ("toys/tables.py", "rounds.csv"),  # the toys' own table
    ("sweeps/claims.py", ".lock"),  # a study's own
    ("sweeps/wandb_agents.py", "wandb"),  # likewise
    ("sweeps/claims.py", ".lock"),  # a study's
    ("sweeps/wandb_agents.py", "wandb"),  # likewise
    ("data/store/manifest.py", "manifest.json"),  # any store's
}


def spelled(path: Path) -> set[str]:
    """Finds the names of a run's layout in a file's code, docstrings and messages apart."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Constant) and node.value in NAMES:
            found.add(node.value)
        if isinstance(node, ast.JoinedStr):
            texts = [leaf.value for leaf in ast.walk(node) if isinstance(leaf, ast.Constant)]
            found |= {text for text in texts if text == "04d" or str(text).endswith(".ckpt")}
        for leaf in (leaf for part in parts_of_paths(node) for leaf in ast.walk(part)):
            if isinstance(leaf, ast.Constant) and IN_PATHS & set(str(leaf.value).split("/")):
                found.add(leaf.value)
    name = str(path.relative_to(PACKAGE))
    return {text for text in found if (name, text) not in OTHERS}


def parts_of_paths(node: ast.AST) -> list[ast.expr]:
    """Gives what an expression makes a path of."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
        return [node.left, node.right]
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        makers = ("glob", "rglob", "joinpath", "with_name")
        return node.args if node.func.attr in makers else []
    return []


def test_a_runs_layout_is_spelled_in_one_file():
    files = {str(path.relative_to(PACKAGE)): spelled(path) for path in PACKAGE.rglob("*.py")}
    assert {name for name, found in files.items() if found} == {"runs/layout.py"}, files
    assert len(files["runs/layout.py"]) >= 13


READ = """
import sys
from lightning_collapse import Run, read_runs
run = Run(sys.argv[1])
print(run.rounds, run.config.path.name, len(run.records), len(read_runs(sys.argv[1])))
assert "torch" not in sys.modules
import torch
rows = run.samples(1)[torch.arange(3)]
denoised = run.denoiser(1)(rows, torch.ones(3))
print(tuple(rows.shape), tuple(denoised.shape), len(run.real_rows), run.damage())
for name in ("pytorch_lightning", "lightning_fabric", "jsonargparse"):
    assert name not in sys.modules, name
print(run.repair())
assert "pytorch_lightning" not in sys.modules
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "a"
    torch.set_num_threads(1)
    run_fit(arguments(run, data__regime="{class_path: Augment, init_args: {ratio: 0.5}}"))
    return run


def test_a_run_is_read_without_lightning(run):
    done = subprocess.run(
        [sys.executable, "-c", READ, str(run)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["2 config.yaml 2 2", "(3, 2) (3, 2) 64 {}", "{}"]


def test_what_is_read_is_what_was_written(run):
    read = Run(run)
    assert read.records == records(run)
    weights = torch.load(read.checkpoint(1), weights_only=True)["state_dict"]
    for name, value in read.denoiser(1).state_dict().items():
        assert torch.equal(value, weights[f"ema.{name}"])
    assert read.samples(0).record == read.records[0]


def test_the_documentations_example_reads_a_run(run, tmp_path, monkeypatch, capsys):
    page = (PACKAGE.parent / "docs" / "python.md").read_text()
    (example,) = re.findall(r"```python\n([^`]*read_runs\([^`]*)```", page)
    shutil.copytree(run, tmp_path / "runs" / "digits_accumulate")
    monkeypatch.chdir(tmp_path)
    seen = {}
    exec(compile(example, "python.md", "exec"), seen)
    assert capsys.readouterr().out == f"2 {records(run)[-1]['variance']}\n{{}}\n"
    assert len(seen["images"]) == 16 and len(seen["lines"]) == 2


def test_what_is_not_there_is_named(run, tmp_path):
    assert Run(tmp_path).rounds == 0
    for ask, name in [
        (lambda r: r.records, "rounds.jsonl"),
        (lambda r: r.samples(2), "pool/0002/manifest.json"),
        (lambda r: r.denoiser(2), "checkpoints/round-0002.ckpt"),
    ]:
        with pytest.raises(FileNotFoundError, match=name):
            ask(Run(run) if name != "rounds.jsonl" else Run(tmp_path))


def test_a_run_that_is_going_can_be_read(tmp_path):
    seen = []

    def look(_):
        run = Run(tmp_path)
        seen.append((run.rounds, len(run.records), len(run.samples(0)), run.damage()))

    Fit(tmp_path, callbacks=[At("on_train_batch_end", 1, 3, look)])()
    ((rounds, n, rows, damage),) = seen
    assert (rounds, n, rows) == (1, 1, 48)
    assert set(damage) == {Run(tmp_path).config.path}  # which the command alone writes


def test_damage_and_repair_are_told_by_file(run, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    mine = Run(tmp_path / "run")
    preview, manifest = mine.preview(1), manifest_path(mine.round(0))
    preview.unlink(), manifest.write_bytes(b"{}")
    assert mine.damage() == {preview: "is gone", manifest: "is damaged"}
    told = mine.repair()
    assert told[preview] == "written again" and told[manifest].startswith("is damaged: remove")


def test_read_runs_gives_flat_lines_and_names_what_it_leaves_out(run, tmp_path):
    for name in ("a", "deep/b", "damaged"):
        shutil.copytree(run, tmp_path / name)
    with pytest.raises(CrashError):
        Fit(tmp_path / "early", callbacks=[At("on_train_batch_end", 0, 2, crash)])()
    Run(tmp_path / "damaged").table.write_text("{\n")
    (tmp_path / "not a run").mkdir()
    with pytest.warns(UserWarning, match="is left out") as told:
        lines = read_runs(tmp_path)
    left_out = sorted(str(one.message).partition(" is left")[0] for one in told)
    assert left_out == [str(tmp_path / "damaged"), str(tmp_path / "early")]
    assert [(line["run"], line["round"]) for line in lines] == [
        ("a", 0),
        ("a", 1),
        ("deep/b", 0),
        ("deep/b", 1),
    ]
    (own, *_) = records(run)
    plain = {name for name, value in own.items() if not isinstance(value, (dict, list))}
    assert {name: lines[0][name] for name in plain} == {name: own[name] for name in plain}
    assert lines[0]["regime.ratio"] == 0.5
    assert lines[0]["versions.torch"] == own["versions"]["torch"]


def test_lists_in_records_become_fields(tmp_path):
    Run(tmp_path).pool.mkdir()
    record = {"round": 0, "modes": [0.5, [1, 2]], "none": None}
    Run(tmp_path).table.write_text(json.dumps(record) + "\n")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (line,) = read_runs(tmp_path)
    assert line == {
        "run": tmp_path.name,
        **{"round": 0, "modes/0": 0.5, "modes/1/0": 1, "modes/1/1": 2, "none": None},
    }
