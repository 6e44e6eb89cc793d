"""Weights extrapolated away from the self-trained network's, in kind: Neon on points.

Theirs is one step: a network goes on training on its own samples, and what is sampled are weights
beyond where it began, seen from where it ended; these samples are better than the first ones. So
is round 1 here. Later rounds train on such samples, which is not theirs.
"""

import numpy as np

from lightning_collapse.analysis.verdict import late
from lightning_collapse.papers.claim import Claim, Evidence, Finding, Plot, Task, ours
from lightning_collapse.papers.points import Loop, control_of, replicas, series
from lightning_collapse.regimes import Replace
from lightning_collapse.sampling.guide import WeightExtrapolation

_FIGURE = "sw2_points"


def _measure(task: Task) -> Evidence:
    loop, count = Loop(Replace(), is_warm=True), replicas(task)
    loops = {
        "extrapolated": Loop(Replace(), is_warm=True, guide=WeightExtrapolation(1.0)),
        "plain": loop,
        "control": control_of(loop),
    }
    course = {name: series(one, count, task.seed)[_FIGURE] for name, one in loops.items()}
    better = course["extrapolated"]
    findings = (
        Finding("sliced W2, round 1 less round 0", "below 0", better[1] - better[0], high=0.0),
        Finding(
            "sliced W2, extrapolated less plain, last third",
            "below 0",
            late((better - course["plain"]).T),
            high=0.0,
        ),
    )
    rounds = np.arange(loop.rounds)
    lines = [ours(name, rounds, values) for name, values in course.items()]
    return Evidence(findings, Plot("round", "sliced Wasserstein-2 distance", lines))


CLAIM = Claim(
    authors="Alemohammad et al. (Neon)",
    source="2025, 2510.03597",
    says="extrapolating from the self-trained weights back through the first improves samples",
    setting="three Gaussians, N = 500, Replace, networks go on from round 0's, weight 1, 8 rounds",
    figure="FID 1.98 to 1.38 on CIFAR-10",
    provenance="abstract",
    data="points",
    cost=(6, 2),
    measure=_measure,
)
