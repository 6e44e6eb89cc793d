"""One true point a round keeps a Gaussian from collapsing.

Theirs is on exponential families, with one point of the true distribution added in each round.
Ours is the loop `Fresh` with one new real row of N; its variance settles at
s2 / (1 + 1/(m(1 + λ))), nearly (theory of this project), far from the 0 of replacement.
"""

import numpy as np

from lightning_collapse.papers.claim import Claim, Evidence, Finding, Task, ours, theirs, within
from lightning_collapse.theory.gaussian import fresh_mix_limit
from lightning_collapse.toys.conditions import condition
from lightning_collapse.toys.gaussian import simulate
from lightning_collapse.toys.gaussian_fits import Truth

_N, _ROUNDS = 100, 1000


def _measure(task: Task) -> Evidence:
    truth, replicas = Truth(0.0, 1.0), task.replicas(8000)
    share = 1 - 1 / _N
    fresh = simulate(
        condition("Fresh", share, _N, _ROUNDS), _ROUNDS, replicas, truth=truth, seed=task.seed
    )
    replaced = simulate(
        condition("Replace", 1.0, _N, _ROUNDS), _ROUNDS, replicas, truth=truth, seed=task.seed
    )
    limit = fresh_mix_limit(_N, share)
    # A loop forgets in 1/(1 - λ) = N rounds.
    late = fresh.variance[_ROUNDS // 2 :].mean(0)
    halves = np.log(fresh.variance[-250:].mean(0) / fresh.variance[-500:-250].mean(0))
    findings = [
        Finding("variance, one fresh point a round", "above .5", late, low=0.5),
        within("the same", late, limit, 0.05 * limit),
        within("log of its change over 250 rounds", halves, 0.0, 0.15),
        Finding("log v, none", "below log .01", replaced.log_variance[-1], high=np.log(0.01)),
    ]
    rounds = np.arange(_ROUNDS)
    lines = [
        theirs("limit with one point", rounds, np.full(_ROUNDS, limit)),
        ours("one fresh point a round", rounds, fresh.variance),
        ours("none", rounds, replaced.variance),
    ]
    return Evidence("round", "variance", findings, lines)


CLAIM = Claim(
    authors="Jangjoo et al.",
    source="2026, PRL 136:197301",
    says="one true point a round prevents collapse of exponential families",
    setting=f"Gaussian, Fresh with 1 of N = {_N} rows, {_ROUNDS} rounds",
    figure="no collapse; the variance settles at .664 of the truth's",
    provenance="abstract; .664 derived",
    data="toy",
    cost=(0.1, 0.1),
    measure=_measure,
    why="prevented, but not without loss: a third of the variance is missing for good",
)
