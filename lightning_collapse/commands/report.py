"""`lightning-collapse report`: one page of runs that a reviewer can believe."""

import warnings
from collections.abc import Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lightning_collapse.analysis.conditions import find_runs
from lightning_collapse.commands.arguments import run_command
from lightning_collapse.commands.paths import check_file
from lightning_collapse.commands.wandb_account import wandb_account
from lightning_collapse.data.files import make_folder, write_atomically
from lightning_collapse.papers.running import VERDICTS, read_verdicts
from lightning_collapse.papers.table import CLAIMS, FINDINGS, RULE, claim_rows, finding_rows
from lightning_collapse.report.comparison import Comparison, compare, told_in_a_line
from lightning_collapse.report.log import append_log
from lightning_collapse.report.page import Table, page, save_figures
from lightning_collapse.report.words import closing
from lightning_collapse.runs.records import check_runs
from lightning_collapse.sweeps.study import Study

__all__ = ["main", "report"]


def main(arguments: list[str]) -> None:
    """Runs the command."""
    words = ["--out" if word == "-o" else word for word in arguments]
    run_command("report", report, words, reads=["runs"])


def report(
    runs: list[Path],
    out: Path = Path("report.html"),
    figures: Path | None = None,
    log: Path | None = None,
    wandb: str | None = None,
    claims: Path | None = None,
) -> None:
    """Writes one page of runs: verdict, curves, samples, and what they were made by.

    It is made of the runs' records and sample rows, needs no network, and says first whether they
    collapse, by what rule, and what is missing for more to be told.

    Args:
        runs: folders of runs, of sweeps, or of kept records (rounds.jsonl and config.yaml).
        out: the page; also `-o`.
        figures: folder for the figures as PNG, SVG and PDF.
        log: experimental log in Markdown, such as EXPERIMENTS.md, to which each run is added that
            is not in it with its last round.
        wandb: ENTITY/PROJECT of W&B, in which a workspace of the runs' figures is made, by regime
            and λ; for those who are logged in, with `pip install wandb-workspaces`.
        claims: folder of `reproduce`, whose verdicts on published claims become a section.
    """
    check_runs(runs)
    check_file("out", out)
    check_file("log", log)
    # A file in it can be made where a folder can.
    check_file("figures", figures and figures / "figure.png")
    if wandb is not None:
        _check_wandb(wandb)
    further = {} if claims is None else {"Published claims": _claims(claims)}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = find_runs(runs)
    if not found:
        raise ValueError(f"runs = {runs[0]}: holds no run with a finished round")
    title = ", ".join(path.resolve().name for path in runs[:3]) + ", …" * (len(runs) > 3)
    left_out = [str(each.message) for each in caught]
    with told_in_a_line(runs[0]):
        comparisons = compare(found)
        text = page(comparisons, title, _commands(runs), left_out, further)
    # The log first: what is there may be no text.
    added = [] if log is None else append_log(log, found)
    make_folder(out.parent)
    write_atomically(out, lambda file: file.write(text.encode()))
    for one in comparisons:
        print(f"{one.title}: {closing(one)}" if len(comparisons) > 1 else closing(one))
    if figures is not None:
        save_figures(comparisons, figures)
        print(f"figures: {figures}")
    if log is not None:
        print(f"log: {log}, {len(added)} of {len(found)} runs added")
    print(f"report: {out}")
    if wandb is not None:
        _push(comparisons, wandb, title)


def _claims(folder: Path) -> tuple[str, Sequence[Table]]:
    if not (verdicts := read_verdicts(folder)):
        raise ValueError(
            f"claims = {folder}: holds no {VERDICTS}; `reproduce -o {folder}` makes it"
        )
    with told_in_a_line(folder / VERDICTS):
        tables: list[Table] = [(CLAIMS, claim_rows(verdicts)), (FINDINGS, finding_rows(verdicts))]
        return RULE.replace("*", ""), tables


def _check_wandb(project: str) -> None:
    if not all(project.partition("/")) or project.count("/") > 1:
        raise ValueError(f"wandb = {project}: must be ENTITY/PROJECT")
    if find_spec("wandb_workspaces") is None:
        raise ValueError(
            f"wandb = {project}: needs wandb-workspaces; `pip install wandb-workspaces`"
        )
    known, told = wandb_account()
    if not known:
        raise ValueError(f"wandb = {project}: {told}")


def _push(comparisons: Sequence[Comparison], project: str, name: str) -> None:
    from lightning_collapse.report.workspace import workspace_of

    entity, _, short = project.partition("/")
    made: Any = workspace_of(comparisons, entity, short, name)
    try:
        print(f"workspace: {made.save().url}")
    except Exception as error:  # of whatever it talks to
        said = str(error).strip().splitlines() or [type(error).__name__]
        raise OSError(f"wandb = {project}: W&B took no workspace ({said[0]:.200})") from None


def _commands(paths: Sequence[Path]) -> dict[Path, str]:
    """The commands of sweeps' runs, by their folders."""
    known: dict[Path, str] = {}
    for folder in dict.fromkeys(p for path in paths for p in (path, path.parent)):
        with suppress(OSError, ValueError):  # no study's
            known |= {run.folder.resolve(): run.command for run in Study.at(folder).runs}
    return known
