"""Weights extrapolated away from the self-trained network's, in kind: Neon on points.

Theirs is one step: a network goes on training on its own samples for a little, and what is sampled
are weights beyond where it began, seen from where it ended; these samples are better than the
first ones. So is round 1 here, by a weight of a quarter beside one of 0, which is the first
network on the same latents. As a loop it goes astray: see `plans/ways_out_extrapolation.yaml`.
"""

import numpy as np

from lightning_collapse.papers.claim import Claim, Evidence, Finding, Task, ours
from lightning_collapse.papers.points import Loop, replicas, series
from lightning_collapse.regimes import Replace
from lightning_collapse.sampling.guide import WeightExtrapolation

_WEIGHTS, _CHOSEN = (0.0, 0.1, 0.25, 0.5, 1.0), 0.25


def _measure(task: Task) -> Evidence:
    count = replicas(task)
    told = {
        weight: series(
            Loop(Replace(), rounds=2, is_warm=True, guide=WeightExtrapolation(weight)),
            count,
            task.seed,
        )["sw2_points"][1]
        for weight in _WEIGHTS
    }
    apart = np.array([told[weight] - told[0.0] for weight in _WEIGHTS])
    finding = Finding(
        f"sliced W2, weight {_CHOSEN:g} less the first network",
        "below 0",
        apart[_WEIGHTS.index(_CHOSEN)],
        high=0.0,
    )
    line = ours("less the first network", np.array(_WEIGHTS), apart)
    return Evidence("weight", "sliced Wasserstein-2 distance", [finding], [line])


CLAIM = Claim(
    authors="Alemohammad et al. (Neon)",
    source="2025, 2510.03597",
    says="extrapolating from the self-trained weights back through the first improves samples",
    setting="three Gaussians, N = 500, one round of self-training, weight 1/4",
    figure="FID 1.98 to 1.38 on CIFAR-10",
    provenance="abstract",
    data="points",
    cost=(4, 1),
    measure=_measure,
    why="self-training is a whole round on 500 samples here; larger weights are worse (figure)",
)
