"""Which of a run's real rows are trained on, which are held out, and how many samples are made."""

import torch
from torch import Tensor

from lightning_collapse.data.store.shards import StoredRows
from lightning_collapse.metrics.measure import MEASURED_ROWS
from lightning_collapse.regimes import Regime
from lightning_collapse.seeds import generator

__all__ = ["Subset", "samples_of", "split"]


class Subset:
    """Rows (n, *) of a store in an order of their own.

    Attributes:
        order: their positions in the store (n,).
        labels: class of each row (n,), int64; None where there are none.
    """

    def __init__(self, rows: StoredRows, order: Tensor) -> None:
        self._rows, self.order = rows, order
        self.labels = None if rows.labels is None else rows.labels[order]

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, indices: Tensor) -> Tensor:
        return self._rows[self.order[indices]]


def split(
    real: StoredRows, seed: int, train_rows: int | None = None, held_out_rows: int | None = None
) -> tuple[Subset, Subset]:
    """Splits real rows in the order that the seed gives them: first the held-out ones.

    Args:
        real: all real rows of the run.
        seed: of the run.
        train_rows: N, rows that may be trained on; None for all that are not held out.
        held_out_rows: rows never trained on; None for a fifth of all, at least 2.

    Returns:
        The training rows, and the held-out ones.

    Raises:
        ValueError: there are not enough rows.
    """
    total = len(real)
    held_out = held_out_rows or max(2, total // 5)
    train = train_rows or total - held_out
    if train < 1 or held_out + train > total:
        name = "held_out_rows" if train_rows is None else "train_rows"
        value = held_out if train_rows is None else train
        raise ValueError(
            f"{name} = {value}: the set has {total} rows, of which {held_out} are held out and at "
            f"most {max(total - held_out, 0)} are left to train on"
        )
    order = torch.randperm(total, generator=generator(seed, "real"))
    return Subset(real, order[held_out : held_out + train]), Subset(real, order[:held_out])


def samples_of(
    regime: Regime, n_train: int, n_held_out: int, asked: int | None = None
) -> tuple[int, int]:
    """Gives how many samples a round makes, and how many, the first ones, may be trained on.

    Args:
        regime: of the run.
        n_train: N, real rows that may be trained on.
        n_held_out: real rows that are held out.
        asked: samples to make, all of which may be trained on; None for what the regime needs, or
            N where it needs none, and more where measures take more.
    """
    if asked is not None:
        return asked, asked
    trainable = regime.samples_needed(n_train) or n_train
    # Figures depend on n, which must not follow the regime.
    return max(trainable, min(n_held_out, MEASURED_ROWS)), trainable
