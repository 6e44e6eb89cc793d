"""Words of a Zipf law, counted in their own samples: how many are left after ten rounds.

Theirs is for Poisson counts, and bounds the rest; ours draws a fixed number of words, for which
the Poisson sum is an approximation.
"""

import numpy as np

from lightning_collapse.papers.claim import Claim, Evidence, Task, ours, theirs, within
from lightning_collapse.theory.discrete import poisson_survival, zipf
from lightning_collapse.toys.conditions import condition
from lightning_collapse.toys.discrete import Law, simulate

_K, _N, _ROUNDS = 1000, 1000, 10


def _measure(task: Task) -> Evidence:
    evidence = Evidence("fit k", "words left", log="y")
    fits = np.arange(1, _ROUNDS + 1)
    for exponent, shift in ((1.0, 2.7), (2.0, 5.0)):
        shares = zipf(_K, exponent, shift)
        loop = condition("Replace", 1.0, _N, _ROUNDS)
        law = Law(tuple(map(float, shares)))
        course = simulate(loop, _ROUNDS, task.replicas(200), law, task.seed)
        known = poisson_survival(_ROUNDS, _N * shares).sum(1)
        where, last = f"Zipf ({exponent:g}, {shift:g})", float(known[-1])
        what = f"words left after {_ROUNDS} fits, {where}"
        evidence.findings.append(within(what, course.categories[-1], last, 0.05 * last))
        evidence.lines += [ours(where, fits, course.categories), theirs(where, fits, known)]
    return evidence


CLAIM = Claim(
    authors="Suresh et al.",
    source="2024, 2412.17646",
    says="words of a Zipf law die out by the Poisson law, the rare ones at once",
    setting=f"Zipf (1, 2.7) and (2, 5), {_K:,} words, {_N:,} drawn, {_ROUNDS} fits",
    figure="Σ over words of 1 - exp(-n p g_k)",
    provenance="theorem, as read; for fixed sizes an approximation",
    data="toy",
    cost=(0.1, 0.1),
    measure=_measure,
)
