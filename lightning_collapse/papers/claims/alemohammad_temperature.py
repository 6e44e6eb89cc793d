"""A sampler biased to quality: precision is kept, and recall falls all the faster.

The bias is the temperature of the sampler's noise, .7 of the variance. That is another bias than
theirs, guidance and truncation, which draw samples to the modes: colder noise draws them to the
centre of all, where there is none, so that precision falls with recall. What differs is the
definition of the bias; by classes and guidance it remains to be run.
"""

import numpy as np

from lightning_collapse.analysis.verdict import late
from lightning_collapse.papers.claim import Claim, Evidence, Finding, Plot, Task, ours
from lightning_collapse.papers.points import Loop, replicas, series
from lightning_collapse.regimes import Replace
from lightning_collapse.sampling.choice import Sampling

_TEMPERATURE, _SHARE = 0.7, 0.05


def _measure(task: Task) -> Evidence:
    count, biased = replicas(task), Sampling(num_steps=18, temperature=_TEMPERATURE)
    cold = series(Loop(Replace(), sampling=biased), count, task.seed)
    usual = series(Loop(Replace()), count, task.seed)
    apart = {
        name: late((cold[f"{name}_points"] - usual[f"{name}_points"]).T)
        for name in ("precision", "recall")
    }
    findings = (
        Finding("precision, biased less unbiased", "above 0", apart["precision"], low=0.0),
        Finding("recall, biased less unbiased", f"below -{_SHARE}", apart["recall"], high=-_SHARE),
    )
    rounds = np.arange(len(cold["recall_points"]))
    lines = [
        ours(f"{name}, {told}", rounds, values[f"{name}_points"])
        for name in ("precision", "recall")
        for told, values in ((f"temperature {_TEMPERATURE}", cold), ("unbiased", usual))
    ]
    return Evidence(findings, Plot("round", "share of rows", lines))


CLAIM = Claim(
    authors="Alemohammad et al.",
    source="2024, 2307.01850",
    says="a sampler biased to quality keeps precision and loses recall faster",
    setting=f"fully synthetic, three Gaussians, N = 500, temperature {_TEMPERATURE}, 8 rounds",
    figure="precision kept or rising, recall falling (figures)",
    provenance="abstract and figures, qualitative",
    data="points",
    cost=(4, 1),
    measure=_measure,
    why="recall falls faster, but precision too: the temperature of noise draws samples to the "
    "centre of all modes, theirs (guidance, truncation) to each of them",
)
