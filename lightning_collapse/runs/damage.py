"""What is wrong with a run's files: every one is compared with its hash, or with what it repeats.

Shards have their SHA-256 in the manifest; manifests, checkpoints and `config.yaml` carry their
own. Tables of rounds and previews repeat what manifests and shards hold.
"""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import torch

from lightning_collapse.data.store.manifest import read_manifest
from lightning_collapse.data.store.shards import StoredRows
from lightning_collapse.runs.checkpoints import is_sealed, round_checkpoint
from lightning_collapse.runs.config_file import ConfigFile
from lightning_collapse.runs.records import encode_records
from lightning_collapse.samples.sheet import PREVIEW_ROWS, encode_contact_sheet

__all__ = ["committed_rounds", "derived", "examine", "refuse_gaps"]

GONE, DAMAGED = "is gone", "is damaged"


def examine(run: Path) -> Iterator[tuple[Path, str | None]]:
    """Yields every file that a run must have, and what is wrong with it; None for nothing.

    A file is read when it is asked for, so that what is repaired meanwhile is taken into account.
    """
    folders = [run / "pool" / f"{r:04d}" for r in range(_finished_rounds(run))]
    yield run / "config.yaml", _config_fault(run)
    for folder in [run / "pool" / "real", *folders]:
        yield from _examine_folder(folder)
    for path in _checkpoints(run, len(folders)):
        yield path, None if is_sealed(path) else _gone_or_damaged(path)
    for path in [*(folder / "preview.png" for folder in folders), *_tables(run, len(folders))]:
        expected = derived(path)
        same = path.exists() and (expected is None or path.read_bytes() == expected)
        yield path, None if same else _gone_or_damaged(path)


def committed_rounds(run: Path) -> int:
    """Gives the number of rounds that a run can go on from: up to the first without manifest."""
    count = 0
    while (run / "pool" / f"{count:04d}" / "manifest.json").exists():
        count += 1
    return count


def refuse_gaps(run: Path) -> None:
    """Raises ValueError where a file is gone without which a run would go on wrongly."""
    count, manifests = committed_rounds(run), _manifest_rounds(run)
    gone = [run / "pool" / f"{count:04d}" / "manifest.json"] if manifests > count else []
    if manifests:
        own = [run / "config.yaml", run / "checkpoints" / "last.ckpt"]
        gone += [path for path in own if not path.exists()]
    if gone:
        raise ValueError(f"{gone[0]}: is gone; `lightning-collapse pool repair {run}` tells more")


def derived(path: Path) -> bytes | None:
    """Gives what a table of rounds or a preview must hold; None if that is damaged itself."""
    try:
        if path.name == "preview.png":
            first = len(read_manifest(path.parent).shards[0].crc32)
            rows = StoredRows(path.parent)[torch.arange(min(PREVIEW_ROWS, first))]
            return encode_contact_sheet(rows)
        run = path.parent
        folders = [run / "pool" / f"{r:04d}" for r in range(_finished_rounds(run))]
        records = [read_manifest(folder).record or {} for folder in folders]
        return encode_records(records)[path.name]
    except (ValueError, OSError):
        return None


def _examine_folder(folder: Path) -> Iterator[tuple[Path, str | None]]:
    path = folder / "manifest.json"
    try:
        shards = read_manifest(folder).shards
    except (ValueError, FileNotFoundError):
        yield path, _gone_or_damaged(path)
        return
    yield path, None
    for shard in shards:
        file = folder / shard.file
        same = file.exists() and _sha256(file) == shard.sha256
        yield file, None if same else _gone_or_damaged(file)


def _checkpoints(run: Path, rounds: int) -> list[Path]:
    """Gives the checkpoints that must be there, and others that are."""
    folder = run / "checkpoints"
    required = {round_checkpoint(folder, r) for r in range(rounds) if not _dropped(run, r, rounds)}
    if rounds:
        required.add(folder / "last.ckpt")
    return sorted(required | set(folder.glob("*.ckpt")))


def _dropped(run: Path, r: int, rounds: int) -> bool:
    """Whether a later round has removed the checkpoint of round r, as its recipe tells."""
    for later in range(r + 1, rounds):
        try:
            kept = read_manifest(run / "pool" / f"{later:04d}").recipe.get("checkpoints_kept")
        except (ValueError, FileNotFoundError):
            continue
        if isinstance(kept, int) and r <= later - kept:
            return True
    return False


def _tables(run: Path, rounds: int) -> list[Path]:
    return [run / name for name in ("rounds.jsonl", "rounds.csv") if rounds]


def _finished_rounds(run: Path) -> int:
    """Gives the number of rounds that were finished, by any file that tells."""
    table = run / "rounds.jsonl"
    lines = table.read_bytes().splitlines() if table.exists() else []
    told = [r + 1 for r, line in enumerate(lines) if _is_record(line, r)]
    # A round is trained only after the one before is committed.
    trained = [int(path.stem[6:]) for path in (run / "checkpoints").glob("round-[0-9]*.ckpt")]
    return max([_manifest_rounds(run), *told, *trained])


def _manifest_rounds(run: Path) -> int:
    paths = (run / "pool").glob("[0-9][0-9][0-9][0-9]/manifest.json")
    return max([int(path.parent.name) + 1 for path in paths], default=0)


def _is_record(line: bytes, r: int) -> bool:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return isinstance(record, dict) and record.get("round") == r


def _config_fault(run: Path) -> str | None:
    file = ConfigFile(run / "config.yaml")
    try:
        file.read()
    except (ValueError, FileNotFoundError):
        return _gone_or_damaged(file.path)
    return None


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _gone_or_damaged(path: Path) -> str:
    return DAMAGED if path.exists() else GONE
