"""Randomness as a function of (seed, what it is for, where it stands), never of history.

A draw keyed this way is the same after a resume, for any batch size and any number of processes.
torch's CPU generator uses the low 32 bits of a seed: of 50,000 streams, one pair coincides with
probability 0.25, which no statistic of so many rows can see.
"""

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["KeyedNormal", "generator", "key"]


def key(seed: int, *path: int | str) -> int:
    """Gives the 63-bit seed of one stream of random numbers.

    Args:
        seed: the run's seed.
        path: what the stream is for, then where it stands: `("sample", round, index)`.

    Returns:
        An integer in [0, 2^63): the leading bytes of BLAKE2b over the seed and the path.
    """
    text = repr((int(seed), *path)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") >> 1


def generator(seed: int, *path: int | str, device: torch.device | str = "cpu") -> torch.Generator:
    """Gives a fresh generator on `device`, seeded with `key(seed, *path)`."""
    return torch.Generator(device).manual_seed(key(seed, *path))


class KeyedNormal:
    """Unit normal numbers for a batch, each row from a stream of its own.

    A row's numbers do not depend on which other rows are drawn with it, nor on the device.
    """

    def __init__(self, generators: Sequence[torch.Generator]) -> None:
        """Takes one generator, on the CPU, for each row of the batch."""
        self._generators = generators

    def __call__(self, shape: Sequence[int]) -> Tensor:
        """Draws the next numbers of every row (B, *shape), float32, on the CPU."""
        return torch.stack([torch.randn(shape, generator=g) for g in self._generators])

    def like(self, x: Tensor) -> Tensor:
        """Draws the next numbers in the shape, type and place of x (B, *)."""
        return self(x.shape[1:]).to(x)
