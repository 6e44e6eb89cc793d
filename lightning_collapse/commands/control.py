"""`lightning-collapse control`: what a sampler alone does to the variance, round after round."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lightning_collapse.commands.arguments import run_command
from lightning_collapse.data.foreign.npz import read_array
from lightning_collapse.data.store.shards import open_rows
from lightning_collapse.sampling.bias import (
    MixtureBias,
    compounded_std,
    data_groups,
    mixture_bias,
    principal_std,
)
from lightning_collapse.sampling.choice import Sampling
from lightning_collapse.sampling.fitting import fitted
from lightning_collapse.toys.figures import new_figure, save_figure, style
from lightning_collapse.toys.ranges import at_least, positive_numbers
from lightning_collapse.toys.tables import command_line, open_folder, write_tables

__all__ = ["control", "main"]

# Which samples share noise changes no variance.
_OF_NO_USE = ("latents",)
# Told only where they are not as usual.
_RARE = ("S_churn", "S_min", "S_max", "S_noise", "temperature", "start", "last")
# In a configuration beside levels, which hold for these.
_ALWAYS = ("solver", "num_steps", "sigma_min", "sigma_max")
_MAX_DIM = 16_384
"""A covariance of so many dimensions takes 2 GiB."""


def main(arguments: list[str]) -> None:
    """Runs the command."""
    run_command("control", control, arguments, without=_OF_NO_USE, reads=["data", "cov"])


def control(
    sampling: Sampling = Sampling(),  # noqa: B008 - frozen
    std: str = "1,0.5,0.2,0.05",
    data: Path | None = None,
    cov: Path | None = None,
    rounds: int = 10,
    fit: bool = False,
    out: Path = Path("runs/control"),
) -> None:
    """Tells the bias of a sampler by itself: the network is perfect, the data Gaussian, no chance.

    Prints the relative error of the standard deviation, or of the total variance of `data` or
    `cov`, after one round and after all, and writes rounds.csv, summary.json and bias.png. Of
    `data` whose rows hold at most 256 numbers it also tells one round on a mixture of Gaussians,
    one for each class or cluster, by samples: with its standard error.

    Args:
        sampling: solver and schedule.
        std: standard deviations of the data, separated by commas, in network units.
        data: a store of rows instead, such as RUN/pool/real: a Gaussian of their covariance.
        cov: an npz with the covariance of the data instead, an array `cov` (d, d).
        rounds: how many times the samples become the data.
        fit: take the noise levels that suit the mixture of `data` best, as many as there are
            steps, in place of the schedule's, and print them as a configuration has them.
        out: folder for the results.
    """
    at_least("rounds", rounds, 1)
    if fit and data is None:
        raise ValueError("fit = true: needs data, a store of rows that levels are to suit")
    if fit and sampling.num_steps < 3:
        raise ValueError(f"steps = {sampling.num_steps}: must be at least 3 for fit = true")
    values = positive_numbers("std", std)
    if data is not None and cov is not None:
        raise ValueError(f"data = {data}: cannot be given with cov; drop one of them")
    if data is not None:
        given = _deviations(data)
    else:
        given = torch.tensor(values, dtype=torch.float64) if cov is None else _roots(cov)
    groups = None if data is None else data_groups(open_rows(data))
    if fit and groups is None:
        raise ValueError(
            f"data = {data}: for fit = true rows must hold at most 256 numbers, and not be alike"
        )
    open_folder(out)
    taken = sampling
    if fit and groups is not None:
        print(f"fitting {sampling.num_steps} levels to {groups}", flush=True)
        taken = fitted(sampling, groups)
    course = compounded_std(taken, given, rounds)
    # With the levels, not how they were found: it makes the same results, and does not fit again.
    options = _options(taken) | {"rounds": rounds}
    from_file = data is not None or cov is not None
    sources = {"data": data, "cov": cov, "std": None if from_file else std}
    options |= {name: value for name, value in sources.items() if value is not None}
    conditions = _conditions(course, from_file)
    if groups is not None:
        mixture = mixture_bias(taken, groups)
        conditions.append(_mixed(mixture, conditions[0]["variance"][0]))
    write_tables(out, command_line("control", **options), conditions)
    title = f"{taken.solver}, {taken.schedule}, {taken.num_steps} steps"
    _draw(out, conditions, title)
    what = "total variance" if from_file else "standard deviation"
    print(f"error of the {what} of samples, with an exact denoiser:")
    print(f"{'data':>24}  {'after 1 round':>14}  {f'after {rounds}':>14}")
    for condition in conditions:
        first, last = (100 * condition["relative_error"][i] for i in (1, -1))
        told = f"{last:>+13.3f}%"
        if "standard_error" in condition:
            told = f"± {100 * condition['standard_error']:.3f}% (standard error)"
        print(f"{condition['data']:>24}  {first:>+13.3f}%  {told}")
    if fit and groups is not None:
        print(f"before the fit, on the mixture: {mixture_bias(sampling, groups)}")
        print(*_configured(taken), sep="\n")
    print(f"results: {out}")


def _options(sampling: Sampling) -> dict[str, Any]:
    options: dict[str, Any] = {"steps": sampling.num_steps}
    for name in ("solver", "schedule", "sigma_min", "sigma_max", "rho"):
        options[name] = getattr(sampling, name)
    usual = Sampling()
    for name in _RARE:
        if (value := getattr(sampling, name)) != getattr(usual, name):
            options[name] = value
    return options | ({"levels": str([*sampling.levels])} if sampling.levels else {})


def _configured(sampling: Sampling) -> list[str]:
    usual = Sampling().recipe
    told = {k: v for k, v in sampling.recipe.items() if k in _ALWAYS or v != usual.get(k)}
    return ["loop:", "  sampling:", *(f"    {name}: {value}" for name, value in told.items())]


def _deviations(folder: Path) -> Tensor:
    std = principal_std(open_rows(folder))
    if not len(std):
        raise ValueError(f"data = {folder}: all rows are equal; name a store of varied ones")
    return std


def _roots(path: Path) -> Tensor:
    """Gives the standard deviations along the principal axes of a file's covariance."""
    matrix = np.asarray(read_array(path, "cov", (None, None), longest=_MAX_DIM), np.float64)
    if matrix.shape[0] != matrix.shape[1] or not len(matrix):
        raise ValueError(f"cov = {path}: must be a square matrix, got {matrix.shape}")
    size = np.abs(matrix).max()
    if not np.isfinite(size) or np.abs(matrix - matrix.T).max() > 1e-6 * size:
        raise ValueError(f"cov = {path}: must be finite and symmetric")
    variances = np.linalg.eigvalsh(matrix)
    if variances[0] < -1e-6 * size or variances[-1] <= 0:
        raise ValueError(f"cov = {path}: must have positive eigenvalues, and none below 0")
    return torch.from_numpy(np.sqrt(variances[variances > 1e-12 * variances[-1]]))


def _conditions(course: Tensor, is_data: bool) -> list[dict[str, Any]]:
    """Gives the error of each deviation, or of the total variance of data."""
    if is_data:
        what, names, course = "variance", ["total variance"], course.square().sum(1, keepdim=True)
    else:
        what, names = "std", [f"std {float(value):g}" for value in course[0]]
    return [
        {
            "data": name,
            "round": list(range(len(course))),
            what: column.tolist(),
            "relative_error": (column / column[0] - 1).tolist(),
        }
        for name, column in zip(names, course.T, strict=True)
    ]


def _mixed(mixture: MixtureBias, variance: float) -> dict[str, Any]:
    return {
        "data": f"mixture of {mixture.groups}",
        "standard_error": mixture.standard_error,
        "round": [0, 1],
        "variance": [variance, variance * (1 + mixture.error)],
        "relative_error": [0.0, mixture.error],
    }


def _draw(out: Path, conditions: list[dict[str, Any]], title: str) -> None:
    figure = new_figure(6, 4)
    axes = figure.add_subplot()
    for i, condition in enumerate(conditions):
        errors = [100 * error for error in condition["relative_error"]]
        looks = style(i, len(errors))
        axes.plot(condition["round"], errors, label=condition["data"], **looks)
    axes.axhline(0, color="black", lw=0.8)
    what = "standard deviation" if "std" in conditions[0] else "total variance"
    axes.set(xlabel="rounds of sampling", ylabel=f"error of the {what} (%)", title=title)
    axes.legend(fontsize=8, frameon=False)
    axes.grid(alpha=0.3)
    save_figure(figure, out, "bias")
