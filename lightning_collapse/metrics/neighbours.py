"""Distances between all rows of two sets, which several measures share."""

import torch
from torch import Tensor

__all__ = ["all_distances", "nearest_others"]

_ROWS_AT_ONCE = 1024


def all_distances(x: Tensor, y: Tensor) -> Tensor:
    """Gives the Euclidean distance of every row of x (n, d) to every row of y (m, d).

    Returns:
        Distances (n, m), float32, computed in float64; equal rows are at 0, and equal distances
        stay equal.
    """
    apart = torch.empty(len(x), len(y))
    # About the middle of y: far from 0, squares would lose what lies between rows.
    middle = y.double().mean(0)
    y = y.double() - middle
    norms = y.square().sum(1)
    for start in range(0, len(x), _ROWS_AT_ONCE):
        block = x[start : start + _ROWS_AT_ONCE].double() - middle
        scale = block.square().sum(1, keepdim=True) + norms
        squares = torch.addmm(scale, block, y.mT, alpha=-2)
        squares[squares <= 1e-13 * scale] = 0.0
        apart[start : start + len(block)] = squares.sqrt_()
    return apart


def nearest_others(apart: Tensor, k: int = 1) -> Tensor:
    """Gives how far each row of a set (n, n) is from its k-th nearest other row (n,), k < n."""
    return apart.kthvalue(k + 1).values
