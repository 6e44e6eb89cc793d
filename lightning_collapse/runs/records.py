"""The run's table of rounds: `rounds.jsonl` and `rounds.csv`, rewritten from the manifests."""

import csv
import io
import json
import os
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from lightning_collapse.data.files import write_atomically
from lightning_collapse.runs.layout import Run

__all__ = [
    "check_record",
    "check_runs",
    "distance_name",
    "encode_csv",
    "encode_table",
    "read_records",
    "read_runs",
    "runs_in",
    "table_header",
    "table_line",
    "write_records",
]

Record = dict[str, Any]

_COLUMNS = {
    "round": "",
    "n_real": "",
    "n_synthetic": "",
    "train_loss": ".4f",
    "val_loss": ".4f",
    "mean": "+.4f",
    "variance": ".4f",
}


def write_records(run: Run, records: Sequence[Record]) -> None:
    """Writes one line a round to `rounds.jsonl`, and the same as `rounds.csv`."""
    write_atomically(run.table, lambda file: file.write(encode_table(records)))
    write_atomically(run.csv, lambda file: file.write(encode_csv(records)))


def encode_table(records: Sequence[Record]) -> bytes:
    """Gives the content of `rounds.jsonl`."""
    return "".join(json.dumps(record) + "\n" for record in records).encode()


def encode_csv(records: Sequence[Record]) -> bytes:
    """Gives the content of `rounds.csv`."""
    table = io.StringIO()
    # All records' names: a run may be resumed by a version that records more.
    names = dict.fromkeys(name for record in records for name in record)
    writer = csv.DictWriter(table, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in r.items()} for r in records)
    return table.getvalue().encode()


def _cell(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, (dict, list)) else value


def read_records(run: Run) -> list[Record]:
    """Reads the records of a run's finished rounds.

    Raises:
        FileNotFoundError: the run has none.
        ValueError: a line is no record.
    """
    path = run.table
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; has the run finished a round?")
    return [_parsed(run, r, line) for r, line in enumerate(path.read_bytes().splitlines())]


def _parsed(run: Run, r: int, line: bytes) -> Record:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        record = None
    if not isinstance(record, dict) or record.get("round") != r:
        # What is kept of a run has no manifests to write it from.
        cure = (
            "`lightning-collapse pool repair` writes it again"
            if run.pool.is_dir()
            else "copy it again"
        )
        raise ValueError(f"{run.table}: line {r + 1} is not the record of round {r}; {cure}")
    return record


def read_runs(folder: str | os.PathLike[str]) -> list[Record]:
    """Reads the records of all runs in a folder and in those below it.

    Runs without a finished round, or with a damaged table of rounds, are left out with a warning.

    Returns:
        One flat table line a round, for `pandas.DataFrame`: `run`, the path below the folder, and
        the record's fields. Of a list, each number is a field of its own, as `modes/0`; so is each
        option of the regime, as `regime.fraction`.

    Raises:
        FileNotFoundError: there is no such folder.
    """
    if not Path(folder).is_dir():
        raise FileNotFoundError(f"{folder}: no such folder; name one that holds runs")
    lines = []
    for run in runs_in(Path(folder)):
        try:
            records = run.records
        except (ValueError, OSError) as error:
            warnings.warn(f"{run} is left out: {error}", stacklevel=2)
            continue
        name = os.path.relpath(run, folder) if run.path != Path(folder) else run.path.name
        lines += [{"run": name, **dict(_flat(record))} for record in records]
    return lines


def check_runs(paths: Iterable[Path]) -> None:
    """Raises ValueError where a folder neither is a run nor holds any."""
    for path in paths:
        if next(runs_in(path), None) is None:
            raise ValueError(f"runs = {path}: holds no run; name a run's folder, or one of many")


def runs_in(folder: Path) -> Iterator[Run]:
    """Finds the runs in a folder, which may itself be one, by name; a run holds no others."""
    for path, folders, _ in os.walk(folder):
        if (run := Run(path)).is_here:
            folders.clear()
            yield run
        folders.sort()


def _flat(record: Record) -> Iterator[tuple[str, Any]]:
    for name, value in record.items():
        if isinstance(value, dict):
            prefix = name.removesuffix("_options")
            yield from _flat({f"{prefix}.{key}": part for key, part in value.items()})
        elif isinstance(value, list):
            yield from _flat({f"{name}/{i}": part for i, part in enumerate(value)})
        else:
            yield name, value


def check_record(record: Record, r: int) -> Record:
    """Gives a record back; raises ValueError where it is not that of round r."""
    try:
        table_line(record)
    except (LookupError, TypeError, ValueError, ArithmeticError) as error:
        raise ValueError(f"round {r} has a record that cannot be read ({error!r:.80})") from error
    if record.get("round") != r:
        raise ValueError(f"round {r} has the record of round {record['round']!r:.20}")
    return record


def table_header(distance: str) -> str:
    """Gives the head of a table of rounds, for the Fréchet distance of that name."""
    return _line([*_COLUMNS, distance, "floor"])


def table_line(record: Record) -> str:
    """Gives a round's line of the table."""
    fd = distance_name(record)
    columns = {**_COLUMNS, fd: "#.4g", f"{fd}_floor": "#.4g"}
    line = _line(
        "-" if record[name] is None else format(record[name], form)
        for name, form in columns.items()
    )
    # Not a column: most runs have none.
    collapsed = record.get("collapsed")
    return f"{line}  collapsed: {collapsed}" if collapsed else line


def _line(cells: Iterable[str]) -> str:
    return "  ".join(cell.rjust(11) for cell in cells)


def distance_name(record: Record) -> str:
    """Gives the name of a record's Fréchet distance, such as `fid`; LookupError for none."""
    for name in record:
        if name.startswith(("fd_", "fid")) and f"{name}_floor" in record:
            return name
    raise LookupError("no Fréchet distance with a floor")
