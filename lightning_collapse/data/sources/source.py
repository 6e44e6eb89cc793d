"""What a source of real rows is."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lightning_collapse.data.store.shards import MAX_SHARD_ROWS, write_rows

__all__ = ["Source"]


class Source(ABC):
    """Real rows to start from. A data set is one subclass, best a frozen dataclass."""

    @abstractmethod
    def read(self, seed: int) -> tuple[Tensor, Tensor | None]:
        """Reads all rows and, if the set has them, their labels.

        Args:
            seed: keys what is random in a source that makes its rows.

        Returns:
            Rows (n, C, H, W) uint8 or (n, d) float32; labels (n,) int64 or None.

        Raises:
            FileNotFoundError: the data is not where it was said to be.
            ValueError: the data is not what the source takes.
        """

    def check(self) -> None:  # noqa: B027 - most sources have nothing to check
        """Raises early, and cheaply, what `read` would raise for a missing path."""

    def keep(self, folder: Path, seed: int, recipe: dict[str, Any]) -> None:
        """Makes a folder the store of all rows.

        Args:
            folder: of the store.
            seed: as for `read`.
            recipe: goes into the manifest, with what the source has to add under `import`.
        """
        rows, labels = self.read(seed)
        parts = torch.split(rows, MAX_SHARD_ROWS)
        tags = [None] * len(parts) if labels is None else torch.split(labels, MAX_SHARD_ROWS)
        write_rows(folder, zip(parts, tags, strict=True), lambda: recipe)
