"""The spread of a Gaussian refitted without bias: its mean falls, though that of v does not.

Theirs divide by n - 1. Of equal draws that multiplies our variance by (n/(n - 1))^t, which is
how ours is read here. E σ_t is that of few replicas once t is above n: log σ has the variance
t/2n; so the logarithm is compared, and E σ_t itself only at t = n/2.
"""

import numpy as np
from scipy.special import digamma, gammaln

from lightning_collapse.papers.claim import Claim, Evidence, Finding, Task, ours, theirs, within
from lightning_collapse.toys.conditions import condition
from lightning_collapse.toys.gaussian import simulate
from lightning_collapse.toys.gaussian_fits import Truth

_N, _ROUNDS = 100, 2500


def _measure(task: Task) -> Evidence:
    loop = condition("Replace", 1.0, _N, _ROUNDS)
    course = simulate(loop, _ROUNDS, task.replicas(1000), truth=Truth(0.0, 1.0), seed=task.seed)
    fits = np.arange(1, _ROUNDS + 1)
    unbiased = np.log(_N / (_N - 1))
    log_sigma = (course.log_variance + fits[:, None] * unbiased) / 2
    drift = (digamma((_N - 1) / 2) + np.log(2 / (_N - 1))) / 2
    shrink = np.log(2 / (_N - 1)) / 2 + gammaln(_N / 2) - gammaln((_N - 1) / 2)
    half = _N // 2
    findings = [
        Finding("log σ after 2,500 fits", "below 0", log_sigma[-1], high=0.0),
        within("log σ after 2,500 fits, over t/n", log_sigma[-1] / 25, drift * _N, 0.05),
        within(
            "σ after n/2 fits", np.exp(log_sigma[half - 1]), float(np.exp(half * shrink)), 0.05
        ),
    ]
    lines = [theirs("drift of the law", fits, fits * drift), ours("log σ", fits, log_sigma)]
    return Evidence("fit", "log of σ, fits without bias", findings, lines)


CLAIM = Claim(
    authors="Suresh et al.",
    source="2024, 2412.17646",
    says="σ of a Gaussian refitted without bias falls to 0 as exp(-t/4n), in the mean",
    setting=f"n = {_N}, {_ROUNDS} fits, read as divided by n - 1",
    figure="E σ_t = σ c^t, c = √(2/(n-1)) Γ(n/2)/Γ((n-1)/2), about exp(-t/4n)",
    provenance="derived",
    data="toy",
    cost=(0.1, 0.1),
    measure=_measure,
    why="the typical σ falls twice as fast as its mean, as exp(-t/2n)",
)
