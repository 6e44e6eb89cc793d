"""Making a run's damaged files again, byte for byte, from what is still whole.

A checkpoint comes from another name of it, the configuration from a checkpoint, real rows from
their source, samples from their recipe and their round's checkpoint, tables and previews from
manifests and shards. Files come in this order, so that what was repaired serves those after it.
"""

import hashlib
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from jsonargparse import ArgumentError, ArgumentParser

from lightning_collapse.data.files import link_atomically, write_atomically

# Imported for the sources in them.
from lightning_collapse.data.sources import images, points  # noqa: F401
from lightning_collapse.data.sources.source import Source
from lightning_collapse.data.store.manifest import MAX_SHARD_ROWS, manifest_path, read_manifest
from lightning_collapse.data.store.shards import encode_shard, shard_index, shard_path
from lightning_collapse.metrics.real import RealData
from lightning_collapse.rows import ReadRows
from lightning_collapse.runs.checkpoints import is_sealed, read_checkpoint
from lightning_collapse.runs.damage import derived, examine, finished_rounds
from lightning_collapse.runs.denoiser import load_run_denoiser
from lightning_collapse.runs.guided import guided, recorded_guide
from lightning_collapse.runs.layout import Run
from lightning_collapse.runs.lock import RunFolder
from lightning_collapse.runs.sharing import sharers
from lightning_collapse.runs.split import recorded_set_apart, recorded_split
from lightning_collapse.samples.given import Given
from lightning_collapse.samples.rounds import RoundSampler
from lightning_collapse.sampling.choice import Sampling
from lightning_collapse.sampling.inpainting import Inpainting
from lightning_collapse.trust import Trusted, import_trusted

__all__ = ["repair"]

_OURS = "lightning_collapse."


def repair(run: Run, trust_class: Trusted = None) -> Iterator[tuple[Path, str | None, bool]]:
    """Makes the damaged files of a run again, as `Run.repair` does.

    Yields:
        Every file; what was done about it, or why nothing could be, None for an intact one; and
        whether it is whole now.
    """
    with RunFolder(run).locked():
        # As in `fit`, of whose samples these are the same bytes.
        torch.set_flush_denormal(True)
        try:
            for path, fault in examine(run):
                yield path, *(_repaired(run, path, fault, trust_class) if fault else (None, True))
        finally:
            torch.set_flush_denormal(False)


def _repaired(run: Run, path: Path, fault: str, trust_class: Trusted) -> tuple[str, bool]:
    others = sharers(run, path)
    try:
        told = _repair(run, path, trust_class)
        also = f"; the damaged file is shared by {', '.join(others)}: repair them too"
        return told + also * bool(others), True
    except (ValueError, OSError) as error:
        return f"{fault}: {error}", False


def _repair(run: Run, path: Path, trust_class: Trusted) -> str:
    """Makes one file again, and says how; raises ValueError or OSError with what prevents it."""
    r = run.round_of(path)
    if path.parent == run.checkpoints:
        return _relink(run, path)
    if path == run.config.path:
        return _restore_config(run)
    if path.parent == run.real:
        return _import_again(run, path, trust_class)
    if r is None or path == run.preview(r):
        if (content := derived(run, path)) is None:
            raise ValueError("what it repeats is damaged itself")
        write_atomically(path, lambda file: file.write(content))
        return "written again"
    if path == manifest_path(path.parent):
        raise ValueError(_way_back(run, r))
    return _sample_again(path, _sampler(run, r, trust_class))


def _relink(run: Run, path: Path) -> str:
    """Restores a checkpoint from another name of it, or the last one from a round's end."""
    r = run.round_of(path)
    if r is not None:
        end_of_round = {"round": r + 1, "step": 0}
        if is_sealed(run.last) and read_checkpoint(run.last)["PoolDataModule"] == end_of_round:
            link_atomically(run.last, path)
            return f"restored from {run.last.name}"
        if r == 0 and (other := _shared_from(run)) and is_sealed(other.checkpoint(0)):
            link_atomically(other.checkpoint(0), path)
            return f"restored from {other}, which shares it"
        raise ValueError("there is no copy; the run can go on, but not make its samples again")
    rounds = finished_rounds(run)
    ends = [run.checkpoint(rounds), run.checkpoint(rounds - 1)]
    if rounds == 1 and (other := _shared_from(run)):
        ends.append(other.checkpoint(0))
    for end in ends:
        if is_sealed(end):
            link_atomically(end, path)
            return f"restored from {end.name}; steps after it are made again"
    raise ValueError(_way_back(run, run.rounds))


def _way_back(run: Run, r: int) -> str:
    """Says how to make round r again, and what comes after it."""
    for before in range(r, -1, -1):
        path = run.checkpoint(before)
        if is_sealed(path):
            folder = run.round(before).relative_to(run.path)
            return (
                f"remove the folders from {folder} on and go on with ckpt_path = {path}: "
                "the same rounds come out"
            )
    return "no checkpoint of its round or before is left; start again in another folder"


def _restore_config(run: Run) -> str:
    others = _shared_from(run) is not None
    for path in sorted(run.checkpoints.glob("*.ckpt"), key=lambda p: (p != run.last, p)):
        checkpoint = read_checkpoint(path) if is_sealed(path) else {}
        if others and checkpoint.get("PoolDataModule") == {"round": 1, "step": 0}:
            continue  # it tells of the run that it was shared from
        text = checkpoint.get("config")
        if isinstance(text, str):
            run.config.restore(text)
            return f"restored from {path.name}"
    raise ValueError("no intact checkpoint holds a copy; start again in another folder")


def _shared_from(run: Run) -> Run | None:
    """Gives the run beside this one from which its round 0 was linked."""
    try:
        name = read_manifest(run.round(0)).recipe.get("shared_from")
    except (ValueError, OSError):
        return None
    # A manifest may be anyone's.
    if not isinstance(name, str) or name != Path(name).name or name in ("", ".."):
        return None
    return Run(run.path.absolute().parent / name)


def _sample_again(path: Path, sampler: RoundSampler) -> str:
    start, stop = sampler.rows_of(shard_index(path))
    firsts = range(start, stop, sampler.micro_batch)
    rows = torch.cat([sampler.sample(first)[: stop - first] for first in firsts])
    _write_if_same(path, encode_shard(rows))
    return "its samples were made again"


def _sampler(run: Run, r: int, trust_class: Trusted) -> RoundSampler:
    checkpoint = run.checkpoint(r)
    if not is_sealed(checkpoint):
        fault = "damaged" if checkpoint.exists() else "gone (keep_checkpoints)"
        raise ValueError(f"its samples cannot be made again: {checkpoint.name} is {fault}")
    denoiser, stored = load_run_denoiser(checkpoint, trust_class), run.samples(r)
    try:
        recipe = stored.recipe
        guide = recorded_guide(recipe.get("guide"), trust_class)
        given = None
        if (told := recipe.get("inpaint")) is not None:
            apart = recorded_set_apart(run, stored.record or {})
            given = Given(Inpainting(**told), apart, recipe["seed"], r)
        return RoundSampler(
            denoiser=guided(guide, denoiser.to(recipe["device"]), checkpoint, trust_class),
            sampling=Sampling.recorded(recipe["sampling"]),
            shape=stored.shape,
            n=len(stored),
            micro_batch=recipe["micro_batch"],
            label_dim=denoiser.label_dim,
            seed=recipe["seed"],
            round=r,
            device=torch.device(recipe["device"]),
            class_weights=_weights(recipe.get("class_weights"), denoiser.label_dim),
            given=given,
        )
    except (KeyError, TypeError, AttributeError, RuntimeError) as error:
        raise ValueError(f"its recipe cannot be followed here ({error})") from error


def _weights(recorded: Any, label_dim: int) -> tuple[int, ...] | None:
    if recorded is None:
        return None
    weights = tuple(recorded)
    if len(weights) != label_dim or not all(type(w) is int and w >= 0 for w in weights):
        raise TypeError("class_weights are not a whole number for every class")
    return weights


def _import_again(run: Run, path: Path, trust_class: Trusted) -> str:
    """Reads real rows again; what is intact of them must be as it was."""
    config = run.config.read().get("data")
    config = config if isinstance(config, dict) else {}
    source, seed = _source(config.get("source"), trust_class), int(config.get("seed", 0))
    rows, labels = source.read(seed)
    parts = torch.split(rows, MAX_SHARD_ROWS)
    if path != manifest_path(run.real):
        _write_if_same(path, encode_shard(parts[shard_index(path)]))
        return "imported again"
    shards = [shard_path(run.real, i) for i in range(len(parts))]
    for shard, part in zip(shards, parts, strict=True):
        # Which of them is right, the rounds that were made beside these rows can tell.
        if (
            shard.exists()
            and shard.read_bytes() != encode_shard(part)
            and not _are_recorded(run, ReadRows(rows, labels))
        ):
            raise ValueError(
                f"the source gives other rows than {shard.name} holds; if that is damaged too, "
                "remove it and repair again"
            )
    source.keep(run.real, seed, {"source": repr(source), "seed": seed})
    return "imported again"


def _are_recorded(run: Run, real: ReadRows) -> bool:
    """Whether rows have the mean and the variance that a round has recorded of the real ones."""
    for r in range(finished_rounds(run)):
        try:
            record = read_manifest(run.round(r)).record or {}
            _, train, held_out = recorded_split(run, record, real)
            told = float(record["real_mean"]), float(record["real_total_variance"])
        except (LookupError, TypeError, ValueError, OSError):
            continue
        pixels = RealData(train, held_out, 1).pixels
        found = float(pixels.mean.mean()), float(pixels.variance().sum())
        return all(math.isclose(*pair, rel_tol=1e-9) for pair in zip(told, found, strict=True))
    return False


def _source(config: Any, trust_class: Trusted) -> Source:
    """Makes a source by its name: a run's file may be anyone's."""
    named = config if isinstance(config, dict) else {"class_path": config}
    path = str(named.get("class_path"))
    name = path.rpartition(".")[2]
    # By its last name: modules have moved since some runs were started.
    kinds = (kind for kind in Source.__subclasses__() if kind.__module__.startswith(_OURS))
    ours = {kind.__name__: kind for kind in kinds}
    kind: Any = ours.get(name) if path.startswith((_OURS, name)) else None
    if kind is None:
        kind = import_trusted("source", path, list(ours), trust_class)
    if not (isinstance(kind, type) and issubclass(kind, Source)):
        raise ValueError(f"source = {path:.60}: what is trusted by that name is no Source")
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(kind, "made")
    try:
        given = parser.parse_object({"made": named.get("init_args") or {}})
        made: Source = parser.instantiate_classes(given).made
        return made
    except (ArgumentError, TypeError, RuntimeError) as error:
        raise ValueError(f"config.yaml cannot be followed ({error!s:.120})") from error


def _write_if_same(path: Path, data: bytes) -> None:
    shard = next(s for s in read_manifest(path.parent).shards if s.file == path.name)
    if hashlib.sha256(data).hexdigest() != shard.sha256:
        raise ValueError(
            "what was made again is not what was recorded, as on another kind of machine or with "
            "another version; nothing was changed"
        )
    write_atomically(path, lambda file: file.write(data))
