"""Which samples to keep: the least likely keep the modes, the most likely lose them.

Theirs: scikit-learn's digits in 8 principal components, classes 0 to 3 with an imbalance of 5,
what is left of the minority after 4 rounds: bottom 1.49 ± .11, random 1.11 ± .08, top .68 ± .17.
Ours is diffusion on all ten classes of digits; the figure is the entropy of the classes.
"""

from lightning_collapse.analysis.verdict import late
from lightning_collapse.papers.claim import Claim, Evidence, Finding, Plot, Task
from lightning_collapse.papers.plans import lines, told


def _measure(task: Task) -> Evidence:
    series = told(task, "claim_likelihood_digits.yaml", "class_entropy")
    end = {name: late(values.T) for name, values in series.items()}
    findings = (
        Finding("class entropy, bottom less random", "above 0", end["bottom"] - end["random"], 0),
        Finding("class entropy, random less top", "above 0", end["random"] - end["top"], 0),
    )
    return Evidence(findings, Plot("round", "entropy of the classes", lines(series)))


CLAIM = Claim(
    authors="likelihood ranking",
    source="2025, public code",
    says="keeping the least likely samples keeps minorities, keeping the most likely loses them",
    setting="digits 8 × 8, Replace, half of the samples kept by density, 5 seeds",
    figure="minority kept: bottom 1.49 ± .11, random 1.11 ± .08, top .68 ± .17",
    provenance="table of their repository, as read",
    data="digits",
    cost=(240, 240),
    measure=_measure,
    by_plan=True,
)
