"""Least squares in a loop: fit, label new rows by the fit, fit again; all replicas at once.

Rows are x ~ N(0, I) in d dimensions with label x·w + noise; the true w is 0, which costs nothing:
what the fits err by does not depend on it. Blocks of rows are known by X'X and X'y, and these are
drawn, which is exact: X'X is Wishart, and X'e given X is N(0, noise · X'X).
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lightning_collapse.chance import replica_generators, wishart_factors
from lightning_collapse.regimes import Fixed
from lightning_collapse.toys.blocks import TrainingSets, by_chance, only_adds, real_rows
from lightning_collapse.toys.conditions import Condition
from lightning_collapse.toys.spreads import spread

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


def check_condition(condition: Condition, inputs: str, task: Task) -> None:
    """Raises ValueError where a condition cannot be run, or has no finite error."""
    if by_chance(condition.blocks):
        raise ValueError(
            f"regime = {condition.name}: draws rows by chance; here it must take rows by "
            "position, such as Replace, Augment, Accumulate or Fresh"
        )
    least, need = min(sum(map(len, now)) for now in condition.blocks), task.dim + 4
    if least < need:
        raise ValueError(
            f"n = {condition.n}: must be at least dim + 4, {need}, for a finite spread"
            + ("" if least == condition.n else f", in every round; one has {least} rows")
        )
    if inputs == "same" and not reuses_inputs(condition):
        raise ValueError(
            f"inputs = same: {condition.name} at {condition.label} needs inputs = fresh; rounds "
            "must take all N rows of whatever they train on, such as Replace's at λ = 1"
        )


def reuses_inputs(condition: Condition) -> bool:
    """Whether every round labels N rows, so that it can do so on the inputs of the real ones."""
    blocks = [block for now in condition.blocks for block in now]
    return all(isinstance(block, Fixed) and block.rows == range(condition.n) for block in blocks)


def regress(
    condition: Condition, inputs: Literal["same", "fresh"], task: Task
) -> tuple[Array, Array]:
    """Runs a condition, and gives errors and squared steps (T, R) of the weights.

    Args:
        condition: a regime without chance, and N.
        inputs: whether each round labels the real rows' inputs again, or fresh ones.
        task: the rest; a replica's numbers depend on seed and replica alone.
    """
    # Rows are known by X'X and X'y, side by side (R, d, d + 1).
    sets: TrainingSets[Array] = TrainingSets(condition.blocks[: task.rounds])
    generators = replica_generators(task.seed, "regression", range(task.replicas))
    again: Array | None = None

    def draw(number: int) -> Array:
        nonlocal again
        born, size = sets.pieces[number]
        gram, moment = _draw(size, sources[born], task, generators, again)
        again = gram if inputs == "same" else None
        return np.concatenate([gram, moment], -1)

    # By birth stamp, what labels come from.
    sources: list[Array] = [np.zeros((task.replicas, task.dim))]
    for r in range(task.rounds):
        rows = sets.of(r, draw)
        sources.append(np.asarray(np.linalg.solve(rows[..., :-1], rows[..., -1:])[..., 0]))
    fits = np.stack(sources[1:])
    steps = np.diff(fits, axis=0, prepend=np.full_like(fits[:1], np.nan))
    return np.square(fits).sum(-1), np.square(steps).sum(-1)


def _draw(
    rows: int,
    weights: Array,
    task: Task,
    generators: list[np.random.Generator],
    gram: Array | None = None,
) -> tuple[Array, Array]:
    """Draws X'X and X'y (R, d, 1), labels by weights (R, d); X'X is `gram` where one is given."""
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
    error = task.noise**0.5 * (factors @ noise[..., None])
    return gram, gram @ weights[..., None] + error


def predicted_errors(condition: Condition, inputs: str, task: Task) -> dict[str, Array]:
    """Gives theory's lists over the rounds, under the names of the simulated ones, if any."""
    error = condition.regime.regression_theory(
        condition.n_real,
        condition.samples_per_round,
        task.rounds,
        dim=task.dim,
        noise=task.noise,
        same_inputs=inputs == "same",
    )
    if error is None:
        return {}
    # Elsewhere a step is not independent of what was there before it.
    steps = np.diff(error, prepend=np.nan) if only_adds(condition.blocks) else None
    return {"error_mean": error} | ({} if steps is None else {"mean_sq_increment": steps})


def summarise_errors(
    condition: Condition, inputs: str, task: Task, errors: Array, steps: Array
) -> dict[str, Any]:
    """Gives a condition of `summary.json`, from errors and squared steps (T, R)."""
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
        "n_real": real_rows(condition.blocks[: task.rounds]),
        **spread("error", errors),
        "error_median": np.median(errors, axis=1),
        "mean_sq_increment": steps.mean(1),
        "theory": predicted_errors(condition, inputs, task),
    }
