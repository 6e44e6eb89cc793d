"""The loss on real rows that were never trained on, with the same noise in every round."""

from typing import Any

import torch
from pytorch_lightning import Trainer
from torch import Tensor

from lightning_collapse.lit.data import PoolDataModule
from lightning_collapse.lit.module import CollapseModule
from lightning_collapse.lit.processes import gather
from lightning_collapse.networks.held_out import loss_fields, loss_sums
from lightning_collapse.rows import network_units
from lightning_collapse.seeds import generator

__all__ = ["held_out_loss"]


def held_out_loss(
    trainer: Trainer, module: CollapseModule, data: PoolDataModule, *, chunk: int, at_once: int
) -> dict[str, Any]:
    """Gives the average network's loss on held-out real rows, by all processes.

    Args:
        trainer: of the run.
        module: of the run.
        data: of the run.
        chunk: rows whose noise is drawn together, the same in every round.
        at_once: rows that the network is given at a time.

    Returns:
        The fields of `networks.held_out.loss_fields`.
    """
    chunks, mine = torch.split(torch.arange(len(data.held_out)), chunk), {}
    for i in range(trainer.global_rank, len(chunks), trainer.world_size):
        x = network_units(data.held_out[chunks[i]]).to(module.device)
        random = generator(data.seed, "validation", i, device=module.device)
        labels = _labels(data, chunks[i], module)
        mine[i] = loss_sums(module.loss, module.ema, x, random, labels, at_once=at_once)
    # In order of the chunks: the same sum for any number of processes.
    known = {i: sums for share in gather(trainer, mine) for i, sums in share.items()}
    return loss_fields([known[i] for i in range(len(chunks))], module.loss, data.row_shape)


def _labels(data: PoolDataModule, indices: Tensor, module: CollapseModule) -> Tensor | None:
    if not module.label_dim or data.held_out.labels is None:
        return None
    return data.held_out.labels[indices].to(module.device)
