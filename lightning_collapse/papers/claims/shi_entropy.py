"""Keeping the samples of highest entropy where data accumulate: is the next round better for it?

Theirs is on CIFAR-10 with its Inception distance. On digits the sign of what entropy predicts
has been seen to depend on the network; the control of the choice is a random half.
"""

from lightning_collapse.analysis.verdict import late
from lightning_collapse.papers.claim import Claim, Evidence, Finding, Plot, Task
from lightning_collapse.papers.plans import lines, told


def _measure(task: Task) -> Evidence:
    series = told(task, "claim_entropy_digits.yaml", "fd_pixels")
    apart = late((series["accumulate_entropy"] - series["accumulate_random"]).T)
    what = "Fréchet distance, half by entropy less a random half"
    findings = (Finding(what, "below 0: better", apart, high=0.0),)
    return Evidence(findings, Plot("round", "Fréchet distance in pixels", lines(series), log="y"))


CLAIM = Claim(
    authors="Shi et al.",
    source="2025",
    says="choosing samples by entropy keeps a loop that accumulates from generalising less",
    setting="digits 8 × 8, Accumulate, half of the samples kept, 5 seeds",
    figure="FID at round 8 from 75.7 to 44.7 on CIFAR-10",
    provenance="abstract",
    data="digits",
    cost=(240, 240),
    measure=_measure,
    by_plan=True,
)
