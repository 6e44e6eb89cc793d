"""The processes of a run: values exchanged between them, and none that outlives the first."""

import os
import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:  # `is_first` is asked before torch is there.
    from pytorch_lightning import Trainer

__all__ = ["end_with_parent", "gather", "has_lost_process", "in_order", "is_first"]

T = TypeVar("T")

_POLL_SECONDS = 0.5

# Set by Lightning, torchrun and SLURM for every process but the first.
_RANKS = ("RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID")


def is_first() -> bool:
    """Tells rank 0 apart before there is a trainer, by what launchers set for the others."""
    return all(os.environ.get(name, "0") == "0" for name in _RANKS)


def gather(trainer: "Trainer", value: T) -> list[T]:
    """Gives every process's value, in the order of ranks; all processes must call it."""
    if trainer.world_size == 1:
        return [value]
    import torch

    values: list[T] = [value] * trainer.world_size
    torch.distributed.all_gather_object(values, value)
    return values


def in_order(trainer: "Trainer", mine: Mapping[int, T]) -> list[T]:
    """Gives all processes' values by their keys' order: the same sum for any number of them."""
    known = {key: value for part in gather(trainer, mine) for key, value in part.items()}
    return [known[key] for key in sorted(known)]


def end_with_parent() -> None:
    """Ends this process soon after the one that launched it, whatever it waits for by then.

    It must not write beside the next start, which gets in as soon as the first process is gone.
    """
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_POLL_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="parent watch").start()


def has_lost_process(error: BaseException) -> bool:
    """Whether an error says that another process of the run has gone."""
    import torch

    return isinstance(error, torch.distributed.DistError) or (
        isinstance(error, RuntimeError) and "gloo" in str(error)
    )
