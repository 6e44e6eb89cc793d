"""`lightning-collapse control`: the bias of a sampler by itself, every round and compounded."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor

from lightning_collapse.analysis.control import (
    SamplerBias,
    compounded_bias,
    principal_variances,
)
from lightning_collapse.commands.arguments import run_command
from lightning_collapse.data.npz import read_array
from lightning_collapse.data.store import open_rows
from lightning_collapse.metrics.moments import Moments
from lightning_collapse.rows import network_units
from lightning_collapse.sampling import Sampler, Sampling
from lightning_collapse.toys.conditions import above, at_least
from lightning_collapse.toys.figures import COLOURS, new_figure, save_figure
from lightning_collapse.toys.tables import command_line, open_folder, write_tables

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["control", "main"]

_STDS = "1,0.5,0.2,0.05"
_MAX_DIM = 16_384
"""A covariance of so many dimensions takes 2 GiB."""

Condition = dict[str, Any]


def main(arguments: list[str]) -> None:
    """Runs the command."""
    run_command("control", control, arguments)


def control(
    solver: Literal["dpmpp_3m", "dpmpp_2m", "heun", "euler"] = "dpmpp_3m",
    schedule: Literal["log_uniform", "karras"] = "log_uniform",
    steps: str = "35",
    std: str | None = None,
    cov: Path | None = None,
    data: Path | None = None,
    rounds: int = 10,
    sigma_min: float = 0.002,
    sigma_max: float = 80.0,
    rho: float = 7.0,
    out: Path = Path("runs/control"),
) -> None:
    """Tells what a sampler does to a Gaussian, with the exact denoiser in place of a network.

    The figures are exact. Errors are relative to the data's standard deviation or variance before
    the first round; every round samples the Gaussian that the round before sampled. Give one of
    std, cov and data.

    Args:
        solver: which sampler, without churn.
        schedule: how its noise levels are spaced.
        steps: numbers of noise levels above 0, separated by commas.
        std: standard deviations of the data, separated by commas; default: 1,0.5,0.2,0.05.
        cov: an npz that holds the data's covariance as `cov` (d, d).
        data: a folder of stored rows, such as RUN/pool/real, whose covariance is taken.
        rounds: of sampling, compounded.
        sigma_min: lowest noise level above 0.
        sigma_max: highest noise level.
        rho: exponent of the Karras schedule; the other ignores it.
        out: folder for rounds.csv, summary.json and the figure.
    """
    at_least("rounds", rounds, 1)
    numbers = _step_numbers(steps)
    samplings = [Sampling(solver, schedule, n, sigma_min, sigma_max, rho) for n in numbers]
    given = {"std": std, "cov": cov, "data": data}
    named = {name: value for name, value in given.items() if value is not None}
    if len(named) > 1:
        raise ValueError(f"{' and '.join(named)}: give one of them")
    if not named:
        std, named = _STDS, {"std": _STDS}
    variances = _stds(std) ** 2 if std else principal_variances(_covariance(cov, data))
    open_folder(out)
    conditions = [
        condition
        for sampling in samplings
        for condition in _conditions(sampling, variances, rounds, by_axis=std is not None)
    ]
    command = command_line(
        "control",
        **{"solver": solver, "schedule": schedule, "steps": steps, **named, "rounds": rounds},
        **{"sigma_min": sigma_min, "sigma_max": sigma_max, "rho": rho},
    )
    write_tables(out, command, conditions)
    _draw(out, conditions)
    print("\n".join(_table(conditions)))
    print(f"results: {out}")


def _conditions(
    sampling: Sampling, variances: Tensor, rounds: int, by_axis: bool
) -> list[Condition]:
    """Gives what `summary.json` says of one sampler: of every axis, or of all and of some."""
    course = compounded_bias(_deterministic(sampling), sampling.sigmas, variances, rounds)
    calls = sampling.num_steps * 2 - 1 if sampling.solver == "heun" else sampling.num_steps
    fixed = {
        "solver": sampling.solver,
        "schedule": sampling.schedule,
        "steps": sampling.num_steps,
        "calls": calls,
    }
    last = len(variances) - 1
    some = {"largest": last, "median": last // 2, "smallest": 0}
    axes = {f"std {variances[i].sqrt():g}": i for i in range(last + 1)} if by_axis else some
    conditions = [fixed | _axis(name, i, variances, course) for name, i in axes.items()]
    return conditions if by_axis else [fixed | _all_axes(variances, course), *conditions]


def _axis(name: str, i: int, variances: Tensor, course: Sequence[SamplerBias]) -> Condition:
    return {
        "axis": name,
        "std": float(variances[i].sqrt()),
        "round": list(range(len(course))),
        "std_error": [float(bias.std_errors[i]) for bias in course],
        "variance_error": [float(bias.variance_errors[i]) for bias in course],
    }


def _all_axes(variances: Tensor, course: Sequence[SamplerBias]) -> Condition:
    errors = np.array([bias.total_variance_error for bias in course])
    return {
        "axis": "all",
        "std": float(variances.sum().sqrt()),
        "round": list(range(len(course))),
        "std_error": np.sqrt(1 + errors) - 1,
        "variance_error": errors,
    }


def _deterministic(sampling: Sampling) -> Sampler:
    return lambda denoise, noise, sigmas: sampling(denoise, noise)


def _table(conditions: Sequence[Condition]) -> list[str]:
    """Gives lines for the screen: errors of the standard deviation after one and all rounds."""
    last = conditions[0]["round"][-1] + 1
    head = ["solver", "schedule", "steps", "calls", "axis", "std"]
    lines = [[*head, "std, 1 round", f"std, {last} rounds", f"variance, {last} rounds"]]
    for c in conditions:
        errors = (c["std_error"][0], c["std_error"][-1], c["variance_error"][-1])
        fixed = [c["solver"], c["schedule"], str(c["steps"]), str(c["calls"]), c["axis"]]
        lines.append([*fixed, f"{c['std']:.4g}", *(f"{100 * e:+.2f} %" for e in errors)])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return ["  ".join(map(str.rjust, line, widths)) for line in lines]


def _draw(out: Path, conditions: Sequence[Condition]) -> None:
    figure = new_figure(9, 4)
    once, compounded = figure.subplots(1, 2)
    for i, steps in enumerate(dict.fromkeys(c["steps"] for c in conditions)):
        mine = [c for c in conditions if c["steps"] == steps]
        _draw_steps(once, compounded, mine, COLOURS[i % len(COLOURS)])
    once.set(xscale="log", xlabel="standard deviation of the data (network units)")
    once.set_ylabel("error of the standard deviation\nafter one round (%)")
    compounded.set(xlabel="rounds", ylabel="error of the standard deviation (%)")
    for axes in (once, compounded):
        axes.axhline(0, color="black", lw=0.8)
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    first = conditions[0]
    figure.suptitle(f"{first['solver']}, {first['schedule']}: bias with the exact denoiser")
    save_figure(figure, out, "control")


def _draw_steps(
    once: "Axes", compounded: "Axes", conditions: Sequence[Condition], colour: str
) -> None:
    label = f"{conditions[0]['calls']} calls"
    axes = sorted((c for c in conditions if c["axis"] != "all"), key=lambda c: c["std"])
    errors = [100 * c["std_error"][0] for c in axes]
    once.plot([c["std"] for c in axes], errors, "o-", ms=4, color=colour, label=label)
    for style, condition in zip(("-", "--", "-.", ":"), conditions, strict=False):
        after = np.array(condition["round"]) + 1
        name = f"{label}, {condition['axis']}"
        percent = 100 * np.asarray(condition["std_error"])
        compounded.plot(after, percent, style, color=colour, label=name)


def _step_numbers(text: str) -> list[int]:
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(
            f"steps = {text}: must be whole numbers separated by commas, such as 18,35"
        ) from None
    for number in numbers:
        at_least("steps", number, 1)
    return numbers


def _stds(text: str) -> Tensor:
    try:
        stds = [float(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(
            f"std = {text}: must be numbers separated by commas, such as {_STDS}"
        ) from None
    for std in stds:
        above("std", std, 0)
    return torch.tensor(stds, dtype=torch.float64)


def _covariance(cov: Path | None, data: Path | None) -> Tensor:
    """Gives the covariance (d, d) that a file holds, or that stored rows have."""
    if cov is None:
        assert data is not None
        return _covariance_of_rows(data)
    matrix = np.asarray(read_array(cov, "cov", (None, None), longest=_MAX_DIM), np.float64)
    size = max(float(np.abs(matrix).max(initial=0)), np.finfo(np.float64).tiny)
    if matrix.shape[0] != matrix.shape[1] or not len(matrix):
        raise ValueError(f"cov = {cov}: must be a square matrix, got {matrix.shape}")
    if not np.isfinite(matrix).all() or np.abs(matrix - matrix.T).max() > 1e-6 * size:
        raise ValueError(f"cov = {cov}: must be finite and symmetric")
    if np.linalg.eigvalsh(matrix)[0] < -1e-6 * size:
        raise ValueError(f"cov = {cov}: must have no negative eigenvalue")
    return torch.from_numpy(matrix)


def _covariance_of_rows(folder: Path) -> Tensor:
    rows = open_rows(folder)
    d = int(np.prod(rows.shape))
    if d > _MAX_DIM:
        raise ValueError(f"data = {folder}: rows of {d} numbers, must be at most {_MAX_DIM}")
    moments = Moments(d)
    for block in torch.split(torch.arange(len(rows)), 4096):
        moments.update(network_units(rows[block]).flatten(1))
    return moments.covariance()
