"""A round's training set after its curator: which rows are left, and what they weigh."""

import os
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from lightning_collapse.curators.curator import Curator, Offer
from lightning_collapse.pool import Pool
from lightning_collapse.regimes import Regime
from lightning_collapse.rows import Rows
from lightning_collapse.seeds import key

__all__ = ["Curated", "CuratorError", "check_curator", "curated"]

_LEAST = 2
"""Samples that a curator must keep: of one there is no variance."""


class CuratorError(ValueError):
    """Says of which curator, in which round, that it cannot choose, or keeps too little."""


@dataclass(frozen=True)
class Curated:
    """What a round trains on."""

    positions: Tensor
    """In the pool (n,)."""
    weights: Tensor
    """Of these rows in the loss (n,), float32, of mean 1."""
    counts: tuple[int, int]
    """Real rows, and synthetic ones."""
    record: dict[str, Any] = field(default_factory=dict)
    """What the curator chose, and what that cost; empty without one."""

    @classmethod
    def none(cls) -> "Curated":
        """Gives an empty training set."""
        return cls(torch.empty(0, dtype=torch.int64), torch.empty(0), (0, 0))


def check_curator(curator: Curator, regime: Regime, sizes: Sequence[int], seed: int) -> None:
    """Raises CuratorError where a curator is known to keep too little in one of the rounds.

    Args:
        curator: of the run.
        regime: likewise.
        sizes: rows of each birth stamp, in the end.
        seed: of the run.
    """
    for r in range(len(sizes)):
        rows = regime.select(sizes[: r + 1], key(seed, "regime"))
        n = int((rows >= sizes[0]).sum())
        _refuse_few(curator, curator.keeps(n), n, r)


def _refuse_few(curator: Curator, kept: int, n: int, r: int) -> None:
    if n and kept < _LEAST:
        raise CuratorError(
            f"curator = {curator}: keeps {kept} of the {n} samples that round {r} may train "
            f"on; must keep at least {_LEAST}"
        )


def curated(curator: Curator | None, pool: Pool, regime: Regime, real: Rows, seed: int) -> Curated:
    """Gives what the current round trains on.

    Args:
        curator: of the run, or None.
        pool: all rows.
        regime: of the run.
        real: real rows that may be trained on.
        seed: of the run.

    Raises:
        CuratorError: the curator cannot choose, or keeps too little.
    """
    started, positions = time.monotonic(), pool.select(regime)
    is_synthetic = positions >= len(real)
    n = int(is_synthetic.sum())
    n_real = len(positions) - n
    if curator is None:
        return Curated(positions, torch.ones(len(positions)), (n_real, n))
    weights = torch.ones(len(positions), dtype=torch.float64)
    if n:
        offer = Offer(
            samples=pool[positions[is_synthetic]],
            real=real[torch.arange(len(real))],
            n_real=n_real,
            seed=key(seed, "curator", pool.round),
        )
        weights[is_synthetic] = _weights(curator, offer, pool.round)
    kept = weights > 0
    chosen = is_synthetic & kept
    record = {
        "curator": type(curator).__name__,
        "curator_options": curator.options,
        "n_offered": n,
        # A real row weighs 1.
        "mean_weight": float(weights[chosen].mean()) if n else None,
        "seconds_curate": time.monotonic() - started,
    }
    left = weights[kept]
    return Curated(
        positions[kept], (left / left.mean()).float(), (n_real, int(chosen.sum())), record
    )


def _weights(curator: Curator, offer: Offer, r: int) -> Tensor:
    n = len(offer.samples)
    try:
        weights = torch.as_tensor(curator.weights(offer)).double().cpu()
    except (MemoryError, OSError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # of a class that anyone may have written
        frame = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{os.path.basename(frame.filename)}, line {frame.lineno}"
        raise CuratorError(f"curator = {curator}: round {r}: {error!r:.200} in {where}") from error
    if weights.shape != (n,) or not weights.isfinite().all() or (weights < 0).any():
        raise CuratorError(
            f"curator = {curator}: round {r}: must give {n} finite weights >= 0, one a sample"
        )
    _refuse_few(curator, int((weights > 0).sum()), n, r)
    return weights
