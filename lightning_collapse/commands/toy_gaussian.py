"""`lightning-collapse toy gaussian`: a Gaussian fitted to its own samples, beside theory."""

from pathlib import Path
from typing import Any

from lightning_collapse.commands.arguments import run_command
from lightning_collapse.commands.regime_names import check_regime_name
from lightning_collapse.commands.regime_options import chosen_conditions
from lightning_collapse.toys.gaussian import check_course, check_memory, simulate
from lightning_collapse.toys.gaussian_figure import draw_figures
from lightning_collapse.toys.gaussian_fits import Truth
from lightning_collapse.toys.gaussian_summary import enough_real, settling, summarise
from lightning_collapse.toys.ranges import above, at_least, check_loop
from lightning_collapse.toys.spreads import draw_ends, end_table
from lightning_collapse.toys.tables import command_line, open_folder, write_tables

__all__ = ["main", "gaussian"]


def main(arguments: list[str]) -> None:
    """Runs the command."""
    run_command("toy gaussian", gaussian, arguments)


def gaussian(
    lambdas: str | None = None,
    regime: str = "Replace",
    regime_options: dict[str, Any] | None = None,
    n: int = 1000,
    rounds: int = 5000,
    replicas: int = 200,
    dim: int = 1,
    mean: float = 5.0,
    variance: float = 2.0,
    seed: int = 0,
    out: Path = Path("runs/toy_gaussian"),
    at_once: int | None = None,
) -> None:
    """Fits a Gaussian, samples it, fits the samples, round after round, in many replicas.

    Writes rounds.csv, summary.json, and figures of the variance, of the final distribution and of
    the steps of the mean.

    Args:
        lambdas: shares of synthetic rows, separated by commas; 0 is the control on real rows.
            Default: 0.1,0.9,1.0, or what the options say.
        regime: Replace, Turnover, Augment, Accumulate, AccumulateSubsample, Fresh,
            FreshAccumulate, SlidingWindow, Growing, Then, or a class path such as mine.Ramp.
        regime_options: options of the regime besides λ, as JSON.
        n: rows that round 0 trains on, all real.
        rounds: how many, from round 0.
        replicas: how many; each draws its own real rows.
        dim: dimensions, all with the same mean and variance.
        mean: true mean.
        variance: true variance.
        seed: keys everything that is drawn.
        out: folder for the results.
        at_once: replicas computed together, which changes nothing but memory and time.
    """
    given = dict(locals())
    check_loop(n, rounds, replicas, lambdas)
    check_regime_name(regime)
    at_least("dim", dim, 1)
    at_least("at_once", 1 if at_once is None else at_once, 1)
    above("variance", variance, 0)
    truth = Truth(mean, variance, dim)
    check_course(rounds, replicas)
    chosen = chosen_conditions(regime, regime_options, lambdas, n, rounds, "0.1,0.9,1.0")
    for condition in chosen:
        check_memory(condition, rounds, dim)
    open_folder(out)
    courses = [
        simulate(condition, rounds, replicas, truth=truth, seed=seed, at_once=at_once)
        for condition in chosen
    ]
    summaries = [
        summarise(condition, course, truth)
        for condition, course in zip(chosen, courses, strict=True)
    ]
    command = command_line("toy gaussian", **given | {"out": None, "at_once": None})
    write_tables(out, command, summaries)
    draw_figures(out, summaries, courses, truth)
    draw_ends(out, summaries, "variance", "variance of the fit (squared units of x)")
    print(*end_table(summaries, ["variance", "log_variance"]), sep="\n")
    told = [settling(condition, truth) for condition in chosen] + list(map(enough_real, chosen))
    for line in dict.fromkeys(filter(None, told)):
        print(line)
    print(f"results: {out}")
