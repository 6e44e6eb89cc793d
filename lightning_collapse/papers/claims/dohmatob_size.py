"""Larger models amplify strong collapse up to the interpolation threshold, and mitigate beyond.

A model's size is its number of random projections; the threshold is where that is the number of
rows.
"""

import numpy as np

from lightning_collapse.papers.claim import Claim, Evidence, Finding, Task, ours, theirs
from lightning_collapse.theory.regression import ridge_error
from lightning_collapse.toys.strong_collapse import Mixture, Sweep, simulate_sweep

_DIM, _ROWS, _SHARE, _PENALTY = 200, 150, 0.1, 1e-3
_WIDTHS = (20, 50, 100, 150, 200, 300, 1000)


def _measure(task: Task) -> Evidence:
    mixture = Mixture(_DIM, 1.0, 0.0, _PENALTY, task.replicas(600, least=60), task.seed)
    errors = simulate_sweep(Sweep([_ROWS] * len(_WIDTHS), _WIDTHS), [_SHARE], mixture)
    zeta = errors[:, 1] - errors[:, 0]
    at = dict(zip(_WIDTHS, zeta, strict=True))
    ones = np.ones(_DIM)
    law = [
        ridge_error(
            ones,
            ones / _DIM,
            ones / _DIM,
            rows=_ROWS,
            width=width,
            synthetic_fraction=_SHARE,
            penalty=_PENALTY,
            noise=0.0,
        ).zeta
        for width in _WIDTHS
    ]
    findings = [
        Finding("ζ at the threshold less ζ of a seventh", "above 0", at[150] - at[20], low=0.0),
        Finding(
            "ζ at the threshold less ζ of seven times", "above 0", at[150] - at[1000], low=0.0
        ),
        Finding("ζ of the largest", "above 0", at[1000], low=0.0),
    ]
    lines = [theirs("law of the limit", _WIDTHS, law), ours("ζ", _WIDTHS, zeta)]
    return Evidence("width", "ζ", findings, lines, log="xy")


CLAIM = Claim(
    authors="Dohmatob et al.",
    source="2024, 2410.04840",
    says="larger models amplify collapse up to the interpolation threshold, mitigate it beyond",
    setting=f"random projections of d = {_DIM}, {_ROWS} rows, share {_SHARE}, widths 20 to 1,000",
    figure="ζ rises to the threshold, falls beyond it, never to 0",
    provenance="abstract",
    data="toy",
    cost=(0.2, 0.2),
    measure=_measure,
    why="below the threshold a larger model is worse, above it better: both are true of size",
)
