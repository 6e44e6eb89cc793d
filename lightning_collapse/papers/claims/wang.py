"""Fresh real rows and synthetic ones accumulate: the error falls as t^-min(1/2, α).

A round adds m rows, a share α of them real; the error is the root mean square of the mean's. The
slope is that of the last nine tenths of the rounds. At α = 1/2 the law has a logarithm beside the
power, √(log t / t), whose slope -1/2 + 1/(2 log t) is -.42 in the middle of these rounds.
"""

import numpy as np

from lightning_collapse.papers.claim import Claim, Evidence, Line, Task, theirs, within
from lightning_collapse.toys.conditions import condition
from lightning_collapse.toys.gaussian import simulate
from lightning_collapse.toys.gaussian_fits import Truth

_M, _ROUNDS, _GROUPS = 50, 2000, 20
_SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.7)


def _measure(task: Task) -> Evidence:
    evidence = Evidence("fit t", "root mean square error", log="xy")
    fits = np.arange(1, _ROUNDS + 1)
    late = fits >= _ROUNDS / 10
    for share in _SHARES:
        loop = condition("FreshAccumulate", 1 - share, _M, _ROUNDS)
        replicas = _GROUPS * (task.replicas(2000, least=400) // _GROUPS)
        course = simulate(loop, _ROUNDS, replicas, truth=Truth(0.0, 1.0), seed=task.seed)
        # A slope needs many replicas: a group of them gives one.
        errors = course.mean_sq_error.reshape(_ROUNDS, _GROUPS, -1).mean(2) ** 0.5
        slopes = np.polyfit(np.log(fits[late]), np.log(errors[late]), 1)[0]
        slope = min(0.5, share)
        margin = max(0.03, 0.2 * slope)
        evidence.findings.append(
            within(f"slope of log error, α = {share:g}", slopes, -slope, margin)
        )
        middle = errors.mean(1)
        power = middle[-1] * (fits / _ROUNDS) ** -slope
        evidence.lines += [
            Line(f"α = {share:g}", fits, middle),
            theirs(f"slope -{slope:g}", fits, power),
        ]
    return evidence


CLAIM = Claim(
    authors="Wang, Niu, Li",
    source="2026, 2602.16065",
    says="where fresh real rows and synthetic ones accumulate, the error falls as t^-min(1/2, α)",
    setting=f"Gaussian, {_M} rows a round, a share α real, {_ROUNDS} rounds",
    figure="slopes -.1, -.2, -.3, -.4, -.5, -.5 at α = .1, .2, .3, .4, .5, .7",
    provenance="abstract",
    data="toy",
    cost=(0.7, 0.7),
    measure=_measure,
    why="slopes within a fifth: that at α = 1/2 is -.44 here, as √(log t / t) has it",
)
