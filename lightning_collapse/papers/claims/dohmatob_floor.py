"""Any share of synthetic rows leaves a floor under ridge regression's error, whatever n.

ζ is the excess over as many real rows, at the same inputs and noise. In the limit of many rows it
tends to p²·q: the square of the synthetic share times the error of its labels.
"""

import numpy as np

from lightning_collapse.papers.claim import Claim, Evidence, Finding, Task, ours, theirs, within
from lightning_collapse.toys.strong_collapse import Mixture, Sweep, simulate_sweep

_DIM, _ROWS, _SHARES = 50, (500, 5000, 50_000), (0.01, 0.1, 0.5)


def _over_floor(share: float, rows: int) -> float:
    """ζ over p² at a finite number of rows: 1 + (1 - p)/p · d/(n - d)."""
    return 1 + (1 - share) / share * _DIM / (rows - _DIM)


def _measure(task: Task) -> Evidence:
    mixture = Mixture(_DIM, 1.0, 0.0, 1e-6, task.replicas(200), task.seed)
    errors = simulate_sweep(Sweep(_ROWS), _SHARES, mixture)
    zeta = errors[:, 1:] - errors[:, :1]
    evidence = Evidence("rows n", "ζ", log="xy")
    for i, share in enumerate(_SHARES):
        floor = zeta[-1, i] / share**2
        what = f"ζ at n = {_ROWS[-1]:,}, share {share:g}, over p²"
        evidence.findings += [
            Finding(what, "above 0", floor, low=0.0),
            within(what, floor, _over_floor(share, _ROWS[-1]), 0.1),
        ]
        evidence.lines.append(ours(f"share {share:g}", _ROWS, zeta[:, i]))
    evidence.lines += [theirs(f"floor p², p = {p:g}", _ROWS, np.full(3, p**2)) for p in _SHARES]
    return evidence


CLAIM = Claim(
    authors="Dohmatob et al.",
    source="2024, 2410.04840",
    says="the smallest share of synthetic data leaves an error that more data does not remove",
    setting=f"ridge, d = {_DIM}, n to {_ROWS[-1]:,}, shares .01, .1, .5, labels off by 1",
    figure="ζ > 0 at any share, p² times the labels' error as n grows",
    provenance="abstract; p² derived",
    data="toy",
    cost=(0.1, 0.1),
    measure=_measure,
    why="at a share of 1 % the floor is 1e-4 of the labels' error: there, and small",
)
