"""Running out of memory: how it shows."""

import torch

__all__ = ["ran_out"]

# Of CUDA's and cuBLAS's, MPS's and the CPU's allocators.
_SAID = ("out of memory", "can't allocate memory", "not enough memory", "ALLOC_FAILED")


def ran_out(error: BaseException) -> bool:
    """Whether an error says that the memory, of the device or the host, is not enough."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(said in str(error) for said in _SAID)
