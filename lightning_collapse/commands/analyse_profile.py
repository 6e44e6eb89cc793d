"""`lightning-collapse analyse profile`: whether runs collapse, in each meaning of the word."""

import textwrap
from pathlib import Path

from lightning_collapse.analysis.conditions import conditions, find_runs
from lightning_collapse.analysis.meanings import headline_figure
from lightning_collapse.analysis.profile import Profile, chosen_control, profile_of, summary_of
from lightning_collapse.analysis.profile_figures import draw_profiles
from lightning_collapse.analysis.verdict import RULE
from lightning_collapse.commands.arguments import run_command
from lightning_collapse.runs.records import check_runs
from lightning_collapse.toys.tables import command_line, open_folder, write_summary

__all__ = ["main", "profile"]

_WIDTH = 99


def main(arguments: list[str]) -> None:
    """Runs the command."""
    run_command("analyse profile", profile, arguments)


def profile(
    runs: list[Path], control: list[Path] | None = None, out: Path = Path("runs/profile")
) -> None:
    """Tells whether runs collapse, in each of the eight meanings of the word in the literature.

    Runs that differ by seed alone are one condition. Writes summary.json, and figures of the
    excess over the control and of the distances between all rounds.

    Args:
        runs: folders of runs, or of many of them.
        control: the same of runs that retrain on real rows, of the same seeds; default: those
            among the runs that do, if any.
        out: folder for the results.
    """
    check_runs(runs)
    check_runs(control or [])
    read = conditions(find_runs(runs))
    named = conditions(find_runs(control)) if control else []
    chosen, beside = chosen_control(read, named)
    open_folder(out)
    profiles = [profile_of(condition, beside) for condition in chosen]
    print(f"control: {'none' if beside is None else beside.name}\nrule: {RULE}")
    for one in profiles:
        print(f"\n{_table(one)}")
    command = command_line("analyse profile", *runs, control=control)
    write_summary(out, command, conditions=[summary_of(one) for one in profiles])
    draw_profiles(out, profiles)
    print(f"\nresults: {out}")


def _table(one: Profile) -> str:
    condition = one.condition
    seeds = ", ".join(str(replica.seed) for replica in condition.runs)
    lines = [
        f"{condition.name}: seeds {seeds}; {condition.rounds} rounds",
        f"{headline_figure(condition)}: {one.verdict}",
    ]
    for told in one.answers:
        lines.append(f"  {told.meaning:30}{told.answer:16}{told.measure}: {told.value or '-'}")
        lines += textwrap.wrap(
            "; ".join(filter(None, (told.rule, told.why))),
            _WIDTH,
            initial_indent=" " * 32,
            subsequent_indent=" " * 32,
        )
    lines.append(f"  noise accumulation: {_exponent(one)}")
    lines.append(f"  distances: {one.why or _distances(one)}")
    return "\n".join(lines)


def _exponent(one: Profile) -> str:
    told = one.exponent
    value = (
        "no exponent" if told.value is None else f"exponent {told.interval or f'{told.value:.3g}'}"
    )
    return (
        f"{value}{f' ({told.why})' if told.why else ''}; 0 where data are replaced, -2 accumulated"
    )


def _distances(one: Profile) -> str:
    distances = one.distances
    if distances is None:
        return "-"
    real, last = f"{distances[0, 1]:.3g}", f"{distances[0, -1]:.3g}"
    return f"real to held out {real}, to the last round {last}, {one.rows} rows each"
