"""The measures of runs, taken of a toy's points."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lightning_collapse.metrics.features import Features, Points
from lightning_collapse.metrics.measure import Measure
from lightning_collapse.metrics.measuring import Measuring, Seen, record_of
from lightning_collapse.metrics.real import RealData
from lightning_collapse.rows import Rows

__all__ = ["PointMeasures", "numbers_of", "over_replicas", "over_rounds"]


class PointMeasures:
    """Measures of loops that have the same real points, one after another or side by side."""

    def __init__(
        self,
        measures: Sequence[Measure],
        real: Rows,
        held_out: Rows | None,
        n_samples: int,
        seed: int = 0,
        features: Features = Points(),  # noqa: B008 - frozen
        summed: int | None = None,
    ) -> None:
        """Measures the floors.

        Args:
            measures: in the order of the columns.
            real: points (N, d) that samples are compared with.
            held_out: others (m, d); None for no floors.
            n_samples: points that a round makes.
            seed: of the loop.
            features: space of measures that name none.
            summed: rows of a set whose moments are summed; None for as many as samples.
        """
        summed = n_samples if summed is None else summed
        self._measuring, self._before = None, dict[int, Seen]()
        if measures:
            most = max(summed, *(measure.rows for measure in measures))
            data = RealData(real, held_out, most)
            self._measuring = Measuring(
                measures, data, features, n_samples, summed=summed, seed=seed
            )

    def __call__(
        self, samples: Tensor, trained_on: Rows | None = None, loop: int = 0, n_nonfinite: int = 0
    ) -> dict[str, Any]:
        """A record's fields of the next round's samples (n, d) of one of the loops."""
        if self._measuring is None:
            return {}
        seen = self._measuring.seen()
        seen.update(0, samples)
        seen.sums.n_nonfinite += n_nonfinite
        told = list(self._measuring.figures(seen, self._before.get(loop), trained_on=trained_on))
        self._before[loop] = seen
        return record_of(told)

    def of_all(self, samples: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        """Every number (R,) of the next round's samples (R, n, d) of R loops; NaN for null."""
        told = [numbers_of(self(torch.from_numpy(x), loop=i)) for i, x in enumerate(samples)]
        names = dict.fromkeys(name for numbers in told for name in numbers)
        return {name: np.array([n.get(name, np.nan) for n in told]) for name in names}


def over_rounds(measured: Sequence[dict[str, NDArray[np.float64]]]) -> dict[str, Any]:
    """Statistics (replicas, rounds) from those of each round; NaN where a round lacks one."""
    names = dict.fromkeys(name for told in measured for name in told)
    # A list that one round cannot tell is one number there, null.
    names = {name: None for name in names if f"{name}/0" not in names}
    none = np.full(len(next(iter(measured[0].values()))), np.nan)
    return {name: np.stack([told.get(name, none) for told in measured], 1) for name in names}


def over_replicas(parts: Sequence[dict[str, NDArray[np.float64]]]) -> dict[str, Any]:
    """Statistics (replicas, rounds) of all replicas, from those of some."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def numbers_of(fields: dict[str, Any]) -> dict[str, float]:
    """A record's figures as numbers, those of a list as `name/0` and so on; NaN for null."""
    numbers: dict[str, float] = {}
    for name, value in fields.items():
        if isinstance(value, list):
            numbers |= {f"{name}/{i}": float(part) for i, part in enumerate(value)}
        elif value is None or isinstance(value, (int, float)):
            numbers[name] = float("nan") if value is None else float(value)
    return numbers
