"""Which of a run's real rows are trained on, which are held out, and how many samples are made."""

from collections.abc import Mapping
from typing import Any

import torch

from lightning_collapse.metrics.measure import MEASURED_ROWS
from lightning_collapse.pool import Subset
from lightning_collapse.regimes import Regime
from lightning_collapse.rows import LabelledRows
from lightning_collapse.runs.layout import Run
from lightning_collapse.seeds import generator

__all__ = [
    "recorded_set_apart",
    "recorded_split",
    "samples_of",
    "set_apart",
    "split",
]


def split(
    real: LabelledRows,
    seed: int,
    train_rows: int | None = None,
    held_out_rows: int | None = None,
    swap: int | None = None,
) -> tuple[Subset, Subset]:
    """Splits real rows in the order that the seed gives them: first the held-out ones.

    Args:
        real: all real rows of the run.
        seed: of the split.
        train_rows: N, rows that may be trained on; None for all that are not held out.
        held_out_rows: rows never trained on; None for a fifth of all, at least 2.
        swap: number of one training row, in [0, N), in whose place another comes: one that is in
            neither part, or, where there is none, a held-out one, which it changes places with.
            Regimes that keep m real rows keep the first m.

    Returns:
        The training rows, and the held-out ones.

    Raises:
        ValueError: there are not enough rows, or no such row to swap.
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
    if swap is not None:
        if not 0 <= swap < train:
            raise ValueError(f"swap = {swap}: must be one of the {train} training rows, from 0 on")
        unused = total - held_out - train
        other = held_out + train + swap % unused if unused else swap % held_out
        order[[held_out + swap, other]] = order[[other, held_out + swap]]
    return Subset(real, order[held_out : held_out + train]), Subset(real, order[:held_out])


def set_apart(real: LabelledRows, seed: int, n_train: int, n_held_out: int) -> Subset:
    """Gives the rows of a split without swap that are in neither of its parts, of such sizes."""
    order = torch.randperm(len(real), generator=generator(seed, "real"))
    return Subset(real, order[n_held_out + n_train :])


def recorded_set_apart(run: Run, record: Mapping[str, Any]) -> Subset:
    """Gives the rows that are set apart by the split that `recorded_split` gives."""
    seed, train, held_out = recorded_split(run, record)
    split_seed = record.get("split_seed", seed)
    return set_apart(run.real_rows, split_seed, len(train), len(held_out))


def recorded_split(
    run: Run, record: Mapping[str, Any], real: LabelledRows | None = None
) -> tuple[int, Subset, Subset]:
    """Splits a run's real rows as a round's record has it; older ones leave it to config.yaml.

    Args:
        run: whose rows they are.
        record: of one of its rounds.
        real: what may be its real rows; None for those that are stored.

    Returns:
        The run's seed, the training rows, and the held-out ones.

    Raises:
        OSError: the real rows are not there.
        ValueError: they are fewer than were split, or what is recorded is no whole number.
    """
    names = {"seed": "seed", "n_train": "train_rows", "n_held_out": "held_out_rows"}
    if names.keys() <= record.keys():
        known = {option: record[name] for name, option in names.items()}
    else:
        data = run.config.read().get("data")
        data = data if isinstance(data, dict) else {}
        known = {option: data.get(option) for option in names.values()}
    seed = known.pop("seed") or 0
    split_seed = record.get("split_seed", seed)
    known["swap"] = record.get("swap")
    for name, value in [("seed", seed), ("split_seed", split_seed), *known.items()]:
        if type(value) is not int and (value is not None or name.endswith("seed")):
            raise ValueError(f"{run}: {name} = {value!r:.40} in its records: must be an integer")
    return seed, *split(run.real_rows if real is None else real, split_seed, **known)


def samples_of(
    regime: Regime, n_train: int, n_held_out: int, asked: int | None = None
) -> tuple[int, int]:
    """Gives how many samples a round makes, and how many, the first ones, may be trained on.

    These are as many as are `asked` for; where none are, what the regime needs, or N where it
    needs none, and more are made where measures take more.
    """
    if asked is not None:
        return asked, asked
    trainable = regime.samples_needed(n_train) or n_train
    # Figures depend on n, which must not follow the regime.
    return max(trainable, min(n_held_out, MEASURED_ROWS)), trainable
