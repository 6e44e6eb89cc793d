"""Sampling that stops early adds its noise in every round: the loop blurs what it learns.

With a share α of fresh real rows the blur of the limit is that of noise of variance h² times
0, 1, 2, …, in the shares of a geometric law: h²/α in the mean. What the network adds by itself is
taken off: the same loop, sampled down to a level of .002 and then to 0, is subtracted.
"""

import numpy as np

from lightning_collapse.analysis.verdict import late
from lightning_collapse.papers.claim import (
    Claim,
    Evidence,
    Finding,
    Plot,
    Task,
    ours,
    theirs,
    within,
)
from lightning_collapse.papers.points import Loop, replicas, series
from lightning_collapse.regimes import Fresh
from lightning_collapse.sampling.choice import Sampling

_H, _REAL = 0.15, 0.5


def _measure(task: Task) -> Evidence:
    count, full = replicas(task), Loop(Fresh(1 - _REAL, 500))
    stopped = Sampling(num_steps=18, sigma_min=_H, last="stop")
    variances = []
    for sampling in (stopped, full.sampling):
        loop = Loop(full.regime, sampling=sampling, real_rows=full.n + (full.rounds - 1) * 250)
        variances.append(series(loop, count, task.seed)["total_variance"])
    # Two axes, each with h² a round.
    blur = np.asarray(variances[0] - variances[1], np.float64) / (2 * _H**2)
    rounds = np.arange(full.rounds)
    law = np.asarray((1 - (1 - _REAL) ** (rounds + 1)) / _REAL, np.float64)
    first, last_third = blur[0], late(blur.T)
    findings = (
        within("added variance over h², round 0", first, 1.0, 0.5),
        within("the same, last third", last_third, float(late(law[None])[0]), 0.7),
        Finding("its growth", "above 0", last_third - first, low=0.0),
    )
    lines = (theirs("(1 - (1-α)ⁿ)/α", rounds, law), ours("added variance over h²", rounds, blur))
    return Evidence(findings, Plot("round", "variance of stopping, in units of h²", lines))


CLAIM = Claim(
    authors="Khelifa, Turner, Venkataramanan",
    source="2026, 2606.13796",
    says="stopping the sampler early blurs each generation more, up to a limit that real data set",
    setting=f"three Gaussians, half of the rows fresh, sampling stopped at h = {_H}, 8 rounds",
    figure="a mixture of ever more smoothed data; blur h²(1 - (1-α)ⁿ)/α",
    provenance="abstract; the blur derived",
    data="points",
    cost=(15, 2),
    measure=_measure,
)
