"""A diffusion model's held-out loss on images: it rises under replacement, little otherwise.

As on points: *little* is less than half of the rise under replacement.
"""

from lightning_collapse.analysis.verdict import late
from lightning_collapse.papers.claim import Claim, Evidence, Finding, Task, over_rounds, stays
from lightning_collapse.papers.plans import told


def _measure(task: Task) -> Evidence:
    series = told(task, "regimes_digits.yaml", "val_loss")
    control = series["control"]
    rise = {name: late((series[name] - control).T) for name in ("replace", "accumulate")}
    less = rise["accumulate"] - 0.5 * rise["replace"]
    margin = 0.02 * float(control.mean())
    findings = [
        stays("held-out loss, Replace", series["replace"], control, margin, collapses=True),
        Finding("its rise accumulating, less half of that replacing", "below 0", less, high=0.0),
    ]
    return Evidence("round", "loss on held-out real rows", findings, over_rounds(series))


CLAIM = Claim(
    authors="Gerstgrasser et al.",
    source="2024, 2404.01413",
    says="a diffusion model's held-out loss on images rises under replacement, little otherwise",
    setting="digits 8 × 8, 1,000 real rows, 8 rounds, 3 seeds",
    figure="rises; does not, or little (figures)",
    provenance="abstract and figures, qualitative",
    data="digits",
    cost=(240, 240),
    measure=_measure,
    by_plan=True,
)
