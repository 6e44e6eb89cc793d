"""Training sets row by row, for any regime: a row is had by its position, where it is first used.

Memory does not grow with the pool, but with a round's training set.
"""

import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from lightning_collapse.regimes import joined
from lightning_collapse.toys.conditions import Condition

__all__ = ["refuse_beyond_memory", "training_sets"]

Positions = NDArray[np.int64]


def training_sets(
    condition: Condition,
    rounds: int,
    seeds: Sequence[int],
    make: Callable[[Positions, Positions], NDArray[Any]],
) -> Iterator[tuple[NDArray[Any], Positions]]:
    """Yields the rows (R, *, n) of every round's training set, and their birth stamps (R, n).

    Args:
        condition: the regime, and N.
        rounds: how many.
        seeds: R of them, which key what the regime draws.
        make: gives rows (R, *, m) at positions (R, m) in order of birth, with their birth stamps;
            asked for a round once the consumer is done with the one before.
    """
    draws = condition.regime.draws(condition.n_real, condition.samples_per_round, seeds)
    rows, born = None, np.empty((len(seeds), 0), np.int64)
    shown = tqdm(itertools.islice(draws, rounds), "rounds", rounds, leave=False, disable=None)
    for draw in shown:
        births = _births(condition, draw.others)
        added = make(draw.others, births)
        if rows is None:
            rows = added[..., :0]
        kept = draw.kept.reshape(len(seeds), *[1] * (rows.ndim - 2), -1)
        rows = joined(np.take_along_axis(rows, kept, -1), added)
        born = joined(np.take_along_axis(born, draw.kept, 1), births)
        yield rows, born


def _births(condition: Condition, positions: Positions) -> Positions:
    """The birth stamps of rows at positions in order of birth."""
    per_round = max(1, condition.samples_per_round)
    first = condition.n_real - per_round
    return np.asarray(np.maximum(positions - first, 0) // per_round)


def refuse_beyond_memory(name: str, value: int, rounds: int, bytes_a_round: float) -> None:
    """Raises ValueError, which names an option, where rounds need more memory than there is."""
    limit = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    needed = rounds * bytes_a_round
    if needed > limit:
        raise ValueError(
            f"{name} = {value}: with {rounds} rounds needs {needed / 2**30:,.0f} GiB of memory, "
            f"and there are {limit / 2**30:,.0f}; lower {name} or rounds"
        )
