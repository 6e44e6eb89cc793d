"""The loss on real rows that were never trained on, with the same noise in every round."""

from typing import Any

import torch
from pytorch_lightning import Trainer

from lightning_collapse.lit.data import PoolDataModule
from lightning_collapse.lit.module import CollapseModule
from lightning_collapse.lit.processes import in_order
from lightning_collapse.networks.held_out import loss_fields, loss_sums
from lightning_collapse.rows import network_units
from lightning_collapse.seeds import generator

__all__ = ["held_out_loss"]


def held_out_loss(
    trainer: Trainer, module: CollapseModule, data: PoolDataModule, chunk: int, at_once: int
) -> dict[str, Any]:
    """Gives the average network's loss on held-out real rows as `loss_fields`, by all processes.

    The noise of `chunk` rows is drawn together, in every round of the same ones; the network is
    given `at_once` at a time.
    """
    chunks, mine = torch.split(torch.arange(len(data.held_out)), chunk), {}
    classes = data.held_out.labels if module.label_dim else None
    for i in range(trainer.global_rank, len(chunks), trainer.world_size):
        x = network_units(data.held_out[chunks[i]]).to(module.device)
        random = generator(data.seed, "validation", i, device=module.device)
        labels = None if classes is None else classes[chunks[i]].to(module.device)
        mine[i] = loss_sums(module.loss, module.ema, x, random, labels, at_once=at_once)
    return loss_fields(in_order(trainer, mine), module.loss, data.row_shape)
