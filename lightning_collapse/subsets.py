"""Random subsets without replacement, keyed: any can be had without those drawn before it."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightning_collapse.seeds import bits_at, key

__all__ = ["choose"]


def choose(
    total: int, wanted: int, seeds: Sequence[int], purpose: str, r: int
) -> NDArray[np.int64]:
    """Gives `wanted` distinct of `total` places under each seed (S, wanted), all sets as likely.

    The draw is keyed by seed, purpose and round r; its cost does not grow with `total`.
    """
    if wanted == 0:
        return np.empty((len(seeds), 0), np.int64)
    keys = bits_at(_streams(tuple(seeds), purpose), np.array(r, np.uint64))[:, None]
    if total <= 4 * wanted:
        # Those with the smallest numbers; a number's last bits are replaced by its place.
        bits = np.uint64(total.bit_length())
        places = np.arange(total, dtype=np.uint64)
        numbers = (bits_at(keys, places) >> bits << bits) | places
        last = np.partition(numbers, wanted - 1)[:, wanted - 1, None]
        # In order of places, as that of `partition` is another on another processor.
        chosen = np.flatnonzero(numbers <= last).reshape(-1, wanted)
        return np.asarray(chosen - np.arange(len(seeds))[:, None] * total)
    return _distinct(keys, wanted, total)


@lru_cache(maxsize=64)
def _streams(seeds: tuple[int, ...], purpose: str) -> NDArray[np.uint64]:
    """Gives the keys (S,) of streams that every round asks for."""
    return np.array([key(seed, purpose) for seed in seeds], np.uint64)


def _distinct(keys: NDArray[np.uint64], wanted: int, total: int) -> NDArray[np.int64]:
    """Draws places (S, wanted), in order but for those drawn anew as they were taken."""
    # 32 bits sort in half the time.
    kind = np.int32 if total < 2**31 else np.int64
    chosen = _places_at(keys, np.arange(wanted), total, kind)
    chosen.sort()
    equal = np.flatnonzero(chosen[:, 1:] == chosen[:, :-1])
    chosen = chosen.astype(np.int64)
    if len(equal):
        row, column = np.divmod(equal, wanted - 1)
        some, row_of = np.unique(row, return_inverse=True)
        chosen[row, column] = _anew(keys[some], chosen[some], total, row_of, column)
    return chosen


def _anew(
    keys: NDArray[np.uint64],
    chosen: NDArray[np.int64],
    total: int,
    row: NDArray[np.int64],
    column: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Draws places (k,) that are not among their row's `chosen` (S, n), and distinct in a row."""
    starts = np.arange(len(keys)) * total
    taken = (chosen + starts[:, None]).ravel()
    drawn, again, attempt = np.empty_like(row), np.arange(len(row)), 0
    while len(again):
        attempt += 1
        at, places = row[again], attempt * chosen.shape[1] + column[again]
        drawn[again] = starts[at] + _places_at(keys[at, 0], places, total)
        old = taken.take(taken.searchsorted(drawn), mode="clip") == drawn
        _, first = np.unique(drawn, return_index=True)
        old[np.setdiff1d(np.arange(len(drawn)), first, assume_unique=True)] = True
        again = np.flatnonzero(old)
    return drawn - starts[row]


def _places_at(
    keys: NDArray[np.uint64], places: NDArray[np.int64], total: int, kind: type = np.int64
) -> NDArray[Any]:
    """Gives numbers in 0 … total - 1 of an integer kind, as likely as 2^-53 · total allows."""
    bits = bits_at(keys, places.astype(np.uint64)) >> np.uint64(11)
    # Signed numbers become floating point in half the time.
    return np.asarray((bits.view(np.int64) * (total * 2.0**-53)).astype(kind))
