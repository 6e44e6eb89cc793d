"""Categories counted in their own samples: diversity is lost by 1/N a round, until one is left.

Theirs counts the rounds until one category is left, in figures alone; the mean of the diversity
1 - Σp² is known exactly, as in population genetics (Wright 1931), and decides here.
"""

import numpy as np

from lightning_collapse.papers.claim import Claim, Evidence, Finding, Task, ours, theirs, within
from lightning_collapse.toys.conditions import condition
from lightning_collapse.toys.discrete import Law, simulate

_SETTINGS = ((10, 10), (10, 100), (100, 100))


def _measure(task: Task) -> Evidence:
    evidence = Evidence("fits over N", "diversity 1 - Σp²")
    for categories, n in _SETTINGS:
        rounds = 10 * n
        law = Law((1 / categories,) * categories)
        loop = condition("Replace", 1.0, n, rounds)
        course = simulate(loop, rounds, task.replicas(600), law, task.seed)
        fits = np.arange(1, rounds + 1)
        exact = (1 - 1 / categories) * (1 - 1 / n) ** fits
        left = course.diversity / exact[:, None]
        where = f"K = {categories}, N = {n}"
        evidence.findings += [
            within(f"diversity over the law's after N fits, {where}", left[n - 1], 1.0, 0.2),
            Finding(f"categories after 10 N fits, {where}", "1", course.categories[-1], high=1.05),
        ]
        theory = theirs(where, fits / n, exact)
        evidence.lines += [ours(where, fits / n, course.diversity), theory]
    return evidence


CLAIM = Claim(
    authors="Kazdan et al.",
    source="2024, 2410.16713",
    says="a discrete distribution loses its categories under replacement until one is left",
    setting="uniform over K = 10, 100; N = 10, 100; 10 N fits",
    figure="E[1 - Σp²] = (1 - 1/K)(1 - 1/N)^t",
    provenance="their code, the law derived",
    data="toy",
    cost=(0.4, 0.4),
    measure=_measure,
    why="their sweep goes to K, N = 10⁵, where the loop takes 10⁶ rounds: not run here",
)
