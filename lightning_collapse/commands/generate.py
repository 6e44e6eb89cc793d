"""`lightning-collapse generate`: samples of a checkpoint, from seeds."""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Literal

import torch
from torch import distributed
from tqdm import tqdm

from lightning_collapse.commands.arguments import run_command
from lightning_collapse.data.store.manifest import MAX_SHARD_ROWS
from lightning_collapse.interop.denoisers import load_denoiser
from lightning_collapse.runs.guided import guided
from lightning_collapse.runs.weights import file_sha256
from lightning_collapse.samples.files import (
    commit_shards,
    read_first,
    start_folder,
    write_pngs,
    write_shards,
)
from lightning_collapse.samples.seed_lists import format_seeds, parse_seeds
from lightning_collapse.samples.seeds import SeedSampler
from lightning_collapse.samples.sheet import write_contact_sheet
from lightning_collapse.sampling.choice import Sampling
from lightning_collapse.sampling.guide import OURS, Guide

__all__ = ["generate", "main"]

Format = Literal["png", "store"]

_SHEET_ROWS = 64
_GUIDES = [guide.__name__ for guide in OURS]
# There are no rounds: a seed's noise is its own.
_OF_NO_USE = ("latents",)


def main(arguments: list[str]) -> None:
    """Runs the command."""
    try:
        run_command(
            "generate",
            generate,
            arguments,
            positional=False,
            without=_OF_NO_USE,
            reads=["ckpt"],
            classes=_GUIDES,
        )
    except KeyboardInterrupt:
        print("stopped; the same command goes on", file=sys.stderr)
        sys.exit(130)


def generate(
    ckpt: Path,
    seeds: str,
    out: Path,
    sampling: Sampling = Sampling("heun", "karras", 18),  # noqa: B008 - frozen
    label: int | None = None,
    batch: int | None = None,
    format: Format = "png",
    device: str | None = None,
    guide: Guide | None = None,
    trust_class: str | None = None,
) -> None:
    """Makes the samples of seeds, each from its seed alone, and a contact sheet beside them.

    Solver and schedule default to EDM's, and a seed's latent is NVIDIA's for it. The same command
    goes on where it stopped; under torchrun, processes share the seeds.

    Args:
        ckpt: a converted .safetensors file, or a checkpoint in a run's folder.
        seeds: seeds of the samples, such as 0,1,2,5-10.
        out: folder for the samples.
        sampling: solver and schedule.
        label: class of all samples; default: each sample's is drawn from its seed.
        batch: samples made at a time by each process, of which samples depend in their last
            bits; default: 64, or 8 on a CPU.
        format: PNG files, or the store that runs keep their samples in.
        device: such as cpu, cuda or mps; default: the accelerator, if there is one.
        guide: makes of the checkpoint's denoiser the one to sample with, and of that of round 0 of
            the run, where it needs it; as the run's loop.guide, which is not taken by itself.
        trust_class: class of the network, such as mine.Net, if it is not of this package: it is
            imported, and may run any code.
    """
    wanted = parse_seeds(seeds)
    if batch is not None and not 1 <= batch <= MAX_SHARD_ROWS:
        raise ValueError(f"batch = {batch}: must lie in 1..{MAX_SHARD_ROWS}")
    if device is not None and not device.partition(":")[0].isalpha():
        raise ValueError(f"device = {device}: must be such as cpu, cuda, cuda:1 or mps")
    sampler = _sampler(ckpt, trust_class, sampling, batch, label, _device(device), guide)
    _check_format(format, sampler.shape)
    recipe = {
        "checkpoint_sha256": file_sha256(ckpt),
        "sampling": sampling.recipe,
        "label": label,
        "batch": sampler.micro_batch,
        "device": sampler.device.type,
        "format": format,
    }
    if guide is not None:
        recipe["guide"] = guide.described()
    if format == "store":
        recipe["seeds"] = format_seeds(wanted)
    with _processes() as (rank, world_size):
        if rank == 0:
            start_folder(out, recipe)
        _barrier(world_size)
        _write(out, sampler, wanted, format, rank, world_size)
        _barrier(world_size)
        if rank == 0:
            if format == "store":
                commit_shards(out, sampler, wanted, recipe)
            _show(out, wanted)


def _device(name: str | None) -> torch.device:
    """Gives this process's device, torchrun's LOCAL_RANK telling which of several."""
    found = torch.accelerator.current_accelerator(check_available=True)
    try:
        device = torch.device(name) if name else found or torch.device("cpu")
        if found and device == torch.device(found.type):
            local = int(os.environ.get("LOCAL_RANK", 0))
            device = torch.device(found.type, local % torch.accelerator.device_count())
        torch.zeros(1, device=device).tolist()
    except (RuntimeError, AssertionError) as error:  # torch's for a device that it lacks
        known = "cpu" if found is None else f"cpu or {found.type}"
        raise ValueError(f"device = {name}: cannot be used here; must be {known}") from error
    return device


def _sampler(
    ckpt: Path,
    trust_class: str | None,
    sampling: Sampling,
    batch: int | None,
    label: int | None,
    device: torch.device,
    guide: Guide | None,
) -> SeedSampler:
    if batch is None:
        batch = 8 if device.type == "cpu" else 64
    denoiser = load_denoiser(ckpt, trust_class)
    lowest, highest = denoiser.sigma_min, denoiser.sigma_max
    if sampling.sigma_min < lowest or sampling.sigma_max > highest:
        raise ValueError(
            f"sigma_min, sigma_max = {sampling.sigma_min}, {sampling.sigma_max}: must lie in "
            f"{lowest}..{highest}, which the network of {ckpt} serves"
        )
    label_dim = denoiser.label_dim
    if label is not None and not 0 <= label < label_dim:
        classes = f"lie in 0..{label_dim - 1}" if label_dim else "be left out"
        raise ValueError(f"label = {label}: must {classes}; {ckpt} has {label_dim} classes")
    if denoiser.row_shape is None:
        raise ValueError(f"{ckpt}: tells no shape of samples; the network needs a row_shape")
    made, shape = guided(guide, denoiser.to(device), ckpt, trust_class), denoiser.row_shape
    return SeedSampler(made, sampling, shape, batch, label_dim, label, device)


def _check_format(format: Format, shape: tuple[int, ...]) -> None:
    if format == "png" and (len(shape) != 3 or shape[0] not in (1, 3)):
        raise ValueError(
            f"format = png: must be store for samples of shape {shape}, which are no gray or "
            "colour images"
        )


@contextmanager
def _processes() -> Iterator[tuple[int, int]]:
    """Joins the processes of torchrun, if it started this one; gives rank and number."""
    if not distributed.is_torchelastic_launched():
        yield 0, 1
        return
    # Over the CPU, and patient: the slowest process may sample for hours after the first is done.
    distributed.init_process_group("gloo", timeout=timedelta(days=30))
    try:
        yield distributed.get_rank(), distributed.get_world_size()
    finally:
        distributed.destroy_process_group()


def _barrier(world_size: int) -> None:
    if world_size > 1:
        distributed.barrier()


def _write(
    out: Path,
    sampler: SeedSampler,
    seeds: Sequence[int],
    format: Format,
    rank: int,
    world_size: int,
) -> None:
    write = write_pngs if format == "png" else write_shards
    hidden = rank > 0 or not sys.stderr.isatty()
    with tqdm(total=len(seeds), desc="samples", disable=hidden, dynamic_ncols=True) as bar:
        try:
            for made in write(out, sampler, seeds, rank, world_size):
                bar.update(min(made * world_size, len(seeds) - bar.n))
        except torch.OutOfMemoryError as error:
            raise ValueError(
                f"batch = {sampler.micro_batch}: does not fit the memory of {sampler.device}; "
                "lower it, and choose another --out"
            ) from error


def _show(out: Path, seeds: Sequence[int]) -> None:
    # Beside the folder: in it, the sheet would be taken for a sample.
    sheet = out.resolve().with_name(f"{out.resolve().name}-preview.png")
    write_contact_sheet(sheet, read_first(out, seeds, _SHEET_ROWS))
    print(f"{len(seeds)} samples in {out}; contact sheet: {sheet}")
