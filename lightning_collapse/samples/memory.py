"""Running out of memory: how it shows, and how a round's samples are then made.

All of a round's samples have one recipe. Where memory runs out they are made again, all of them,
with half the micro-batch.
"""

import torch

__all__ = ["free_cached", "ran_out"]

# Of CUDA's and cuBLAS's, MPS's and the CPU's allocators.
_SAID = ("out of memory", "can't allocate memory", "not enough memory", "ALLOC_FAILED")


def ran_out(error: BaseException) -> bool:
    """Whether an error says that the memory, of the device or the host, is not enough."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(said in str(error) for said in _SAID)


def free_cached() -> None:
    """Gives back what torch keeps of a GPU's memory for later: pieces may have been too small."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
