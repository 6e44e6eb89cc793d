"""`lightning-collapse reproduce`: published claims, run here and judged."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from lightning_collapse.commands.arguments import run_command
from lightning_collapse.data.files import write_atomically
from lightning_collapse.papers.claim import Task
from lightning_collapse.papers.running import chosen, claim_of, read_verdicts
from lightning_collapse.papers.running import reproduce as run_claims
from lightning_collapse.papers.table import line_of, listed, page
from lightning_collapse.sweeps.plan import Plan
from lightning_collapse.sweeps.study import Study
from lightning_collapse.toys.tables import open_folder

__all__ = ["main", "reproduce"]

_QUICK = 0.25
_FLAGS = ("--list", "--quick")


def main(arguments: list[str]) -> None:
    """Runs the command."""
    words = [f"{word}=true" if word in _FLAGS else word for word in arguments]
    run_command("reproduce", reproduce, ["--out" if word == "-o" else word for word in words])


def reproduce(
    names: list[str] | None = None,
    list: bool = False,
    quick: bool = False,
    out: Path = Path("runs/papers"),
    records: Path | None = None,
) -> None:
    """Runs published claims on toys, points and digits, and tells whether they hold here.

    Writes verdicts.json and claims.md, of all claims finished in the folder, and a figure a claim
    with theirs and ours. Claims that are finished are not run again.

    Args:
        names: of claims. Default: all but those that take runs of `fit`, which are hours; they
            are run where they are named.
        list: tells of every claim its name, source, data and cost, and runs none.
        quick: a quarter of the seeds of what is trained; `--list` tells what each claim takes.
        out: folder for the results, -o for short.
        records: folder where records of plans' runs are kept, as of `sweep`; what is kept there is
            not run again.
    """
    wanted = chosen(names or [])
    if list:
        for name in wanted:
            print(listed(name, claim_of(name)))
        return
    if not names:
        wanted = [name for name in wanted if not claim_of(name).by_plan]
    open_folder(out)
    task = Task(_QUICK if quick else 1.0, study=cache(lambda plan: _run_plan(plan, out, records)))
    for i, (name, verdict, now) in enumerate(run_claims(wanted, task, out), start=1):
        spent = f"{verdict['seconds']:.0f} s" if now else "done before"
        print(f"{line_of(name, verdict)}  [{i}/{len(wanted)}, {spent}]", flush=True)
    told, known = read_verdicts(out), chosen([])
    told = {name: told[name] for name in known if name in told}
    left = {} if names else {name: claim_of(name) for name in known if name not in told}
    text = page(told, _made_by(told), left)
    write_atomically(out / "claims.md", lambda file: file.write(text.encode()))
    print(f"results: {out}")


def _run_plan(path: Path, out: Path, records: Path | None = None) -> Study:
    """Runs a plan as `sweep` does, and gives its study."""
    from lightning_collapse.commands.sweep import sweep
    from lightning_collapse.sweeps.kept import Kept

    within = out / "sweeps"
    # Which ends the command where a run fails.
    sweep(path, within=within, records=records)
    study = Study.at(within / (name := Plan.read(path).name))
    return study if records is None else Kept(records / name).read_from(study)


def _made_by(told: Mapping[str, Mapping[str, Any]]) -> str:
    """The commands that make all verdicts of a folder, however many filled it."""
    unnamed = [name for name in chosen([]) if not claim_of(name).by_plan]
    whole = unnamed if told.keys() >= {*unnamed} else []
    rest = [name for name in told if name not in whole]
    commands = []
    for names, given in ((whole, []), (rest, rest)):
        efforts = [told[name].get("made_by", {}).get("effort", 1.0) for name in names]
        quick = ["--quick"] if min(efforts, default=1.0) < 1 else []
        if names:
            commands.append(" ".join(["lightning-collapse reproduce", *given, *quick]))
    return "` and `".join(commands)
