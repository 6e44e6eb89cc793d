"""`lightning-collapse toy strong-collapse`: what a small synthetic share costs, beside theory."""

from pathlib import Path

from lightning_collapse.commands.arguments import run_command
from lightning_collapse.toys.ranges import above, at_least, fractions, whole_numbers
from lightning_collapse.toys.strong_collapse import (
    Mixture,
    Sweep,
    simulate_sweep,
    summarise_sweep,
    sweep_table,
)
from lightning_collapse.toys.strong_collapse_figure import draw_sweeps
from lightning_collapse.toys.tables import command_line, open_folder, write_tables

__all__ = ["main", "strong_collapse"]


def main(arguments: list[str]) -> None:
    """Runs the command."""
    run_command("toy strong-collapse", strong_collapse, arguments)


def strong_collapse(
    lambdas: str = "0.01,0.1,0.5,1.0",
    n: str = "50,100,150,200,250,300,400,800,1600,3200",
    widths: str = "20,50,100,150,200,300,450,1000",
    width_n: int = 150,
    dim: int = 200,
    quality: float = 1.0,
    noise: float = 0.25,
    penalty: float = 1e-3,
    replicas: int = 100,
    seed: int = 0,
    out: Path = Path("runs/toy_strong_collapse"),
) -> None:
    """Fits ridge regression to real and synthetic rows; compares it with as many real ones.

    Sweeps the number of rows, then the width of random projections. Writes rounds.csv,
    summary.json and strong_collapse.png. Theory is that of many dimensions: from 200 on it holds
    within a few per cent.

    Args:
        lambdas: synthetic shares, separated by commas.
        n: numbers of rows, likewise.
        widths: numbers of random projections, likewise.
        width_n: rows at which the width is swept.
        dim: dimensions of the inputs, which are standard normal.
        quality: mean squared error of a synthetic label.
        noise: variance of the labels' noise.
        penalty: ridge penalty, beside the mean squared error.
        replicas: how many; each draws its own truth and rows.
        seed: keys everything that is drawn.
        out: folder for the results.
    """
    given = dict(locals())
    for name, value in (("width_n", width_n), ("dim", dim), ("replicas", replicas)):
        at_least(name, value, 1)
    for name, number in (("quality", quality), ("noise", noise), ("penalty", penalty)):
        above(name, number, 0)
    shares = fractions(lambdas)
    sizes = whole_numbers("n", n)
    wanted = whole_numbers("widths", widths)
    mixture = Mixture(dim, quality, noise, penalty, replicas, seed)
    sweeps = [Sweep(sizes), Sweep([width_n] * len(wanted), wanted)]
    open_folder(out)
    results = []
    for sweep in sweeps:
        errors = simulate_sweep(sweep, shares, mixture)
        results.append(
            [
                summarise_sweep(sweep, share, errors[:, 0], errors[:, i], mixture)
                for i, share in enumerate(shares, start=1)
            ]
        )
    command = command_line("toy strong-collapse", **given | {"out": None})
    ridge, projections = results
    write_tables(out, command, [*ridge, *projections])
    draw_sweeps(out, ridge, projections)
    print(*sweep_table([*ridge, *projections]), sep="\n")
    print(f"results: {out}")
