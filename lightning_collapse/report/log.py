"""The experimental log: what a user would write down of a run by hand, appended to a file.

    ## 2026-11-26 · replace-seed=0
    <!-- lightning-collapse 764a03387e6e round 4 -->
    - Parameters: Replace(synthetic_fraction=1.0); N = 200, …
    - Results, round 0 → 4: fd_pixels 10.4 → 25.2 (floor 1.2); …
    - Notes:

The comment tells which run and which of its rounds an entry is of: it is never written twice.
Whatever else the file holds, notes above all, is left as it is.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from lightning_collapse.data.files import make_folder, write_atomically
from lightning_collapse.runs.layout import Run
from lightning_collapse.runs.records import distance_name

__all__ = ["append_log"]

Record = Mapping[str, Any]

_TITLE = "# Experiments\n"
_RUN = ("config_sha256", "seed", "split_seed", "regime", "regime_options", "n_train")
_TOLD = ("val_loss", "total_variance")
_SPACES = ("sw2", "precision", "recall")


def append_log(path: Path, runs: Iterable[Run]) -> list[str]:
    """Adds an entry for each run that has none yet of its last round; gives their names.

    Raises:
        OSError: the file cannot be read or written.
        ValueError: the file is no text, or a run is damaged.
    """
    try:
        text = path.read_text("utf-8") if path.exists() else _TITLE
    except UnicodeDecodeError as error:
        raise ValueError(f"log = {path}: is no text ({error}); name another file") from error
    added = []
    for run in runs:
        records = run.records
        marker = (
            f"<!-- lightning-collapse {_identity(run, records[0])} round {len(records) - 1} -->"
        )
        if marker in text:
            continue
        text = f"{text.rstrip()}\n\n{_entry(run, records, marker)}"
        added.append(run.path.resolve().name)
    if added:
        make_folder(path.parent)
        write_atomically(path, lambda file: file.write(text.encode()))
    return added


def _identity(run: Run, first: Record) -> str:
    """Of the folder's name and what was run: equal for a run that goes on, wherever it lies."""
    told = [run.path.resolve().name, *map(first.get, _RUN)]
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:12]


def _entry(run: Run, records: Sequence[Record], marker: str) -> str:
    # When the last round ended: a copy keeps it as little as a log kept by hand would.
    date = datetime.fromtimestamp(run.table.stat().st_mtime).date().isoformat()
    last = len(records) - 1
    return "\n".join(
        [
            f"## {date} · {run.path.resolve().name}",
            marker,
            f"- Parameters: {_parameters(run, records[0])}",
            f"- Results, round 0 → {last}: {_results(records)}",
            "- Notes:",
            "",
        ]
    )


def _parameters(run: Run, first: Record) -> str:
    options = first.get("regime_options") or {}
    regime = ", ".join(f"{name}={value}" for name, value in options.items())
    told = [f"{first.get('regime')}({regime})"]
    config = run.config.read() if run.config.path.exists() else {}
    for part, key in (("data", "source"), ("model", "network")):
        found = (config.get(part) or {}).get(key)
        if isinstance(found, dict) and isinstance(found.get("class_path"), str):
            told.append(found["class_path"].rpartition(".")[2])
    sampling = (config.get("loop") or {}).get("sampling")
    if isinstance(sampling, dict):
        told.append(f"{sampling.get('solver')}, {sampling.get('num_steps')} steps")
    names = {
        "n_train": "N",
        "n_held_out": "held out",
        "n_samples": "samples",
        "images_seen": "images seen in round 0",
        "restart": "restart",
        "seed": "seed",
        "split_seed": "split",
    }
    told += [f"{name} = {first[key]}" for key, name in names.items() if key in first]
    version = (first.get("versions") or {}).get("lightning_collapse")
    return "; ".join([*told, *([f"version {version}"] if version else [])])


def _results(records: Sequence[Record]) -> str:
    first, last = records[0], records[-1]
    fd = distance_name(dict(first))
    space = "inception" if fd == "fid" else fd.removeprefix("fd_")
    told = []
    for name in (fd, *_TOLD, *(f"{figure}_{space}" for figure in _SPACES)):
        if name in first or name in last:
            floor = first.get(f"{name}_floor")
            beside = "" if floor is None else f" (floor {_number(floor)})"
            told.append(f"{name} {_number(first.get(name))} → {_number(last.get(name))}{beside}")
    told += [
        f"round {record['round']} collapsed: {record['collapsed']}"
        for record in records
        if record.get("collapsed")
    ]
    return "; ".join(told)


def _number(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, (int, float)) else "–"
