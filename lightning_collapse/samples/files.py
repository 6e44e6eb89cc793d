"""Samples of seeds on disk: PNG files where NVIDIA's EDM puts them, or a store.

    out/recipe.json              how the samples are made: a folder holds those of one recipe
    out/000000/000012.png        the sample of seed 12
    out/shard-00000.npy, …       or rows in the order of seeds, which count
    out/manifest.json            once this is there

Files are whole or not there, and those there are kept: writing goes on where it stopped.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lightning_collapse.data.files import RECIPE_FILE, write_atomically
from lightning_collapse.data.foreign.decoding import decode, picture
from lightning_collapse.data.store.manifest import finite, is_committed
from lightning_collapse.data.store.shards import StoredRows, commit, shard_path
from lightning_collapse.samples.rounds import rows_per_shard
from lightning_collapse.samples.seeds import SeedSampler
from lightning_collapse.samples.shards import (
    clear_notes,
    described,
    described_shards,
    write_described,
)

__all__ = [
    "commit_shards",
    "png_path",
    "read_first",
    "start_folder",
    "write_pngs",
    "write_shards",
]


_OPTIONS = {"num_steps": "steps"}
"""What the command line calls fields of a recipe."""


def start_folder(folder: Path, recipe: Mapping[str, Any]) -> None:
    """Makes the folder, and records the recipe of all samples in it.

    Raises:
        ValueError: it holds samples of another recipe, or files of unknown origin.
        OSError: it cannot be written.
    """
    path, wanted = folder / RECIPE_FILE, finite(dict(recipe))
    folder.mkdir(parents=True, exist_ok=True)
    if path.exists():
        _compare(folder, path, wanted)
        return
    if any(not file.name.startswith(".") for file in folder.iterdir()):
        raise ValueError(
            f"out = {folder}: holds files, but no recipe.json that tells how they were made; "
            "choose another folder"
        )
    text = json.dumps(wanted, indent=1, allow_nan=False)
    write_atomically(path, lambda file: file.write(text.encode()))


def _compare(folder: Path, path: Path, wanted: Mapping[str, Any]) -> None:
    try:
        old, new = _fields(json.loads(path.read_text())), _fields(wanted)
    except (ValueError, AttributeError, RecursionError) as error:
        raise ValueError(f"{path}: is no recipe ({error!s:.99}); choose another folder") from error
    changed = [
        f"{_OPTIONS.get(name, name):.60} = {new.get(name)!s:.200} (was {old.get(name)!s:.200})"
        for name in {**old, **new}
        if old.get(name) != new.get(name)
    ]
    if changed:
        raise ValueError(
            f"{', '.join(changed)}: the samples in {folder} were made differently; restore what "
            "changed, or choose another folder"
        )


def _fields(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Lifts what is nested, the sampling, to the top."""
    fields: dict[str, Any] = {}
    for name, value in recipe.items():
        fields |= value if isinstance(value, Mapping) else {name: value}
    return fields


def png_path(folder: Path, seed: int) -> Path:
    """Gives the path of a seed's sample: a thousand to a subfolder, named after the first."""
    return folder / f"{seed - seed % 1000:06d}" / f"{seed:06d}.png"


def write_pngs(
    folder: Path, sampler: SeedSampler, seeds: Sequence[int], rank: int, world_size: int
) -> Iterator[int]:
    """Writes this process's share of the samples, but those already there.

    Yields:
        The number of samples made, or found, after each micro-batch.
    """
    for batch in sampler.batches(seeds)[rank::world_size]:
        missing = [seed for seed in batch if not png_path(folder, seed).exists()]
        rows = sampler.sample(missing) if missing else ()
        for seed, row in zip(missing, rows, strict=True):
            _write_png(png_path(folder, seed), row)
        yield len(batch)


def _write_png(path: Path, row: Tensor) -> None:
    path.parent.mkdir(exist_ok=True)
    image = picture(row)
    write_atomically(path, lambda file: image.save(file, format="PNG"))


def write_shards(
    folder: Path, sampler: SeedSampler, seeds: Sequence[int], rank: int, world_size: int
) -> Iterator[int]:
    """The same for a store: writes this process's shards, but those already there."""
    shards, committed = _shards(sampler, seeds), is_committed(folder)
    for shard in range(rank, len(shards), world_size):
        if described(folder, shard) or (committed and shard_path(folder, shard).exists()):
            yield len(shards[shard])
            continue
        made: dict[int, Tensor] = {}
        for batch in sampler.batches(shards[shard]):
            made |= zip(batch, sampler.sample(batch), strict=True)
            yield len(batch)
        rows = torch.stack([made[seed] for seed in shards[shard]])
        write_described(folder, shard, rows, sampler.labels(shards[shard]))


def commit_shards(
    folder: Path, sampler: SeedSampler, seeds: Sequence[int], recipe: Mapping[str, Any]
) -> None:
    """Makes a store's shards count, once all processes have written theirs."""
    if not is_committed(folder):
        shards = described_shards(folder, len(_shards(sampler, seeds)))
        dtype = "uint8" if len(sampler.shape) == 3 else "float32"
        commit(folder, shards, shape=sampler.shape, dtype=dtype, recipe=dict(recipe))
    clear_notes(folder)


def read_first(folder: Path, seeds: Sequence[int], n: int) -> Tensor:
    """Reads the samples of the first n seeds as rows (n, *), from either kind of folder."""
    if is_committed(folder):
        return StoredRows(folder)[torch.arange(min(n, len(seeds)))]
    return torch.stack([_read_png(png_path(folder, seed)) for seed in seeds[:n]])


def _read_png(path: Path) -> Tensor:
    try:
        pixels = np.array(decode(path.read_bytes()))
    except ValueError as error:
        raise ValueError(f"{path}: {error}; remove it, and it is made again") from error
    return torch.from_numpy(pixels if pixels.ndim == 3 else pixels[..., None]).permute(2, 0, 1)


def _shards(sampler: SeedSampler, seeds: Sequence[int]) -> list[Sequence[int]]:
    size = rows_per_shard(len(seeds), sampler.micro_batch)
    return [seeds[i : i + size] for i in range(0, len(seeds), size)]
