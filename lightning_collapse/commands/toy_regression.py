"""`lightning-collapse toy regression`: least squares on its own labels, beside theory."""

from pathlib import Path
from typing import Any, Literal

from lightning_collapse.commands.arguments import run_command
from lightning_collapse.commands.regime_names import check_regime_name
from lightning_collapse.commands.regime_options import chosen_conditions
from lightning_collapse.toys.ranges import above, at_least, check_loop
from lightning_collapse.toys.regression import (
    Task,
    check_condition,
    regress,
    reuses_inputs,
    summarise_errors,
)
from lightning_collapse.toys.regression_figure import draw_errors
from lightning_collapse.toys.spreads import draw_ends, end_table
from lightning_collapse.toys.tables import command_line, open_folder, write_tables

__all__ = ["main", "regression"]


def main(arguments: list[str]) -> None:
    """Runs the command."""
    run_command("toy regression", regression, arguments)


def regression(
    regime: str = "Replace,Accumulate",
    regime_options: dict[str, Any] | None = None,
    lambdas: str | None = None,
    inputs: Literal["same", "fresh", "both"] = "both",
    n: int = 100,
    dim: int = 10,
    noise: float = 1.0,
    rounds: int = 50,
    replicas: int = 500,
    seed: int = 0,
    out: Path = Path("runs/toy_regression"),
) -> None:
    """Fits weights by least squares to labels, labels rows by the fit, fits them, and so on.

    Writes rounds.csv, summary.json and error.png with the squared error of the weights.

    Args:
        regime: one or more that draw no rows by chance, separated by commas: Replace,
            Accumulate, Augment, Fresh, or class paths such as mine.Ramp.
        regime_options: options of the regime besides λ, as JSON.
        lambdas: shares of labels by fits, separated by commas; 0 is the control on real labels.
            Default: 1.0, or what the options say.
        inputs: whether rounds label the inputs of the real rows again, or fresh ones; both runs
            the same inputs too where a round labels as many rows as there are.
        n: rows that round 0 trains on, at least dim + 4.
        dim: dimensions of the inputs, which are standard normal.
        noise: variance of the labels' noise.
        rounds: how many, from round 0.
        replicas: how many; each draws its own real rows.
        seed: keys everything that is drawn.
        out: folder for the results.
    """
    given = dict(locals())
    check_loop(n, rounds, replicas, lambdas)
    for name in regime.split(","):
        check_regime_name(name)
    at_least("dim", dim, 1)
    above("noise", noise, 0)
    task = Task(dim, noise, rounds, replicas, seed)
    chosen = [
        one
        for name in regime.split(",")
        for one in chosen_conditions(name, regime_options, lambdas, n, rounds, "1.0")
    ]
    kinds: tuple[Literal["same", "fresh"], ...] = ("same", "fresh")
    runs = [
        (one, kind)
        for one in chosen
        for kind in kinds
        if inputs == kind or (inputs == "both" and (kind == "fresh" or reuses_inputs(one)))
    ]
    for one, kind in runs:
        check_condition(one, kind, task)
    open_folder(out)
    summaries = [
        summarise_errors(one, kind, task, *regress(one, kind, task)) for one, kind in runs
    ]
    command = command_line("toy regression", **given | {"out": None})
    write_tables(out, command, summaries)
    draw_errors(out, summaries)
    draw_ends(out, summaries, "error", "squared error of the weights")
    print(*end_table(summaries, ["error"]), sep="\n")
    print(f"results: {out}")
