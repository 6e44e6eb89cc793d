"""Values exchanged between the processes of a run."""

from typing import TypeVar

import torch
from pytorch_lightning import Trainer

__all__ = ["gather"]

T = TypeVar("T")


def gather(trainer: Trainer, value: T) -> list[T]:
    """Gives every process's value, in the order of ranks; all processes must call it."""
    if trainer.world_size == 1:
        return [value]
    values: list[T] = [value] * trainer.world_size
    torch.distributed.all_gather_object(values, value)
    return values
