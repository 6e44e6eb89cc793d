"""How far one real row moves each generation: by (1 - (1-α)^i)/α, which a real share bounds.

The form is theirs as cited by others; its constants are not verified. Ours is the response of the
Gaussian loop's mean to one exchanged row, in units of what it does to the first fit.
"""

import numpy as np
from numpy.typing import NDArray

from lightning_collapse.analysis.stability_toys import gaussian_stability
from lightning_collapse.papers.claim import Claim, Evidence, Task, ours, theirs, within
from lightning_collapse.toys.gaussian_fits import Truth

_N, _ROUNDS, _GROUPS = 200, 60, 20
_REAL = (0.1, 0.5)


def _measure(task: Task) -> Evidence:
    evidence = Evidence("round", "γ over that of round 0")
    replicas = task.replicas(4000, least=400) // _GROUPS
    rounds = np.arange(_ROUNDS)
    for real in _REAL:
        # The response is a ratio of means: a group of replicas gives one.
        told = np.array(
            [_response(1 - real, replicas, _GROUPS * task.seed + i) for i in range(_GROUPS)]
        ).T
        growth = told / told[0].mean()
        law = (1 - (1 - real) ** (rounds + 1)) / real
        for i in (10, _ROUNDS):
            what, expected = f"γ of fit {i} over γ of fit 1, α = {real:g}", float(law[i - 1])
            evidence.findings.append(within(what, growth[i - 1], expected, 0.05 * expected))
        label = f"α = {real:g}"
        evidence.lines += [ours(label, rounds, growth), theirs(label, rounds, law)]
    return evidence


def _response(share: float, replicas: int, seed: int) -> NDArray[np.float64]:
    """How the mean of each fit (K,) answers to a change of the row."""
    told = gaussian_stability(share, _N, _ROUNDS, replicas, Truth(0.0, 1.0), seed)
    assert told.response is not None  # which the toy always has
    return told.response[0]


CLAIM = Claim(
    authors="Fu et al.",
    source="2025, 2502.18865",
    says="recursive stability grows as (1 - (1-α)^i)/α, so that a constant real share bounds it",
    setting=f"Gaussian, N = {_N}, real shares .1 and .5, {_ROUNDS} rounds, one row exchanged",
    figure="(1 - (1-α)^i)/α",
    provenance="cited by others; derived for the Gaussian",
    data="toy",
    cost=(0.2, 0.2),
    measure=_measure,
    why="at α = 0 one row's effect does not grow at all, though the loop collapses: stability in "
    "this sense does not see the noise of sampling",
)
