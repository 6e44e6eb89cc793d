"""`lightning-collapse analyse zeta`: what samples cost a network, by their share and its width."""

from pathlib import Path
from typing import Literal

from lightning_collapse.analysis.conditions import conditions, find_runs
from lightning_collapse.analysis.intervals import Interval
from lightning_collapse.analysis.zeta import Amplification, Zeta, amplification, zetas
from lightning_collapse.analysis.zeta_figure import draw_zetas
from lightning_collapse.analysis.zeta_toy import points_conditions
from lightning_collapse.commands.arguments import run_command
from lightning_collapse.toys.ranges import above, at_least, fractions, whole_numbers
from lightning_collapse.toys.tables import command_line, open_folder, write_summary
from lightning_collapse.toys.training import Training

__all__ = ["main", "zeta"]


def main(arguments: list[str]) -> None:
    """Runs the command."""
    run_command("analyse zeta", zeta, arguments)


def zeta(
    runs: list[Path] | None = None,
    toy: Literal["diffusion"] | None = None,
    widths: str = "8,16,32,64",
    lambdas: str = "0.01,0.05,0.1,0.25,0.5,0.75,0.9,0.99",
    n: int = 1000,
    rounds: int = 2,
    replicas: int = 8,
    images_per_round: int = 64_000,
    batch_size: int = 64,
    seed: int = 0,
    out: Path = Path("runs/zeta"),
) -> None:
    """Tells what samples among the training rows cost, and whether larger networks amplify it.

    ζ is the held-out loss of mixed runs minus that of runs on real rows alone, at the same rows
    and compute, paired by seed. Writes summary.json and a figure.

    Args:
        runs: folders of runs, or of many of them, such as those of plans/zeta_points.yaml: of
            several shares of samples and widths of the network, and of real rows at each width.
        toy: in place of runs, diffusion on points by Replace, its replicas trained together.
        widths: of the toy's network, separated by commas.
        lambdas: shares of samples of the toy, likewise; real rows alone come beside them.
        n: training rows of the toy, and as many held out.
        rounds: of the toy, from round 0, at least 2.
        replicas: of the toy, with seeds from `seed` on; at least 2.
        images_per_round: rows that the toy's network sees in a round.
        batch_size: of the toy.
        seed: keys the toy.
        out: folder for the results.
    """
    given = dict(locals())
    if (toy is None) == (not runs):
        raise ValueError("runs: name some, or else --toy diffusion")
    shares = fractions(lambdas)
    above("lambdas", min(shares), 0)
    at_least("n", n, 2)
    at_least("rounds", rounds, 2)
    at_least("replicas", replicas, 2)
    sizes = whole_numbers("widths", widths)
    at_least("images_per_round", images_per_round, 1)
    at_least("batch_size", batch_size, 1)
    if toy is None:
        told = zetas(conditions(find_runs(runs or [])))
        _write(told, command_line("analyse zeta", *(runs or [])), open_folder(out))
        return
    open_folder(out)
    training = Training(images_per_round=images_per_round, batch_size=batch_size)
    told = zetas(points_conditions(sizes, shares, n, rounds, replicas, training, seed))
    _write(told, command_line("analyse zeta", **given | {"runs": None, "out": None}), out)


def _write(told: list[Zeta], command: str, out: Path) -> None:
    amplified = amplification(told)
    option = told[0].option.rpartition(".")[2] or "network"
    print(
        f"{option:>10}{'N':>8}{'share':>8}{'seeds':>7}{'real':>10}{'mixed':>10}  ζ in round 1; "
        "in the last third of the rounds"
    )
    for one in told:
        print(_line(one))
    print("\nζ for each doubling of the width:")
    for part in amplified:
        print(_amplified(part))
    write_summary(
        out,
        command,
        zeta=[{**vars(one), "by_seed": list(one.by_seed.values())} for one in told],
        amplification=amplified,
    )
    draw_zetas(out, told)
    print(f"results: {out}")


def _line(one: Zeta) -> str:
    size = "-" if one.size is None else f"{one.size:g}"
    first = _told(one.rounds[0], one) if one.rounds else "-"
    return (
        f"{size:>10}{one.n:>8,}{one.share:>8.0%}{one.seeds:>7}{one.real[-1]:>10.4g}"
        f"{one.mixed[-1]:>10.4g}  {first}; {_told(one.loop, one)}"
    )


def _told(interval: Interval | None, one: Zeta) -> str:
    if interval is not None:
        return str(interval)
    return "not told: one seed" if one.seeds < 2 else "not told: a loss is missing"


def _amplified(one: Amplification) -> str:
    slope = one.slope or "needs two widths and two seeds that all have"
    return f"{one.share:>8.0%}{one.n:>8,}: {one.word}, {slope}"
