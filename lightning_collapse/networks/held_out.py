"""The loss on real rows that were never trained on, all together and by noise level."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from lightning_collapse.networks.edm import DenoisingLoss

__all__ = ["LossSums", "loss_fields", "loss_sums"]

_BINS = 6

LossSums = tuple[Tensor, Tensor]
"""Sum of the losses of some rows (), and of those in each bin, with their number (2, 6)."""


@torch.no_grad()
def loss_sums(
    loss: DenoisingLoss,
    denoise: Callable[..., Tensor],
    x: Tensor,
    random: torch.Generator,
    labels: Tensor | None = None,
    *,
    at_once: int,
) -> LossSums:
    """Sums the losses of rows whose noise is drawn together.

    Args:
        loss: of the network.
        denoise: the network, preconditioned.
        x: rows (n, *), in network units.
        random: draws noise levels, then noise.
        labels: class of every row (n,), if the network knows classes.
        at_once: rows that the network is given at a time.
    """
    total, bins = torch.zeros(()), torch.zeros(2, _BINS)
    edges = torch.tensor(_edges(loss))
    sigma, noise = loss.draw(tuple(x.shape), random, x.device)
    for first in range(0, len(x), at_once):
        part = slice(first, first + at_once)
        own = None if labels is None else labels[part]
        losses = loss(denoise, x[part], sigma[part], noise[part], own)
        total += losses.sum().cpu()
        by_row, level = losses.flatten(1).sum(1).cpu(), sigma[part].log().cpu()
        which = torch.bucketize(level, edges)
        bins[0].index_add_(0, which, by_row)
        bins[1] += torch.bincount(which, minlength=_BINS)
    return total, bins


def loss_fields(
    sums: Sequence[LossSums], loss: DenoisingLoss, shape: tuple[int, ...]
) -> dict[str, Any]:
    """Gives a record's fields of what all held-out rows have summed to.

    `val_loss` is the mean over all rows. `val_loss_by_noise` are those of rows in 6 bins of
    ln sigma, which training meets as often, null for a bin without rows; `val_loss_noise_edges`
    are the 5 values of ln sigma between them.

    Args:
        sums: of all rows.
        loss: of the network.
        shape: of a row.
    """
    numbers = math.prod(shape)
    total = torch.stack([total for total, _ in sums]).double().sum()
    binned, rows = torch.stack([bins for _, bins in sums], 1).double().sum(1).tolist()
    return {
        "val_loss": float(total) / (sum(rows) * numbers),
        "val_loss_by_noise": [
            loss / (n * numbers) if n else None for loss, n in zip(binned, rows, strict=True)
        ],
        "val_loss_noise_edges": _edges(loss),
    }


def _edges(loss: DenoisingLoss) -> list[float]:
    shares = torch.arange(1, _BINS, dtype=torch.float64) / _BINS
    edges: list[float] = loss.noise.ln_quantile(shares).tolist()
    return edges
