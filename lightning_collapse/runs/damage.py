"""What is wrong with a run's files: every one is compared with its hash, or with what it repeats.

Shards have their SHA-256 in the manifest; manifests, checkpoints and `config.yaml` carry their
own. Tables of rounds and previews repeat what manifests and shards hold.
"""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import torch

from lightning_collapse.data.store.manifest import is_committed, manifest_path, read_manifest
from lightning_collapse.runs.checkpoints import is_sealed
from lightning_collapse.runs.config_file import ConfigFile
from lightning_collapse.runs.layout import Run
from lightning_collapse.runs.records import encode_csv, encode_table
from lightning_collapse.samples.sheet import PREVIEW_ROWS, encode_contact_sheet

__all__ = ["derived", "examine", "finished_rounds", "refuse_gaps"]


def examine(run: Run) -> Iterator[tuple[Path, str | None]]:
    """Yields every file that a run must have, and what is wrong with it; None for nothing.

    What a file can be made again from comes before it: the configuration after checkpoints, real
    rows after that, samples after all of these, tables and previews last. A file is read when it
    is asked for, so that what is repaired meanwhile is taken into account.
    """
    rounds = finished_rounds(run)
    for path in _checkpoints(run, rounds):
        yield path, _fault(path, is_sealed(path))
    yield run.config.path, _fault(run.config.path, _is_readable(run.config))
    for folder in [run.real, *map(run.round, range(rounds))]:
        yield from _examine_folder(folder)
    for path in [*map(run.preview, range(rounds)), *([run.table, run.csv] if rounds else [])]:
        expected = derived(run, path)
        same = path.exists() and (expected is None or path.read_bytes() == expected)
        yield path, _fault(path, same)


def refuse_gaps(run: Run) -> None:
    """Raises ValueError where a file is gone without which a run would go on wrongly."""
    count, manifests = run.rounds, _manifest_rounds(run)
    gone = [manifest_path(run.round(count))] if manifests > count else []
    if manifests:
        gone += [path for path in (run.config.path, run.last) if not path.exists()]
    if gone:
        raise ValueError(f"{gone[0]}: is gone; `lightning-collapse pool repair {run}` tells more")


def derived(run: Run, path: Path) -> bytes | None:
    """Gives what a table of rounds or a preview must hold; None if that is damaged itself."""
    try:
        if (r := run.round_of(path)) is not None:
            samples = run.samples(r)
            first = min(PREVIEW_ROWS, len(samples.shards[0].crc32))
            return encode_contact_sheet(samples[torch.arange(first)])
        manifests = [read_manifest(run.round(r)) for r in range(finished_rounds(run))]
        records = [manifest.record or {} for manifest in manifests]
        return (encode_table if path == run.table else encode_csv)(records)
    except (ValueError, OSError):
        return None


def _examine_folder(folder: Path) -> Iterator[tuple[Path, str | None]]:
    path = manifest_path(folder)
    try:
        shards = read_manifest(folder).shards
    except (ValueError, FileNotFoundError):
        yield path, _fault(path, False)
        return
    yield path, None
    for shard in shards:
        file = folder / shard.file
        same = file.exists() and hashlib.sha256(file.read_bytes()).hexdigest() == shard.sha256
        yield file, _fault(file, same)


def _checkpoints(run: Run, rounds: int) -> list[Path]:
    """Gives the checkpoints that must be there, and others that are."""
    required = {run.checkpoint(r) for r in range(rounds) if not _dropped(run, r, rounds)}
    if rounds:
        required.add(run.last)
    return sorted(required | set(run.checkpoints.glob("*.ckpt")))


def _dropped(run: Run, r: int, rounds: int) -> bool:
    """Whether a later round has removed the checkpoint of round r, as its recipe tells."""
    for later in range(r + 1, rounds):
        try:
            recipe = read_manifest(run.round(later)).recipe
        except (ValueError, FileNotFoundError):
            continue
        kept = recipe.get("checkpoints_kept")
        if r == 0 and "first" in recipe:
            return False  # a guide needs it
        if isinstance(kept, int) and r <= later - kept:
            return True
    return False


def finished_rounds(run: Run) -> int:
    """Gives the number of rounds that were finished, by any file that tells."""
    told = [r + 1 for r, line in enumerate(_lines(run.table)) if _is_record(line, r)]
    told += [r for r, line in enumerate(_lines(run.csv)) if line.startswith(b"%d," % (r - 1))]
    # A round is trained only after the one before is committed.
    trained = [run.round_of(path) or 0 for path in run.checkpoints.glob("*.ckpt")]
    return max([_manifest_rounds(run), *told, *trained])


def _manifest_rounds(run: Run) -> int:
    folders = [manifest_path(folder) for folder in run.pool.glob("*") if is_committed(folder)]
    found = [run.round_of(path) for path in folders]
    return max([r + 1 for r in found if r is not None], default=0)


def _lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines() if path.exists() else []


def _is_readable(config: ConfigFile) -> bool:
    try:
        config.read()
    except (ValueError, FileNotFoundError):
        return False
    return True


def _is_record(line: bytes, r: int) -> bool:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return isinstance(record, dict) and record.get("round") == r


def _fault(path: Path, whole: bool) -> str | None:
    return None if whole else "is damaged" if path.exists() else "is gone"
