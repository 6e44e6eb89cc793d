"""Full replacement of a Gaussian: its variance tends to 0, and its tails go before it does.

The law of our loop, whose fits divide by N, is log v -> log v + log(chi²_{N-1} / N), with drift
psi((N-1)/2) + log(2/N), about -2/N a round; theirs divide by N - 1, which makes it -1/N. Both
drifts are below 0, which is what almost sure collapse rests on.

Tails go first in the typical run: the logarithm of the mass beyond two true standard deviations
falls faster than that of the variance. In the mean over runs no mass is lost there, as the fits'
means wander by as much as their variances lose.
"""

import numpy as np
from scipy.stats import norm

from lightning_collapse.papers.claim import Claim, Evidence, Finding, Task, ours, theirs, within
from lightning_collapse.theory.gaussian import replace_log_variance
from lightning_collapse.toys.conditions import condition
from lightning_collapse.toys.gaussian import simulate
from lightning_collapse.toys.gaussian_fits import Truth

_N, _ROUNDS, _EARLY, _HALF = 100, 1000, 10, 50


def _measure(task: Task) -> Evidence:
    loop = condition("Replace", 1.0, _N, _ROUNDS)
    course = simulate(loop, _ROUNDS, task.replicas(4000), truth=Truth(0.0, 1.0), seed=task.seed)
    log_variance, spread = course.log_variance, np.sqrt(course.variance)
    exact, _ = replace_log_variance(np.arange(1, _ROUNDS + 1), _N)
    drift = np.diff(log_variance, axis=0).mean(0) * _N
    tails = norm.cdf((-2 - course.mean) / spread) + norm.sf((2 - course.mean) / spread)
    before = np.log(tails[_HALF - 1] / (2 * norm.sf(2))) - log_variance[_HALF - 1]
    early = np.square(course.mean) + np.square(spread - 1)
    growth = early[_EARLY - 1] / (1.5 * _EARLY / _N)
    findings = [
        Finding("drift of log v a round, times N", "below 0", drift, high=0.0),
        within("the same", drift, float(np.diff(exact).mean() * _N), 0.1),
        Finding(f"log tail mass less log v, {_HALF} fits", "below 0", before, high=0.0),
        within(f"W2² after {_EARLY} fits over 3/2 t/N", growth, 1.0, 0.15),
    ]
    rounds = np.arange(_ROUNDS)
    lines = [theirs("drift of the law", rounds, exact), ours("log v", rounds, log_variance)]
    return Evidence("round", "log of the variance", findings, lines)


CLAIM = Claim(
    authors="Shumailov et al.",
    source="2023, 2305.17493; Nature 2024",
    says="under replacement a Gaussian's variance tends to 0 almost surely, its tails first",
    setting=f"Replace, N = {_N}, {_ROUNDS} rounds",
    figure="log v drifts below 0; W2² = 3/2 t/N at first; tails before variance",
    provenance="theorem, derived anew",
    data="toy",
    cost=(0.1, 0.1),
    measure=_measure,
    why="fits here divide by N, not N - 1: the variance falls twice as fast in the logarithm; "
    "tails go first in the typical run, while their mean over runs stays",
)
