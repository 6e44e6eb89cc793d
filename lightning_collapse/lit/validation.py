"""The loss on real rows that were never trained on, with the same noise in every round."""

import math

import torch
from pytorch_lightning import Trainer
from torch import Tensor

from lightning_collapse.lit.data import PoolDataModule
from lightning_collapse.lit.module import CollapseModule
from lightning_collapse.lit.processes import gather
from lightning_collapse.rows import network_units
from lightning_collapse.seeds import generator

__all__ = ["held_out_loss"]


@torch.no_grad()
def held_out_loss(
    trainer: Trainer, module: CollapseModule, data: PoolDataModule, *, chunk: int, at_once: int
) -> float:
    """Gives the average network's loss on held-out real rows, by all processes.

    Args:
        trainer: of the run.
        module: of the run.
        data: of the run.
        chunk: rows whose noise is drawn together, the same in every round.
        at_once: rows that the network is given at a time.
    """
    chunks = torch.split(torch.arange(len(data.held_out)), chunk)
    sums = torch.zeros(len(chunks))
    for i in range(trainer.global_rank, len(chunks), trainer.world_size):
        x = network_units(data.held_out[chunks[i]]).to(module.device)
        random = generator(data.seed, "validation", i, device=module.device)
        sigma, noise = module.loss.draw(tuple(x.shape), random, module.device)
        labels = _labels(data, chunks[i], module)
        for first in range(0, len(x), at_once):
            part = slice(first, first + at_once)
            own = None if labels is None else labels[part]
            losses = module.loss(module.ema, x[part], sigma[part], noise[part], own)
            sums[i] += losses.sum().cpu()
    # Over the processes first: the rest is then the same sum for any number of them.
    total = torch.stack(gather(trainer, sums)).sum(0).double().sum()
    return float(total) / (len(data.held_out) * math.prod(data.row_shape))


def _labels(data: PoolDataModule, indices: Tensor, module: CollapseModule) -> Tensor | None:
    if not module.label_dim or data.held_out.labels is None:
        return None
    return data.held_out.labels[indices].to(module.device)
