"""A ring whose sampler stops ever earlier before the end: what it adds stays, without real rows.

A sampler with the exact score that stops at h gives rows of its training set and h times a normal
number: it adds h² to the variance across the ring. Annealed, h falls by a constant factor in every
round. How theirs falls is not told by what was read, so h and the factor are set by their two
figures through the law; a loop of finitely many rows is what is tested, and the two loops of
constant h beside it.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from lightning_collapse.chance import replica_generators
from lightning_collapse.papers.claim import Claim, Evidence, Finding, Task, ours, theirs, within

Array = NDArray[np.float64]

_RADIUS, _STD, _REAL, _ROUNDS, _N = 2.5, 0.05, 0.5, 20, 500
_ALONE, _ANCHORED = 9.84, 1.01


def _law(added: Array, real: float) -> Array:
    """Variance across the ring over the true one, of every round: `added` is h² over it."""
    excess, told = 0.0, []
    for now in added:
        excess = (1 - real) * excess + now
        told.append(1 + excess)
    return np.array(told)


def _annealed(factor: float) -> Array:
    """h² over the variance in each round, which sum to the excess of theirs without real rows."""
    course = factor ** np.arange(_ROUNDS)
    return np.asarray((_ALONE - 1) * course / course.sum())


def _loop(added: Array, real: float, replicas: int, seed: int) -> Array:
    """Runs loops of N rows; gives the same as the law does, of each (K, R)."""
    across: Array = np.empty((_ROUNDS, replicas))
    for i, chance in enumerate(replica_generators(seed, "ring", range(replicas))):
        rows = _ring(_N, chance)
        for r, now in enumerate(added):
            fresh = round(real * _N) if r else 0
            kept = rows[chance.integers(_N, size=_N - fresh)]
            trained_on = np.concatenate([_ring(fresh, chance), kept])
            noise = now**0.5 * _STD * chance.standard_normal((_N, 2))
            rows = trained_on[chance.integers(_N, size=_N)] + noise
            across[r, i] = np.square(np.hypot(*rows.T) - _RADIUS).mean() / _STD**2
    return across


def _ring(n: int, chance: np.random.Generator) -> Array:
    angle = chance.uniform(0, 2 * np.pi, n)
    radius = _RADIUS + _STD * chance.standard_normal(n)
    return np.asarray((radius * np.stack([np.cos(angle), np.sin(angle)])).T)


def _measure(task: Task) -> Evidence:
    factor = brentq(lambda f: _law(_annealed(f), _REAL)[-1] - _ANCHORED, 0.3, 0.95)
    annealed, constant = _annealed(factor), np.full(_ROUNDS, _annealed(factor)[0])
    loops = {
        "annealed": (annealed, 0.0),
        "annealed, half real": (annealed, _REAL),
        "constant": (constant, 0.0),
        "constant, half real": (constant, _REAL),
    }
    evidence = Evidence("round", "variance across the ring, in σ²", log="y")
    rounds = np.arange(1, _ROUNDS + 1)
    for name, (added, real) in loops.items():
        across, law = _loop(added, real, task.replicas(1000), task.seed), _law(added, real)
        what = f"variance across the ring over the true, {name}"
        found = [within(what, across[-1], float(law[-1]), 0.1 * float(law[-1]))]
        evidence.lines += [ours(name, rounds, across), theirs(f"law, {name}", rounds, law)]
        if name == "annealed":
            found.append(Finding("it stays, without real rows", "above 2", across[-1], low=2.0))
        if name == "annealed, half real":
            found.append(Finding("it goes, with them", "below 1.1", across[-1], high=1.1))
        evidence.findings += found
    return evidence


CLAIM = Claim(
    authors="Chandwani",
    source="2026",
    says="stopping ever less early does not undo what has been added; real rows do",
    setting=f"ring of radius {_RADIUS}, σ = {_STD}, half of the rows real, {_ROUNDS} rounds",
    figure=f"variance across the ring: annealed {_ALONE} σ², anchored {_ANCHORED} σ²",
    provenance="their figures, as read; the law derived",
    data="toy",
    cost=(0.2, 0.1),
    measure=_measure,
    why="what they call annealed and anchored is taken as without and with real rows, and two "
    "constants of the schedule are set by their two figures: these are no test of ours, the loops "
    "of finitely many rows are, and that at a constant h real rows bound the blur",
)
