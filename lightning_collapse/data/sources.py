"""What a source of real rows is."""

from abc import ABC, abstractmethod

from torch import Tensor

__all__ = ["Source"]


class Source(ABC):
    """Real rows to start from. A new data set is one subclass in `images.py` or `points.py`."""

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
