"""Guiding away from the self-trained network, in kind: SIMS on points, not on CIFAR-10."""

from lightning_collapse.analysis.verdict import late
from lightning_collapse.papers.claim import Claim, Evidence, Finding, Plot, Task
from lightning_collapse.papers.plans import lines, told


def _measure(task: Task) -> Evidence:
    series = told(task, "ways_out_negative_guidance.yaml", "sw2_points")
    apart = late((series["weight_1 replace"] - series["none replace"]).T)
    findings = (Finding("sliced W2, guided less unguided", "below 0", apart, high=0.0),)
    return Evidence(findings, Plot("round", "sliced Wasserstein-2 distance", lines(series)))


CLAIM = Claim(
    authors="Alemohammad et al. (SIMS)",
    source="2024",
    says="guidance away from the self-trained network prevents collapse",
    setting="three Gaussians, Replace, networks go on from round 0's, weight 1, 3 seeds",
    figure="self-improvement, and no collapse",
    provenance="abstract, qualitative",
    data="points",
    cost=(60, 60),
    measure=_measure,
    by_plan=True,
)
