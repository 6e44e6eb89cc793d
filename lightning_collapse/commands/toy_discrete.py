"""`lightning-collapse toy discrete`: categories counted in their own samples, beside theory."""

from pathlib import Path
from typing import Any, Literal

from lightning_collapse.commands.arguments import run_command
from lightning_collapse.commands.regime_names import check_regime_name
from lightning_collapse.commands.regime_options import chosen_conditions
from lightning_collapse.curators import Curator
from lightning_collapse.theory.discrete import zipf
from lightning_collapse.toys.discrete import Law, check_condition, simulate, summarise
from lightning_collapse.toys.ranges import above, at_least, check_loop
from lightning_collapse.toys.spreads import draw_courses, draw_ends, end_table
from lightning_collapse.toys.tables import command_line, named, open_folder, write_tables

__all__ = ["discrete", "main"]


def main(arguments: list[str]) -> None:
    """Runs the command."""
    run_command("toy discrete", discrete, arguments)


def discrete(
    lambdas: str | None = None,
    regime: str = "Replace",
    regime_options: dict[str, Any] | None = None,
    categories: int = 10,
    start: Literal["uniform", "zipf"] = "uniform",
    exponent: float = 1.0,
    shift: float = 2.7,
    sizes: Literal["fixed", "poisson"] = "fixed",
    curator: Curator | None = None,
    n: int = 100,
    rounds: int = 200,
    replicas: int = 200,
    seed: int = 0,
    out: Path = Path("runs/toy_discrete"),
) -> None:
    """Counts categories, samples by their frequencies, counts the samples, in many replicas.

    Writes rounds.csv, summary.json and a figure: the diversity 1 - sum p^2, and how many
    categories are left, beside theory.

    Args:
        lambdas: shares of synthetic rows, separated by commas; 0 is the control on real rows.
            Default: 0.1,0.9,1.0, or what the options say.
        regime: a regime's name, such as Replace or Then, or a class path such as mine.Ramp.
        regime_options: options of the regime besides λ, as JSON.
        categories: K.
        start: true shares: equal ones, or Zipf's and Mandelbrot's, (j + shift)^-exponent.
        exponent: of the latter.
        shift: of the latter.
        sizes: fixed numbers of rows, or Poisson counts, for which the number of categories that
            are left is known (Suresh et al. 2024).
        curator: weighs the samples of every round and leaves some out, such as ByDensity,
            ByEntropy or RealWeight; no theory is then known.
        n: rows that round 0 counts, all real.
        rounds: how many, from round 0.
        replicas: how many; each draws its own real rows.
        seed: keys everything that is drawn.
        out: folder for the results.
    """
    given = dict(locals())
    check_loop(n, rounds, replicas, lambdas)
    check_regime_name(regime)
    at_least("categories", categories, 2)
    above("exponent", exponent, 0)
    above("shift", shift, -1)
    # Without an exponent all are equal.
    shares = zipf(categories, exponent if start == "zipf" else 0.0, shift)
    law = Law(tuple(map(float, shares)), sizes)
    chosen = chosen_conditions(regime, regime_options, lambdas, n, rounds, "0.1,0.9,1.0")
    for condition in chosen:
        check_condition(condition, law, rounds, replicas, curator)
    open_folder(out)
    summaries = []
    for condition in chosen:
        course = simulate(condition, rounds, replicas, law, seed, curator)
        summaries.append(summarise(condition, course, law, curator))
    if start == "uniform":
        given |= dict(start=None, exponent=None, shift=None)
    named_curator = None if curator is None else _written(curator)
    given |= {"curator": named_curator, "out": None}
    write_tables(out, command_line("toy discrete", **given), summaries)
    panels = {
        "diversity": "diversity, 1 - Σp² (chance that two draws differ)",
        "categories": f"categories left, of {categories:,}",
    }
    title = f"{summaries[0]['regime']}, N = {n:,}, {replicas:,} replicas"
    draw_courses(out, "discrete", summaries, panels, title)
    draw_ends(out, summaries, "diversity", panels["diversity"])
    print(*end_table(summaries, list(panels)), f"results: {out}", sep="\n")


def _written(curator: Curator) -> str:
    """A curator as the option names it: of a list of one, what is in it."""
    return (named([curator]) or "[]")[1:-1]
