"""Least squares in a loop: fit, label new rows by the fit, fit again; all replicas at once.

Rows are x ~ N(0, I) in d dimensions with label x·w + noise; the true w is 0, which costs nothing:
what the fits err by does not depend on it. Blocks of rows are known by X'X and X'y, and these are
drawn, which is exact: X'X is Wishart, and X'e given X is N(0, noise · X'X).
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lightning_collapse.regimes import Accumulate, Fresh, Parts, Replace, Turnover
from lightning_collapse.theory import regression as theory
from lightning_collapse.toys.chance import replica_generators, wishart_factors
from lightning_collapse.toys.conditions import Condition

__all__ = [
    "Task",
    "check_condition",
    "predicted_errors",
    "regress",
    "reuses_inputs",
    "summarise_errors",
]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Task:
    """What is regressed, and how often."""

    dim: int
    noise: float
    """Variance of the labels' noise."""
    rounds: int
    replicas: int
    seed: int


@dataclass(frozen=True)
class _Block:
    """Rows as X'X (R, d, d) and X'y (R, d)."""

    gram: Array
    moment: Array

    def __add__(self, other: "_Block") -> "_Block":
        return _Block(self.gram + other.gram, self.moment + other.moment)

    def fit(self) -> Array:
        """Gives the least squares weights (R, d)."""
        return np.asarray(np.linalg.solve(self.gram, self.moment[..., None])[..., 0])


def check_condition(condition: Condition, inputs: str, task: Task) -> None:
    """Raises ValueError where a condition cannot be run, or has no finite error."""
    n, last = condition.n, condition.regime.parts(condition.n_real, task.rounds - 1)
    if last.by_chance:
        raise ValueError(
            f"regime = {condition.name}: must be one of Replace, Augment, Accumulate, Fresh, "
            "which take rows in blocks"
        )
    if n < task.dim + 4:
        raise ValueError(f"n = {n}: must be at least dim + 4, {task.dim + 4}, for a finite spread")
    if inputs == "same" and not reuses_inputs(condition):
        raise ValueError(
            f"inputs = same: {condition.name} at λ = {condition.fraction:g} needs inputs = fresh; "
            "Replace and Accumulate at λ = 1 have as many inputs as labels"
        )


def reuses_inputs(condition: Condition) -> bool:
    """Whether every round labels N rows, so that it can do so on the inputs of the real ones."""
    named = isinstance(condition.regime, Replace | Accumulate)
    return named and condition.samples_per_round == condition.n


def regress(
    condition: Condition, inputs: Literal["same", "fresh"], task: Task
) -> tuple[Array, Array]:
    """Runs a condition, and gives errors and squared steps (T, R) of the weights.

    Args:
        condition: a regime without chance, and N.
        inputs: whether each round labels the real rows' inputs again, or fresh ones.
        task: the rest; a replica's numbers depend on seed and replica alone.
    """
    parts = [condition.regime.parts(condition.n_real, r) for r in range(task.rounds)]
    generators = replica_generators(task.seed, "regression", range(task.replicas))
    zero = np.zeros((task.replicas, task.dim))
    shared, rest = _round_0(parts)
    real = _draw(shared, zero, task, generators)
    training = real + _draw(rest, zero, task, generators)
    gram = training.gram if inputs == "same" else None
    pool = newest = _Block(np.zeros_like(real.gram), zero)
    weights = [training.fit()]
    for r in range(1, task.rounds):
        if parts[r].real.start != parts[r - 1].real.start:
            real = _draw(len(parts[r].real), zero, task, generators)
        if parts[r].older:
            pool = pool + newest
        newest = _draw(parts[r].newest, weights[-1], task, generators, gram)
        weights.append((real + pool + newest).fit())
    fits = np.stack(weights)
    steps = np.diff(fits, axis=0, prepend=np.full_like(fits[:1], np.nan))
    return np.square(fits).sum(-1), np.square(steps).sum(-1)


def _round_0(parts: list[Parts]) -> tuple[int, int]:
    """Real rows of round 0 that later rounds use again, and the rest of its own."""
    own = len(parts[0].real)
    again = len(parts) > 1 and parts[1].real.start == parts[0].real.start
    shared = len(parts[1].real) if again else 0
    return shared, own - shared


def _draw(
    rows: int,
    weights: Array,
    task: Task,
    generators: list[np.random.Generator],
    gram: Array | None = None,
) -> _Block:
    """Draws rows with labels by weights (R, d); with the inputs that `gram` stands for, if any."""
    if rows == 0:
        return _Block(np.zeros((*weights.shape, task.dim)), np.zeros_like(weights))
    freedom = rows - np.arange(task.dim)
    noise = np.empty_like(weights)
    factors = np.empty((*weights.shape, task.dim))
    for i, chance in enumerate(generators):
        if gram is None:
            factors[i] = wishart_factors(freedom, chance)
        noise[i] = chance.standard_normal(task.dim)
    if gram is None:
        gram = factors @ factors.transpose(0, 2, 1)
    else:
        factors = np.linalg.cholesky(gram)
    error = task.noise**0.5 * (factors @ noise[..., None])[..., 0]
    return _Block(gram, (gram @ weights[..., None])[..., 0] + error)


def predicted_errors(condition: Condition, inputs: str, task: Task) -> dict[str, Array]:
    """Gives theory's lists over the rounds, under the names of the simulated ones."""
    fits, n, samples = np.arange(1, task.rounds + 1), condition.n, condition.samples_per_round
    setting = (task.dim, n, task.noise)
    match condition.regime:
        case Replace() | Turnover() if samples == n:
            error = theory.replace_error(fits, *setting)
        case Replace() | Turnover() if samples == 0:
            error = np.full(task.rounds, theory.replace_error(1, *setting))
        case Accumulate() if inputs == "same":
            error = theory.accumulate_same_error(fits, *setting)
        case Accumulate():
            error = theory.accumulate_fresh_error(fits, *setting, per_round=samples)
        case Fresh():
            error = theory.fresh_mix_error(fits, task.dim, n, samples / n, task.noise)
        case _:
            return {}
    steps = np.diff(error, prepend=np.nan)
    # Elsewhere a step is not independent of what was there before it.
    martingale = isinstance(condition.regime, Accumulate) or samples in (0, n)
    return {"error_mean": error} | ({"mean_sq_increment": steps} if martingale else {})


def summarise_errors(
    condition: Condition, inputs: str, task: Task, errors: Array, steps: Array
) -> dict[str, Any]:
    """Gives a condition of `summary.json`, from errors and squared steps (T, R)."""
    q05, median, q95 = np.quantile(errors, [0.05, 0.5, 0.95], axis=1)
    return {
        "regime": condition.name,
        "inputs": inputs,
        "lambda": condition.fraction,
        "n": condition.n,
        "dim": task.dim,
        "noise": task.noise,
        "samples_per_round": condition.samples_per_round,
        "replicas": task.replicas,
        "round": np.arange(task.rounds),
        "error_mean": errors.mean(1),
        "error_median": median,
        "error_q05": q05,
        "error_q95": q95,
        "mean_sq_increment": steps.mean(1),
        "theory": predicted_errors(condition, inputs, task),
    }
