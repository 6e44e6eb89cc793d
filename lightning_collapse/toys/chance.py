"""Random numbers of many replicas at once: each replica's depend on itself alone.

A replica has a key; its numbers are a function of (key, place), so that they do not depend on the
replicas drawn with it, and any of them can be had again without those before it.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from lightning_collapse.seeds import bits_at, key

__all__ = ["normal_at", "replica_generators", "replica_keys"]


def replica_keys(seed: int, purpose: str, replicas: Iterable[int]) -> NDArray[np.uint64]:
    """Gives the keys (R,) of some replicas, by their numbers."""
    return np.array([key(seed, purpose, i) for i in replicas], np.uint64)


def replica_generators(
    seed: int, purpose: str, replicas: Iterable[int]
) -> list[np.random.Generator]:
    """Gives a generator for each of some replicas, for numbers that are drawn in turn."""
    return [np.random.Generator(np.random.PCG64(key(seed, purpose, i))) for i in replicas]


def normal_at(keys: NDArray[np.uint64], places: NDArray[np.int64]) -> NDArray[np.float64]:
    """Gives unit normal numbers at places, in the shape that keys and places broadcast to."""
    bits = bits_at(keys, places.astype(np.uint64))
    uniform = (bits >> np.uint64(12)).astype(np.float64)
    # 52 bits and a half, so that neither 0 nor 1 can come up.
    uniform += 0.5
    uniform *= 2.0**-52
    return np.asarray(ndtri(uniform, out=uniform))
