"""The run's table of rounds: `rounds.jsonl` and `rounds.csv`, rewritten from the manifests."""

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lightning_collapse.data.files import write_atomically

__all__ = ["read_records", "round_table", "write_records"]

Record = dict[str, Any]


def write_records(run: Path, records: Sequence[Record]) -> None:
    """Writes one line a round to `rounds.jsonl`, and the same as `rounds.csv`."""
    lines = "".join(json.dumps(record) + "\n" for record in records)
    write_atomically(run / "rounds.jsonl", lambda file: file.write(lines.encode()))
    table = io.StringIO()
    writer = csv.DictWriter(table, records[0].keys(), lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    text = table.getvalue().encode()
    write_atomically(run / "rounds.csv", lambda file: file.write(text))


def read_records(run: Path) -> list[Record]:
    """Reads the records of a run's finished rounds.

    Raises:
        FileNotFoundError: the run has none.
    """
    path = run / "rounds.jsonl"
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; has the run finished a round?")
    return [json.loads(line) for line in path.read_text().splitlines()]


def round_table(records: Sequence[Record]) -> str:
    """Gives a table of rounds for people, a line a round."""
    fd = distance_name(records[0])
    columns = {
        "round": "{round}",
        "real": "{n_real}",
        "synthetic": "{n_synthetic}",
        "train loss": "{train_loss:.4f}",
        "val loss": "{val_loss:.4f}",
        "mean": "{mean:+.4f}",
        "variance": "{variance:.4f}",
        fd: f"{{{fd}:.3f}}",
        "floor": f"{{{fd}_floor:.3f}}",
    }
    unknown = {"train_loss": float("nan"), "val_loss": float("nan")}
    rows = [
        [form.format(**{**record, **_known(record, unknown)}) for form in columns.values()]
        for record in records
    ]
    widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
    lines = [list(columns), *rows]
    return "\n".join(
        "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True))
        for line in lines
    )


def distance_name(record: Record) -> str:
    """Gives the name of the record's Fréchet distance, such as `fd_pixels`."""
    return next(name for name in record if name.startswith("fd_") and f"{name}_floor" in record)


def _known(record: Record, defaults: Record) -> Record:
    return {name: record[name] for name in defaults if record[name] is not None} or {}
