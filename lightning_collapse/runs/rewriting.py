"""New records for rounds that are finished: whatever interrupts it, all are in place or none is.

Records lie in the manifests of their rounds. The new ones are first written to one file, by whose
rename they count; whoever takes the run's lock next puts in place what is left of them.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from lightning_collapse.data.files import remove, write_atomically
from lightning_collapse.data.store.manifest import (
    finite,
    read_manifest,
    sealed,
    unsealed,
    write_manifest,
)
from lightning_collapse.runs.layout import Run
from lightning_collapse.runs.records import check_record, write_records

__all__ = ["finish_rewriting", "rewrite_records"]


def rewrite_records(run: Run, records: Sequence[dict[str, Any]]) -> None:
    """Gives all finished rounds new records; the caller holds the run's lock.

    Raises:
        OSError: the disk is full or fails; the run is as it was, or the next start finishes.
    """
    text = sealed({"records": finite(list(records))})
    write_atomically(run.rewriting, lambda file: file.write(text))
    finish_rewriting(run)


def finish_rewriting(run: Run) -> None:
    """Puts in place what an earlier start has left of new records; ValueError where damaged."""
    if not run.rewriting.exists():
        return
    records = _read(run)
    for r, record in enumerate(records):
        # A manifest that is gone or damaged is for `pool verify` to tell.
        with suppress(FileNotFoundError, ValueError):
            write_manifest(run.round(r), replace(read_manifest(run.round(r)), record=record))
    write_records(run, records)
    remove([run.rewriting])


def _read(run: Run) -> list[dict[str, Any]]:
    fields = unsealed(run.rewriting.read_bytes()) or {}
    records = fields.get("records")
    try:
        if not isinstance(records, list):
            raise ValueError("holds no records")
        for r, record in enumerate(records):
            check_record(record, r)
    except (ValueError, AttributeError) as error:
        raise ValueError(
            f"{run.rewriting}: is damaged ({error}); remove it, and measure the run again"
        ) from error
    return records
