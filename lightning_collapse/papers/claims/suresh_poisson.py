"""Counts that are Poisson with the mean of the counts before: how long a category survives."""

import numpy as np

from lightning_collapse.papers.claim import Claim, Evidence, Task, ours, theirs, within
from lightning_collapse.theory.discrete import poisson_survival
from lightning_collapse.toys.conditions import condition
from lightning_collapse.toys.discrete import Law, simulate

_K, _ROUNDS = 1000, 100


def _measure(task: Task) -> Evidence:
    evidence = Evidence("fit k", "share of categories left", log="xy")
    fits = np.arange(1, _ROUNDS + 1)
    for expected in (1, 5):
        law = Law((1 / _K,) * _K, "poisson")
        loop = condition("Replace", 1.0, expected * _K, _ROUNDS)
        course = simulate(loop, _ROUNDS, task.replicas(200), law, task.seed)
        left = course.categories / _K
        law_left = poisson_survival(_ROUNDS, np.array([float(expected)]))[:, 0]
        for k in (10, _ROUNDS):
            p = float(law_left[k - 1])
            what = f"P(Λ ≠ 0), k = {k}, mean {expected}"
            evidence.findings.append(within(what, left[k - 1], p, 0.1 * p))
        label = f"mean {expected}"
        evidence.lines += [ours(label, fits, left), theirs(label, fits, law_left)]
    return evidence


CLAIM = Claim(
    authors="Suresh et al.",
    source="2024, 2412.17646",
    says="a Poisson count survives k fits with chance 1 - exp(-nλ g_k), about 2/k of what it was",
    setting=f"{_K} categories of mean 1 and 5, {_ROUNDS} fits",
    figure="P(Λ_k ≠ 0) = 1 - exp(-nλ₀ g_k), g_{k+1} = 1 - exp(-g_k)",
    provenance="theorem, as read",
    data="toy",
    cost=(0.2, 0.2),
    measure=_measure,
)
