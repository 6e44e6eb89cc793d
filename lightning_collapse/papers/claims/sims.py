"""Guiding away from the self-trained network, in kind: SIMS on points, not on CIFAR-10.

Rounds start from one another's weights, as theirs do. *Prevents* is judged as collapse is: by what
is left above the control.
"""

from lightning_collapse.analysis.verdict import late
from lightning_collapse.papers.claim import Claim, Evidence, Finding, Task, over_rounds, stays
from lightning_collapse.papers.points import Loop, control_of, margin_of, replicas, series
from lightning_collapse.regimes import Replace
from lightning_collapse.sampling.guide import NegativeGuidance

_FIGURE = "sw2_points"


def _measure(task: Task) -> Evidence:
    loop, count = Loop(Replace(), is_warm=True), replicas(task)
    loops = {
        "guided": Loop(Replace(), is_warm=True, guide=NegativeGuidance(1.0)),
        "unguided": loop,
        "control": control_of(loop),
    }
    told = {name: series(one, count, task.seed) for name, one in loops.items()}
    course = {name: one[_FIGURE] for name, one in told.items()}
    margin = margin_of(told["control"], _FIGURE)
    apart = late((course["guided"] - course["unguided"]).T)
    findings = [
        Finding("sliced W2, guided less unguided", "below 0", apart, high=0.0),
        stays("sliced W2, guided", course["guided"], course["control"], margin, collapses=False),
    ]
    return Evidence("round", "sliced Wasserstein-2 distance", findings, over_rounds(course))


CLAIM = Claim(
    authors="Alemohammad et al. (SIMS)",
    source="2024, 2408.16333",
    says="guidance away from the self-trained network improves samples and prevents collapse",
    setting="three Gaussians, N = 500, Replace, networks go on from round 0's, weight 1, 8 rounds",
    figure="self-improvement, and no collapse",
    provenance="abstract, qualitative",
    data="points",
    cost=(6, 2),
    measure=_measure,
    why="it takes a third off what is lost, and does not prevent it: one weight for all rounds, "
    "of which others may do better: three seeds did not tell .5 from 1",
)
