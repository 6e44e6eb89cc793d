"""Features of a whole set of rows, block by block; slow ones are kept on disk between runs.

Kept features lie in the user's cache folder ($XDG_CACHE_HOME, else ~/.cache) under a name made of
the feature space's and the rows' own bytes, so that they cannot be those of other rows.
"""

import hashlib
import os
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from lightning_collapse.data.files import write_atomically
from lightning_collapse.data.foreign.npz import read_array
from lightning_collapse.metrics.features import Features
from lightning_collapse.rows import Rows

__all__ = ["feature_blocks", "row_blocks"]

_ROWS_AT_ONCE = 1024
_SLOW_ROWS_AT_ONCE = 64


def row_blocks(rows: Rows, n: int | None = None, at_once: int = _ROWS_AT_ONCE) -> Iterator[Tensor]:
    """Yields the first n rows, or all, in blocks (b, *)."""
    for indices in torch.split(torch.arange(len(rows) if n is None else n), at_once):
        yield rows[indices]


def feature_blocks(
    rows: Rows, features: Features, n: int | None = None, keep: bool = True, bar: bool = False
) -> Iterator[Tensor]:
    """Yields the features of the first n rows, or of all, in blocks (b, d), on the CPU.

    With `keep`, slow ones are kept on disk, and kept ones taken: for real rows, which come again.
    `bar` shows the progress of slow ones, on a terminal.
    """
    if not features.slow:
        yield from (features(block) for block in row_blocks(rows, n))
        return
    path = _kept_at(rows, features, n) if keep else None
    computed = _taken(path) if path is not None else None
    if computed is None:
        computed = torch.cat(list(_slowly(rows, features, n, bar)))
        if path is not None:
            _keep(path, computed)
    yield from torch.split(computed, _ROWS_AT_ONCE)


def _slowly(rows: Rows, features: Features, n: int | None, bar: bool) -> Iterator[Tensor]:
    total = len(rows) if n is None else n
    hidden = not bar or None  # None: where standard error is no terminal
    with tqdm(total=total, desc=features.name, leave=False, disable=hidden) as progress:
        for block in row_blocks(rows, n, _SLOW_ROWS_AT_ONCE):
            yield features(block).cpu()
            progress.update(len(block))


def _kept_at(rows: Rows, features: Features, n: int | None) -> Path:
    digest = hashlib.sha256()
    for block in row_blocks(rows, n):
        digest.update(repr((block.dtype, tuple(block.shape[1:]))).encode())
        digest.update(block.contiguous().numpy().tobytes())
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    name = f"{features.name}-{digest.hexdigest()}.npz"
    return Path(cache) / "lightning-collapse" / "features" / name


def _taken(path: Path) -> Tensor | None:
    try:
        return torch.from_numpy(read_array(path, "features", (None, None)))
    except (OSError, ValueError):  # none, or a damaged one, which is made anew
        return None


def _keep(path: Path, features: Tensor) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, lambda file: np.savez(file, features=features.numpy()))
    except OSError as error:
        warnings.warn(f"features will be computed again next time: {error}", stacklevel=2)
