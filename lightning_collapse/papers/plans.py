"""Claims on runs of `fit`: a plan's records as series over rounds and seeds."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lightning_collapse.papers.claim import Task

__all__ = ["told"]


def told(task: Task, plan: str, figure: str) -> Mapping[str, NDArray[np.float64]]:
    """Runs a plan of the folder `plans`; gives each condition's figure (K, R) by round and seed.

    Conditions are named by the labels of their axes, such as `replace` or `none replace`; the
    control is called `control`.

    Raises:
        ValueError: seeds have finished different rounds, or have no such figure.
    """
    series = {}
    for condition, runs in task.study(Path("plans", plan)).conditions.items():
        name = " ".join(label or axis for axis, label in condition)
        try:
            values = [[float(record[figure]) for record in run.records] for run in runs]
            series[name] = np.array(values, float).T
        except (KeyError, TypeError, ValueError):
            raise ValueError(f"plan = {plan}: {name} has no {figure} in some rounds") from None
    return series
