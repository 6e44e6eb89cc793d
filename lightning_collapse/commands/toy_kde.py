"""`lightning-collapse toy kde`: kernel density estimates of their own samples, beside theory."""

from pathlib import Path
from typing import Any

from lightning_collapse.commands.arguments import run_command
from lightning_collapse.commands.regime_names import check_regime_name
from lightning_collapse.commands.regime_options import chosen_conditions
from lightning_collapse.toys.kde import Modes, check_memory, simulate, summarise
from lightning_collapse.toys.ranges import above, at_least, check_loop
from lightning_collapse.toys.spreads import draw_courses, draw_ends, end_table
from lightning_collapse.toys.tables import command_line, open_folder, write_tables

__all__ = ["kde", "main"]


def main(arguments: list[str]) -> None:
    """Runs the command."""
    run_command("toy kde", kde, arguments)


def kde(
    lambdas: str | None = None,
    regime: str = "Replace",
    regime_options: dict[str, Any] | None = None,
    n: int = 500,
    rounds: int = 20,
    replicas: int = 50,
    dim: int = 10,
    modes: int = 5,
    distance: float = 5.65,
    std: float = 0.6,
    bandwidth: float = 0.6,
    seed: int = 0,
    out: Path = Path("runs/toy_kde"),
) -> None:
    """Puts a Gaussian kernel on each row of a mixture, samples, and again, in many replicas.

    Writes rounds.csv, summary.json and a figure: the second moment of the estimate, and its drift
    above the true one, beside theory. The defaults are the setting of Khelifa et al. 2026, whose
    modes may lie elsewhere; at this distance the drift is theirs.

    Args:
        lambdas: shares of synthetic rows, separated by commas; 0 is the control on real rows.
            Default: 0.1,0.5,0.9,1.0, or what the options say.
        regime: a regime's name, such as Replace or Then, or a class path such as mine.Ramp.
        regime_options: options of the regime besides λ, as JSON.
        n: rows that round 0 is estimated on, all real.
        rounds: how many, from round 0.
        replicas: how many; each draws its own real rows.
        dim: dimensions, at least as many as modes.
        modes: of the mixture, each on an axis of its own.
        distance: of every mode from the origin.
        std: of every mode, on every axis.
        bandwidth: standard deviation of the kernel.
        seed: keys everything that is drawn.
        out: folder for the results.
    """
    given = dict(locals())
    check_loop(n, rounds, replicas, lambdas)
    check_regime_name(regime)
    at_least("modes", modes, 1)
    at_least("dim", dim, modes)
    at_least("distance", distance, 0)
    above("std", std, 0)
    above("bandwidth", bandwidth, 0)
    truth = Modes(dim, modes, distance, std)
    chosen = chosen_conditions(regime, regime_options, lambdas, n, rounds, "0.1,0.5,0.9,1.0")
    for condition in chosen:
        check_memory(condition, rounds, replicas, truth)
    open_folder(out)
    summaries = []
    for condition in chosen:
        course = simulate(condition, rounds, replicas, truth, bandwidth, seed)
        summaries.append(summarise(condition, course, truth, bandwidth))
    command = command_line("toy kde", **given | {"out": None})
    write_tables(out, command, summaries)
    panels = {
        "second_moment": "second moment per axis (squared units)",
        "drift": "drift (share of the true variance)",
    }
    title = f"{summaries[0]['regime']}, N = {n:,}, {replicas:,} replicas, d = {dim}"
    draw_courses(out, "kde", summaries, panels, title)
    draw_ends(out, summaries, "drift", panels["drift"])
    print(*end_table(summaries, list(panels)), f"results: {out}", sep="\n")
