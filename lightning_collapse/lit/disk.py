"""Whether the disk has room for a round, found out before the round is trained."""

import shutil

import torch
from pytorch_lightning import Trainer

from lightning_collapse.lit.data import PoolDataModule
from lightning_collapse.lit.module import CollapseModule
from lightning_collapse.lit.processes import gather
from lightning_collapse.lit.telling import RunError

__all__ = ["check_space", "round_bytes"]

# For the preview, tables, logs, and file systems that count in large blocks.
_MARGIN = 2**24
_DESCRIBED_BYTES_PER_ROW = 48  # in the manifest and, until it is there, beside the shards
# Two hold the network and its average, one where the average started, two are Adam's.
_NETWORKS_IN_CHECKPOINT = 5


def check_space(trainer: Trainer, module: CollapseModule, data: PoolDataModule) -> None:
    """Raises RunError, in all processes, where the disk lacks room for what a round writes."""
    mine = round_bytes(module, data), shutil.disk_usage(data.run).free
    # Of the process that has least to spare: another machine's may see other disks.
    needed, free = max(gather(trainer, mine), key=lambda room: room[0] - room[1])
    if free < needed:
        raise RunError(
            f"run = {data.run}: round {data.round} needs about {_said(needed)} of disk, but "
            f"{_said(free)} are free; make room, and the same command goes on"
        )


def round_bytes(module: CollapseModule, data: PoolDataModule) -> int:
    """Gives an upper estimate of what a round adds to the disk at its peak."""
    network = sum(value.nbytes for value in module.model.parameters())
    before = data.run.last.stat().st_size if data.run.last.exists() else 0
    checkpoint = max(_NETWORKS_IN_CHECKPOINT * network, before)
    row = data.held_out[torch.arange(1)].nbytes
    # The round's checkpoint is written beside the last one of within the round.
    return 2 * checkpoint + data.n_samples * (row + _DESCRIBED_BYTES_PER_ROW) + _MARGIN


def _said(n_bytes: int) -> str:
    return f"{n_bytes / 1e9:.1f} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:.1f} MB"
