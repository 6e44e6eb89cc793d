"""Which real rows of a run are held out, and which may be trained on: keyed by its seed."""

import torch
from torch import Tensor

from lightning_collapse.seeds import generator

__all__ = ["split_order"]


def split_order(total: int, seed: int) -> Tensor:
    """Gives positions of real rows (total,): those held out first, then those trained on."""
    return torch.randperm(total, generator=generator(seed, "real"))
