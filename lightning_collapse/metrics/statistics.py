"""Mean and covariance of features, kept as npz in NVIDIA's format: `mu`, `sigma`, float64."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lightning_collapse.data.files import write_atomically
from lightning_collapse.data.foreign.npz import array_names, read_array
from lightning_collapse.metrics.moments import Moments

__all__ = ["Statistics", "read_statistics", "write_statistics"]

# Far above any features, and low enough that products of three of them do not overflow.
_LARGEST = 1e100


@dataclass(frozen=True)
class Statistics:
    """What a Fréchet distance is taken from.

    Attributes:
        mu: mean (d,), float64.
        sigma: unbiased covariance (d, d), float64.
        n: rows behind them, or None where that is not known.
    """

    mu: Tensor
    sigma: Tensor
    n: int | None = None

    @classmethod
    def of(cls, features: Tensor) -> "Statistics":
        """Gives the statistics of features (n, d)."""
        return cls.summed(Moments.of(features))

    @classmethod
    def summed(cls, moments: Moments) -> "Statistics":
        """Gives the statistics that sums come to."""
        return cls(moments.mean, moments.covariance(), moments.count)


def write_statistics(path: Path, statistics: Statistics) -> None:
    """Writes an npz that NVIDIA's fid.py reads too; `n` is an entry more."""
    arrays: dict[str, Any] = {"mu": statistics.mu.numpy(), "sigma": statistics.sigma.numpy()}
    if statistics.n is not None:
        arrays["n"] = statistics.n
    write_atomically(path, lambda file: np.savez(file, **arrays))


def read_statistics(path: Path, dim: int) -> Statistics:
    """Reads statistics of `dim` features, from whatever source.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it does not hold a mean and a covariance of that many features.
    """
    mu = torch.from_numpy(read_array(path, "mu", (dim,)).astype(np.float64))
    sigma = torch.from_numpy(read_array(path, "sigma", (dim, dim)).astype(np.float64))
    if not mu.isfinite().all() or not sigma.isfinite().all():
        raise ValueError(f"{path}: mu or sigma has entries that are not finite")
    if max(mu.abs().max(), sigma.abs().max()) > _LARGEST:
        raise ValueError(f"{path}: mu or sigma is too large, above {_LARGEST:.0e}")
    if (sigma - sigma.mT).abs().max() > 1e-6 * sigma.abs().max():
        raise ValueError(f"{path}: sigma is not symmetric, as a covariance is")
    return Statistics(mu, (sigma + sigma.mT) / 2, _rows(path))


def _rows(path: Path) -> int | None:
    if "n" not in array_names(path):
        return None
    n = read_array(path, "n", ()).item()
    if not 1 <= n < 2**63:
        raise ValueError(f"{path}: n = {n}: must be at least 1")
    return int(n)
