"""Least squares on its own labels: the error is linear under replacement, bounded otherwise.

Their code labels the same inputs in every round, and so do we. Errors are proportional to the
noise's variance, so that one of .1, 1 and 10 is run.
"""

import numpy as np

from lightning_collapse.papers.claim import Claim, Evidence, Finding, Task, ours, theirs, within
from lightning_collapse.theory.regression import replace_error
from lightning_collapse.toys.conditions import condition
from lightning_collapse.toys.regression import Task as Regression
from lightning_collapse.toys.regression import regress

_DIM, _ROUNDS, _ROWS = 10, 20, (32, 100, 316, 1000)
_BOUND = np.pi**2 / 6


def _measure(task: Task) -> Evidence:
    regression = Regression(_DIM, 1.0, _ROUNDS, task.replicas(6000, least=200), task.seed)
    fits = np.arange(1, _ROUNDS + 1)
    evidence = Evidence("fit n", "error over that of fit 1", log="y")
    for rows in _ROWS:
        first = float(replace_error(1, _DIM, rows))
        for regime in ("Replace", "Accumulate"):
            errors, _ = regress(condition(regime, 1.0, rows, _ROUNDS), "same", regression)
            last, what = errors[-1] / first, f"error {_ROUNDS} over error 1, N = {rows}, {regime}"
            if regime == "Replace":
                evidence.findings.append(within(what, last, _ROUNDS, 0.1 * _ROUNDS))
            else:
                evidence.findings.append(Finding(what, "at most π²/6", last, high=_BOUND))
            evidence.lines.append(ours(f"{regime}, N = {rows}", fits, errors / first))
    evidence.lines += [
        theirs("n, under replacement", fits, fits),
        theirs("π²/6, accumulating", fits, np.full(_ROUNDS, _BOUND)),
    ]
    return evidence


CLAIM = Claim(
    authors="Gerstgrasser et al.",
    source="2024, 2404.01413",
    says="regression's error grows linearly under replacement, and stays below π²/6 times the "
    "first where data accumulate",
    setting=f"d = {_DIM}, N = 32 to 1000, noise 1, the same inputs, {_ROUNDS} fits",
    figure="σ²d n/(N - d - 1); at most π²/6 = 1.645 times the first",
    provenance="abstract, and derived: an equality for inputs used again",
    data="toy",
    cost=(0.2, 0.2),
    measure=_measure,
    why="accumulation comes to 1.596 after 20 fits, within 3 % of the bound, by the sum of 1/i²",
)
