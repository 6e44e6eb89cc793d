"""`lightning-collapse analyse min-real`: how few real rows prevent collapse."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from lightning_collapse.analysis.conditions import conditions, find_runs
from lightning_collapse.analysis.min_real import Bracket, Tried, gaussian_search, of_conditions
from lightning_collapse.analysis.min_real_figure import draw_search, draw_verdicts
from lightning_collapse.analysis.profile import chosen_control
from lightning_collapse.commands.arguments import run_command
from lightning_collapse.theory.gaussian import min_real_rows
from lightning_collapse.toys.ranges import at_least
from lightning_collapse.toys.tables import command_line, open_folder, write_summary

__all__ = ["main", "min_real"]


def main(arguments: list[str]) -> None:
    """Runs the command."""
    run_command("analyse min-real", min_real, arguments)


def min_real(
    runs: list[Path] | None = None,
    control: list[Path] | None = None,
    toy: Literal["gaussian"] | None = None,
    rho: float = 0.9,
    n: int = 1000,
    replicas: int = 4000,
    seed: int = 0,
    out: Path = Path("runs/min_real"),
) -> None:
    """Finds how few real rows, the same in every round, prevent collapse.

    Of runs that differ in that number: the least from which on the distance is bounded, and the
    least from which on it is that of the control. Of the Gaussian loop: by bisection, beside
    theory. Writes summary.json and a figure.

    Args:
        runs: folders of runs, or of many of them.
        control: the same of runs that retrain on real rows alone; default: those among the runs.
        toy: in place of runs, the Gaussian loop.
        rho: share of the variance that the loop must keep, in (0, 1).
        n: rows of the loop's training sets.
        replicas: of the loop.
        seed: keys the loop.
        out: folder for the results.
    """
    if (toy is None) == (not runs):
        raise ValueError("runs: name some, or else --toy gaussian")
    at_least("n", n, 3)
    at_least("replicas", replicas, 2)
    if not 0 < rho < 1:
        raise ValueError(f"rho = {rho:g}: must lie in (0, 1)")
    if toy is None:
        _of_runs(runs or [], control, out)
        return
    open_folder(out)
    brackets = gaussian_search(rho, n, replicas, seed)
    theory = {
        one.reference: min_real_rows(n, rho, one.reference != "population") for one in brackets
    }
    for one in brackets:
        _tell(one, theory[one.reference], n)
    command = command_line("analyse min-real", toy=toy, rho=rho, n=n, replicas=replicas, seed=seed)
    write_summary(out, command, brackets=brackets, theory=theory)
    draw_search(out, brackets, rho, n)
    print(f"results: {out}")


def _tell(one: Bracket, theory: int, n: int) -> None:
    print(f"{one.reference}: the variance over that of the {one.reference}")
    print(f"{'m':>6}{'rounds':>8}{'ratio':>9}{'lower':>9}{'drift':>9}  prevented")
    for tried in sorted(one.tried, key=lambda tried: tried.m):
        print(_line(tried))
    print("again, with fresh chance:" if one.again else "")
    for tried in one.again:
        print(_line(tried))
    least = f"more than {one.failing}" if one.passing is None else f"{one.passing}"
    print(f"least m of {n}: {least} ({one.failing} fails); theory, of the mean: {theory}\n")


def _line(one: Tried) -> str:
    numbers = f"{one.ratio:9.4f}{one.ratio_low:9.4f}{one.drift:+9.4f}"
    return f"{one.m:6}{one.rounds:8}{numbers}  {'yes' if one.prevented else 'no'}"


def _of_runs(paths: Sequence[Path], control: Sequence[Path] | None, out: Path) -> None:
    read = conditions(find_runs(paths))
    named = conditions(find_runs(control)) if control else []
    chosen, beside = chosen_control(read, named)
    told = of_conditions(chosen, beside)
    open_folder(out)
    words = {True: "bounded", False: "growing", None: "not told"}
    for m, verdict, bounded in zip(told.rows, told.verdicts, told.bounded, strict=True):
        print(f"m = {m:,}: {words[bounded]}; {verdict}")
    print(f"bounded: {_answer(told.least_bounded, told.rounds, told.needed)}")
    print(f"free, of an excess above the margin: {_answer(told.least_free, told.rounds, None)}")
    options = None if control is None else list(control)
    write_summary(out, command_line("analyse min-real", *paths, control=options), answer=told)
    draw_verdicts(out, told)
    print(f"results: {out}")


def _answer(least: int | None, rounds: int, needed: int | None) -> str:
    if least is not None:
        return f"from m = {least:,} on, in {rounds} rounds"
    return (
        f"not told, needs {needed} rounds"
        if needed and needed > rounds
        else "at no m, or not told"
    )
