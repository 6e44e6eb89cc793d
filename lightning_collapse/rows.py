"""What a row is: an image, uint8 (C, H, W), or a point, float32 (d,); and network units.

Images map 0..255 to [-1, 1] and back without loss; points are in network units as they are.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

__all__ = [
    "LabelledRows",
    "ReadRows",
    "Rows",
    "network_units",
    "from_network_units",
    "nonfinite_as_zero",
]


class Rows(Protocol):
    """Rows (n, *) of one generation; a `Tensor` is one."""

    def __len__(self) -> int: ...

    def __getitem__(self, indices: Any, /) -> Any: ...


class LabelledRows(Rows, Protocol):
    """Rows (n, *) that may have classes."""

    @property
    def labels(self) -> Tensor | None:
        """Class of every row (n,), int64; None where there are none."""


@dataclass(frozen=True, eq=False)
class ReadRows:
    """Rows (n, *) in memory, with their classes (n,) or None."""

    rows: Tensor
    labels: Tensor | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, indices: Any) -> Tensor:
        return self.rows[indices]


def network_units(rows: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Maps uint8 rows from 0..255 to [-1, 1]; rows in floats are in network units already."""
    return rows.to(dtype) / 127.5 - 1 if rows.dtype == torch.uint8 else rows.to(dtype)


def from_network_units(samples: Tensor) -> Tensor:
    """Turns samples into rows: images (n, C, H, W) into uint8, points (n, d) into float32.

    Rounding is NVIDIA's: x · 127.5 + 128, clipped to 0..255, truncated.

    Raises:
        ValueError: a sample is not finite, which no row could show.
    """
    if not samples.isfinite().all():
        raise ValueError("samples are not finite: training diverged; lower the learning rate")
    if samples.ndim == 2:
        return samples.float()
    return (samples * 127.5 + 128).clamp(0, 255).to(torch.uint8)


def nonfinite_as_zero(samples: Tensor) -> tuple[Tensor, Tensor]:
    """Puts 0, a mid-gray image, in the place of samples (n, *) that no row could show.

    Returns:
        The samples, and which of them (n,) are not finite in float32, in which points are stored.
    """
    bad = ~samples.float().isfinite().flatten(1).all(1)
    return samples.masked_fill(bad.reshape(-1, *[1] * (samples.ndim - 1)), 0.0), bad
