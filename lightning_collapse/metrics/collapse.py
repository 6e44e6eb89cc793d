"""Whether a round's samples have collapsed altogether: a result, and not a matter of distances.

    nonfinite   a sample was not finite, and was stored as 0 in network units
    constant    all samples are the same, their total variance being at most a millionth of the
                real rows'; or every image is flat, with one value a channel
    saturated   of all the images' values, less than 1 % lie between the ends of the range, 0 and
                255, and less than a tenth of the share in real images

The first that holds is what counts. Flat images are no collapse where all real ones are. Points
have no range, and are never flat.
"""

from typing import Literal

from torch import Tensor

__all__ = ["Collapse", "Levels", "find_collapse"]

Collapse = Literal["nonfinite", "constant", "saturated"]

_SAME = 1e-6
_BETWEEN, _BETWEEN_OF_REAL = 0.01, 0.1


class Levels:
    """Counts over images, to be filled block by block and merged; points leave it empty.

    Attributes:
        images: how many there are.
        flat: those with a single value in every channel.
        numbers: values of all images.
        between: values that are neither 0 nor 255.
    """

    def __init__(self) -> None:
        self.images, self.flat, self.numbers, self.between = 0, 0, 0, 0

    def update(self, rows: Tensor) -> None:
        """Adds rows: images (n, C, H, W) uint8, or points (n, d)."""
        if rows.ndim != 4:
            return
        channels = rows.flatten(2)
        self.images += len(rows)
        self.flat += int((channels == channels[..., :1]).all(2).all(1).sum())
        self.numbers += rows.numel()
        self.between += int(((rows > 0) & (rows < 255)).sum())

    def merge(self, other: "Levels") -> None:
        """Adds what another process has seen."""
        self.images += other.images
        self.flat += other.flat
        self.numbers += other.numbers
        self.between += other.between

    @property
    def all_flat(self) -> bool:
        """Whether there are images, and none but flat ones."""
        return 0 < self.images == self.flat

    @property
    def between_share(self) -> float:
        """Share of values between the ends of the range; 1 for points, which have no range."""
        return self.between / self.numbers if self.numbers else 1.0


def find_collapse(
    samples: Levels, real: Levels, *, relative_variance: float, n_nonfinite: int
) -> Collapse | None:
    """Gives how a round's samples have collapsed, if they have, beside the N real training rows.

    `relative_variance` is their total variance over that of the real rows.
    """
    if n_nonfinite:
        return "nonfinite"
    if relative_variance <= _SAME or (samples.all_flat and not real.all_flat):
        return "constant"
    ends = min(_BETWEEN, _BETWEEN_OF_REAL * real.between_share)
    return "saturated" if samples.between_share < ends else None
