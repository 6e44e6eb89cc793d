"""Making a run's damaged files again, byte for byte, from what is still whole.

Samples come again from their recipe and their round's checkpoint, real rows from their source, the
configuration from a checkpoint, tables and previews from manifests and shards.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from jsonargparse import ArgumentError, ArgumentParser

from lightning_collapse.data.files import link_atomically, write_atomically
from lightning_collapse.data.sources.source import Source
from lightning_collapse.data.store.manifest import MAX_SHARD_ROWS, read_manifest
from lightning_collapse.data.store.shards import StoredRows, encode_shard, shard_path
from lightning_collapse.runs.checkpoints import is_sealed, read_checkpoint, round_checkpoint
from lightning_collapse.runs.config_file import ConfigFile
from lightning_collapse.runs.damage import committed_rounds, derived, examine
from lightning_collapse.runs.denoiser import load_run_denoiser
from lightning_collapse.samples.rounds import RoundSampler
from lightning_collapse.sampling.choice import Sampling

__all__ = ["repair"]


def repair(run: Path, trust_class: str | None = None) -> Iterator[tuple[Path, str | None, bool]]:
    """Makes the damaged files of a run again.

    Args:
        run: folder of the run.
        trust_class: class of its network, such as `mine.Net`, if it is not of this package.

    Yields:
        Every file; what was done about it, or why nothing could be, None for an intact one; and
        whether it is whole now.
    """
    for path, fault in examine(run):
        if fault is None:
            yield path, None, True
            continue
        try:
            yield path, _repair(run, path, trust_class), True
        except (ValueError, OSError) as error:
            yield path, f"{fault}: {error}", False


def _repair(run: Path, path: Path, trust_class: str | None) -> str:
    """Makes one file again, and says how; raises ValueError or OSError with what prevents it."""
    if path.name == "config.yaml":
        return _restore_config(run)
    if path.suffix == ".ckpt":
        return _relink(run, path)
    if path.name in ("preview.png", "rounds.jsonl", "rounds.csv"):
        return _derive(path)
    if path.parent.name == "real":
        return _import_again(run, path)
    if path.name == "manifest.json":
        raise ValueError(_way_back(run, int(path.parent.name)))
    return _sample_again(run, path, trust_class)


def _restore_config(run: Path) -> str:
    folder = run / "checkpoints"
    for path in [folder / "last.ckpt", *sorted(folder.glob("round-*.ckpt"), reverse=True)]:
        text = read_checkpoint(path).get("config") if is_sealed(path) else None
        if isinstance(text, str):
            ConfigFile(run / "config.yaml").restore(text)
            return f"restored from {path.name}"
    raise ValueError("no intact checkpoint holds a copy; start again in another --run")


def _relink(run: Path, path: Path) -> str:
    """Restores a checkpoint from another name of it, or `last.ckpt` from a round's end."""
    folder, last = run / "checkpoints", run / "checkpoints" / "last.ckpt"
    rounds = committed_rounds(run)
    if path != last:
        end_of_round = {"round": int(path.stem[6:]) + 1, "step": 0}
        if is_sealed(last) and read_checkpoint(last)["PoolDataModule"] == end_of_round:
            link_atomically(last, path)
            return "restored from last.ckpt"
        raise ValueError("there is no copy; the run can go on, but not make its samples again")
    for r in (rounds, rounds - 1):
        end = round_checkpoint(folder, r)
        if is_sealed(end):
            link_atomically(end, last)
            return f"restored from {end.name}; steps after it are made again"
    raise ValueError(_way_back(run, rounds))


def _way_back(run: Path, r: int) -> str:
    """Says how to make round r again, and what comes after it."""
    for before in range(r, -1, -1):
        path = round_checkpoint(run / "checkpoints", before)
        if is_sealed(path):
            return (
                f"remove the folders from pool/{before:04d} on and go on with --ckpt_path {path}: "
                "the same rounds come out"
            )
    return "no checkpoint of its round or before is left; start again in another --run"


def _derive(path: Path) -> str:
    content = derived(path)
    if content is None:
        raise ValueError("what it repeats is damaged itself")
    write_atomically(path, lambda file: file.write(content))
    return "written again"


def _sample_again(run: Path, path: Path, trust_class: str | None) -> str:
    stored = StoredRows(path.parent)
    sampler = _sampler(run, stored, int(path.parent.name), trust_class)
    start, stop = sampler.rows_of(int(path.stem[6:]))
    firsts = range(start, stop, sampler.micro_batch)
    rows = torch.cat([sampler.sample(first)[: stop - first] for first in firsts])
    _write_if_same(path, encode_shard(rows))
    return "its samples were made again"


def _sampler(run: Path, stored: StoredRows, r: int, trust_class: str | None) -> RoundSampler:
    checkpoint = round_checkpoint(run / "checkpoints", r)
    if not checkpoint.exists():
        raise ValueError(
            f"its samples cannot be made again: {checkpoint.name} is gone (loop.keep_checkpoints)"
        )
    denoiser = load_run_denoiser(checkpoint, trust_class)
    try:
        recipe = stored.recipe
        return RoundSampler(
            denoiser=denoiser.to(recipe["device"]),
            sampling=Sampling.recorded(recipe["sampling"]),
            shape=stored.shape,
            n=len(stored),
            micro_batch=recipe["micro_batch"],
            label_dim=denoiser.label_dim,
            seed=recipe["seed"],
            round=r,
            device=torch.device(recipe["device"]),
        )
    except (KeyError, TypeError, AttributeError, RuntimeError) as error:
        raise ValueError(f"its recipe cannot be followed here ({error})") from error


def _import_again(run: Path, path: Path) -> str:
    """Reads real rows again; what is intact of them must be as it was."""
    config = _part(run, "data")
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--made", type=Source)
    source, seed = _made(parser, config.get("source")), int(config.get("seed", 0))
    rows, _ = source.read(seed)
    parts = torch.split(rows, MAX_SHARD_ROWS)
    if path.name != "manifest.json":
        _write_if_same(path, encode_shard(parts[int(path.stem[6:])]))
        return "imported again"
    shards = [shard_path(path.parent, i) for i in range(len(parts))]
    for shard, part in zip(shards, parts, strict=True):
        if shard.exists() and shard.read_bytes() != encode_shard(part):
            raise ValueError(f"the source gives other rows than {shard.name} holds")
    source.keep(path.parent, seed, {"source": repr(source), "seed": seed})
    return "imported again"


def _made(parser: ArgumentParser, config: Any) -> Any:
    """Makes the parser's one object, of a class of this package: a run's file may be anyone's."""
    name = config.get("class_path") if isinstance(config, dict) else config
    if not isinstance(name, str) or not name.startswith("lightning_collapse."):
        raise ValueError(f"config.yaml names {name!r:.60}, which is not a class of this package")
    try:
        return parser.instantiate_classes(parser.parse_object({"made": config})).made
    except (ArgumentError, TypeError, RuntimeError) as error:
        raise ValueError(f"config.yaml cannot be followed ({error!s:.120})") from error


def _part(run: Path, name: str) -> dict[str, Any]:
    part = ConfigFile(run / "config.yaml").read().get(name)
    if not isinstance(part, dict):
        raise ValueError(f"config.yaml has no {name}")
    return part


def _write_if_same(path: Path, data: bytes) -> None:
    shard = next(s for s in read_manifest(path.parent).shards if s.file == path.name)
    if hashlib.sha256(data).hexdigest() != shard.sha256:
        raise ValueError(
            "what was made again is not what was recorded, as on another kind of machine or with "
            "another version; nothing was changed"
        )
    write_atomically(path, lambda file: file.write(data))
