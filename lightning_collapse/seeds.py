"""Randomness as a function of (seed, what it is for, where it stands), never of history.

A draw keyed this way is the same after a resume, for any batch size and any number of processes.
torch's CPU generator uses the low 32 bits of a seed: of 50,000 streams, one pair coincides with
probability 0.25, which no statistic of so many rows can see.
"""

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["KeyedNormal", "bits_at", "generator", "key", "seed_default"]


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


def seed_default(seed: int, device: torch.device) -> None:
    """Seeds torch's own generators of the CPU and of one device, as `torch.manual_seed` does.

    That also prepares every kind of device that there might be, which takes longer than a small
    network's training step.
    """
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed_all(seed)
    elif device.type != "cpu":
        torch.manual_seed(seed)


def bits_at(keys: NDArray[np.uint64], places: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Gives 64 random bits at each place of each stream, in the shape that both broadcast to.

    Those of a stream are SplitMix64's (Steele et al. 2014) with its key as the seed: any can be
    had without those before it, and many streams at once.
    """
    step = np.uint64(0x9E3779B97F4A7C15)
    bits = places * step + (keys + step)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        bits ^= bits >> np.uint64(shift)
        bits *= np.uint64(factor)
    return np.asarray(bits ^ (bits >> np.uint64(31)))


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
