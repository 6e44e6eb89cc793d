"""A study for W&B's agents: its grid as a sweep of W&B's, and its control as another.

    sweeps/lambda-grid/wandb/{sweep,control}.yaml        for `wandb sweep`; where a grid is no
                                                         product, sweep-AXIS=LABEL.yaml for each

An agent names options, and not a folder: `--run_root` finds the one that the run has under any
launcher, by the digest that ends its name. What is half-done is gone on with, and what is done
ends at once.
"""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from lightning_collapse.data.files import make_folder, write_atomically
from lightning_collapse.sweeps.plan import plain
from lightning_collapse.sweeps.study import PlannedRun, Study

__all__ = ["write_sweeps"]


def write_sweeps(study: Study) -> list[Path]:
    """Writes W&B's sweeps of a study, and makes the folders of its runs.

    Returns:
        The files.

    Raises:
        ValueError: the plan is of toys, or its grid is none that W&B can go through.
        OSError: a folder cannot be written.
    """
    plan = study.plan
    if plan.config is None:
        raise ValueError(f"toy = {plan.toy}: W&B's agents run `fit`; choose another launcher")
    parts: dict[str, list[PlannedRun]] = {"sweep": [], "control": []}
    for run in study.runs:
        parts["control" if run.cell.labels[0][0] == "control" else "sweep"].append(run)
    swept = {
        name: sweep
        for first, runs in parts.items()
        if runs
        for name, sweep in _sweeps(study, first, runs).items()
    }
    make_folder(folder := study.folder / "wandb")
    for run in study.runs:
        make_folder(run.folder)
    return [_write(folder / f"{plain(name)}.yaml", sweep) for name, sweep in swept.items()]


def _write(path: Path, sweep: dict[str, Any]) -> Path:
    text = yaml.safe_dump(sweep, sort_keys=False)
    write_atomically(path, lambda file: file.write(text.encode()))
    return path


def _sweeps(study: Study, name: str, runs: Sequence[PlannedRun]) -> dict[str, dict[str, Any]]:
    """A sweep of runs, or several, by the labels of the axes that set different options."""
    if (sweep := _sweep(study, runs)) is not None:
        return {name: sweep}
    for axis, _ in runs[0].cell.labels:
        parts: dict[str, list[PlannedRun]] = {}
        for run in runs:
            parts.setdefault(dict(run.cell.labels).get(axis, ""), []).append(run)
        if axis != "seed" and len(parts) > 1:
            return {
                key: sweep
                for label, own in parts.items()
                for key, sweep in _sweeps(study, f"{name}-{axis}={label}", own).items()
            }
    raise ValueError(
        "grid: its options are not a product of values, as W&B's sweeps are; "
        "choose another launcher, or split the plan"
    )


def _sweep(study: Study, runs: Sequence[PlannedRun]) -> dict[str, Any] | None:
    """A sweep of runs whose options are a product; None of others."""
    cells = [run.cell.options for run in runs]
    values = {key: _distinct([cell.get(key) for cell in cells]) for key in cells[0]}
    # Lists and tables are W&B's own language, and of null it makes None.
    plain = {key for key, found in values.items() if not any(map(_is_table, found))}
    size = math.prod(map(len, values.values()))
    if size != len(cells) or any(cell.keys() != values.keys() for cell in cells):
        return None
    words = ["--config", str(study.plan.config), "--run_root", str(study.folder)]
    words += ["--share", str(study.folder)]
    for key in values.keys() - plain:
        if len(values[key]) > 1:
            return None
        words += [f"--{key}", json.dumps(values[key][0])]
    return {
        "name": study.plan.name,
        "method": "grid",
        "parameters": {key: {"values": found} for key, found in values.items() if key in plain},
        "command": ["${env}", "lightning-collapse", "fit", *words, "${args}"],
    }


def _is_table(value: Any) -> bool:
    return value is None or isinstance(value, (dict, list))


def _distinct(values: Sequence[Any]) -> list[Any]:
    return [value for i, value in enumerate(values) if value not in values[:i]]
