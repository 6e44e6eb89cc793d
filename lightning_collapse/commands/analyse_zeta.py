"""`lightning-collapse analyse zeta`: what samples cost a network, by their share and its width."""

from pathlib import Path

from lightning_collapse.analysis.conditions import conditions, find_runs
from lightning_collapse.analysis.intervals import Interval
from lightning_collapse.analysis.zeta import Amplification, Zeta, amplification, zetas
from lightning_collapse.analysis.zeta_figure import draw_zetas
from lightning_collapse.commands.arguments import run_command
from lightning_collapse.toys.tables import command_line, open_folder, write_summary

__all__ = ["main", "zeta"]


def main(arguments: list[str]) -> None:
    """Runs the command."""
    run_command("analyse zeta", zeta, arguments)


def zeta(runs: list[Path], out: Path = Path("runs/zeta")) -> None:
    """Tells what samples among the training rows cost, and whether larger networks amplify it.

    ζ is the held-out loss of mixed runs minus that of runs on real rows alone, at the same rows
    and compute, paired by seed. Writes summary.json and a figure.

    Args:
        runs: folders of runs, or of many of them, such as those of plans/zeta_points.yaml: of
            several shares of samples and widths of the network, and of real rows at each width.
        out: folder for the results.
    """
    told = zetas(conditions(find_runs(runs)))
    amplified = amplification(told)
    open_folder(out)
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
        command_line("analyse zeta", *runs),
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
