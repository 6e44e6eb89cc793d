"""The Gaussian loop beside the raw data of one of its papers, seed by seed.

Theirs: mean and standard error of log v over their seeds, computed from the file
`notebooks/00_gaussian_fitting/data/sweeps=k3mipjqi_runs_histories.parquet` of their public
repository `RylanSchaeffer/KoyejoLab-Collapse-or-Thrive`, each seed once, although some are
logged twice. Theirs have up to 100 seeds, whose error alone makes an interval of ± 2.6 standard
errors, six findings sharing 5 %. The margin is twice that: six equal figures are then told to be
so, all of them, 19 times of 20.
"""

import numpy as np

from lightning_collapse.papers.claim import Claim, Evidence, Line, Task, ours, within
from lightning_collapse.toys.conditions import condition
from lightning_collapse.toys.gaussian import simulate
from lightning_collapse.toys.gaussian_fits import Truth

# Regime, N: mean of log v after 10, 30 and 100 fits, each with its standard error.
_THEIRS = {
    ("Replace", 10): ((-2.1296, 0.1631), (-6.4727, 0.2654), (-21.8400, 0.5157)),
    ("Replace", 32): ((-0.6403, 0.0773), (-1.9426, 0.1469), (-6.2071, 0.2596)),
    ("Replace", 100): ((-0.2121, 0.0439), (-0.5816, 0.0789), (-1.9081, 0.1304)),
    ("Accumulate", 10): ((-0.2924, 0.0569), (-0.2987, 0.0583), (-0.3067, 0.0587)),
    ("Accumulate", 32): ((-0.0822, 0.0287), (-0.0865, 0.0299), (-0.0846, 0.0295)),
    ("Accumulate", 100): ((-0.0267, 0.0176), (-0.0264, 0.0173), (-0.0256, 0.0176)),
}
_FITS = (10, 30, 100)
_MARGIN = 5.3
"""In standard errors of theirs."""


def _measure(task: Task) -> Evidence:
    evidence = Evidence("fit", "log of the variance")
    for (regime, n), told in _THEIRS.items():
        loop = condition(regime, 1.0, n, _FITS[-1])
        replicas = task.replicas(4000, least=400)
        course = simulate(loop, _FITS[-1], replicas, truth=Truth(0.0, 1.0), seed=task.seed)
        figure, error = told[-1]
        what = f"log v after {_FITS[-1]} fits, {regime}, N = {n}"
        margin = _MARGIN * error
        evidence.findings.append(within(what, course.log_variance[-1], figure, margin, error))
        fits = np.arange(1, _FITS[-1] + 1)
        label = f"{regime}, N = {n}"
        evidence.lines.append(ours(label, fits, course.log_variance))
        middle, spread = np.array(told).T
        low, high = middle - 2 * spread, middle + 2 * spread
        evidence.lines.append(Line(label, _FITS, middle, low, high, theirs=True))
    return evidence


CLAIM = Claim(
    authors="Kazdan et al.",
    source="2024, 2410.16713",
    says="a Gaussian's variance collapses under replacement, and stays where data accumulate",
    setting="d = 1, N = 10, 32, 100; 100 fits",
    figure="mean log v of their ≤ 100 seeds: -21.84, -6.21, -1.91; -.31, -.08, -.03",
    provenance="raw data",
    data="toy",
    cost=(0.1, 0.1),
    measure=_measure,
    why="equal within 5.3 of their standard errors: their seeds tell no more",
)
