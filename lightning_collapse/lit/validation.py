"""The loss on real rows that were never trained on, with the same noise in every round."""

import math
from typing import Any

import torch
from pytorch_lightning import Trainer
from torch import Tensor

from lightning_collapse.lit.data import PoolDataModule
from lightning_collapse.lit.module import CollapseModule
from lightning_collapse.lit.processes import gather
from lightning_collapse.rows import network_units
from lightning_collapse.seeds import generator

__all__ = ["held_out_loss"]

_BINS = 6


@torch.no_grad()
def held_out_loss(
    trainer: Trainer, module: CollapseModule, data: PoolDataModule, *, chunk: int, at_once: int
) -> dict[str, Any]:
    """Gives the average network's loss on held-out real rows, by all processes.

    `val_loss` is the mean over all rows. `val_loss_by_noise` are those of rows in 6 bins of
    ln sigma, which training meets as often, null for a bin without rows; `val_loss_noise_edges`
    are the 5 values of ln sigma between them.

    Args:
        trainer: of the run.
        module: of the run.
        data: of the run.
        chunk: rows whose noise is drawn together, the same in every round.
        at_once: rows that the network is given at a time.
    """
    chunks = torch.split(torch.arange(len(data.held_out)), chunk)
    shares = torch.arange(1, _BINS, dtype=torch.float64) / _BINS
    edges = module.loss.noise.ln_quantile(shares).tolist()
    sums, bins = torch.zeros(len(chunks)), torch.zeros(2, len(chunks), _BINS)
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
            by_row, level = losses.flatten(1).sum(1).cpu(), sigma[part].log().cpu()
            which = torch.bucketize(level, torch.tensor(edges))
            bins[0, i].index_add_(0, which, by_row)
            bins[1, i] += torch.bincount(which, minlength=_BINS)
    # Over the processes first: the rest is then the same sum for any number of them.
    numbers = math.prod(data.row_shape)
    total = torch.stack(gather(trainer, sums)).sum(0).double().sum()
    binned, rows = torch.stack(gather(trainer, bins)).sum(0).double().sum(1).tolist()
    return {
        "val_loss": float(total) / (len(data.held_out) * numbers),
        "val_loss_by_noise": [
            loss / (n * numbers) if n else None for loss, n in zip(binned, rows, strict=True)
        ],
        "val_loss_noise_edges": edges,
    }


def _labels(data: PoolDataModule, indices: Tensor, module: CollapseModule) -> Tensor | None:
    if not module.label_dim or data.held_out.labels is None:
        return None
    return data.held_out.labels[indices].to(module.device)
