"""`lightning-collapse sweep`: all runs of a plan, on this machine or handed to a cluster."""

import contextlib
import io
import logging
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from lightning_collapse.commands import toy
from lightning_collapse.commands.arguments import run_command
from lightning_collapse.data.foreign.plain_yaml import load_yaml
from lightning_collapse.runs.config_file import run_digest, same_first_round
from lightning_collapse.sweeps.claims import Claims
from lightning_collapse.sweeps.kept import Kept
from lightning_collapse.sweeps.local import Driver, gpus_here, slots
from lightning_collapse.sweeps.plan import Plan
from lightning_collapse.sweeps.study import STUDIES, Check, Checked, PlannedRun, Study
from lightning_collapse.toys.tables import only_checks

if TYPE_CHECKING:
    from lightning_collapse.commands.fit import OptionsOf

__all__ = ["Asked", "main", "sweep"]


@dataclass(frozen=True)
class Asked:
    """What the command line asks of a launcher.

    Attributes:
        devices: as given, such as `0,1` or `cpu,cpu`.
        at_once: most runs at a time.
        kept: where records are kept as runs end.
    """

    devices: str | None = None
    at_once: int | None = None
    kept: Kept | None = None


Launcher: TypeAlias = Callable[[Study, list[PlannedRun], Asked], int]
"""Starts, or submits, the runs that are left; gives the exit status."""

_LAUNCHERS = {
    "local": "lightning_collapse.commands.sweep:_local",
    "print": "lightning_collapse.commands.sweep:_print",
    "slurm": "lightning_collapse.commands.launchers:slurm",
    "htcondor": "lightning_collapse.commands.launchers:htcondor",
    "wandb": "lightning_collapse.commands.launchers:wandb",
}
_FLAGS = ("--status", "--retry-failed", "--retry_failed")


def main(arguments: list[str]) -> None:
    """Runs the command."""
    words = [f"{word}=true" if word in _FLAGS else word for word in arguments]
    run_command("sweep", sweep, words)


def sweep(
    plan: Path,
    launcher: Literal["local", "slurm", "htcondor", "wandb", "print"] = "local",
    devices: str | None = None,
    at_once: int | None = None,
    status: bool = False,
    retry_failed: bool = False,
    within: Path = STUDIES,
    records: Path | None = None,
) -> None:
    """Runs all that a plan asks for, or goes on with it.

    Args:
        plan: the plan, a YAML file.
        launcher: what starts the runs: workers on this machine; SLURM, as one array; HTCondor or
            W&B's agents, of what is written for them; or nothing, and the commands of the runs
            that are left are printed.
        devices: one run at a time on each of these, such as 0,1 or cpu,cpu, or 0,0 for two that
            share a GPU. Default: every GPU, or as many of cpu as there are cores.
        at_once: most runs at a time. Default: as many as there are devices.
        status: tells how the runs stand, and starts none.
        retry_failed: tries those again that have ended with an error.
        within: folder in which the study has its own, of its name.
        records: folder where the records of every run that is done are kept, by the study's name
            and the run's; what is kept there is not run again, here or on another machine.
    """
    if at_once is not None and at_once < 1:
        raise ValueError(f"at_once = {at_once}: must be at least 1")
    slots(devices)  # refuses what names none
    for option, folder in (("within", within), ("records", records)):
        if folder is not None and folder.is_file():
            raise ValueError(f"{option} = {folder}: is a file; name a folder")
    told = Plan.read(plan)
    study = Study.of(told, checker(told), within)
    kept = None if records is None else Kept(records / told.name)
    if kept is not None:
        study = kept.marked(study)
    study.check_unchanged()
    if status:
        _tell(study)
        return
    if told.control is None and told.toy is None:
        print("the plan has no control: collapse cannot be told from retraining", file=sys.stderr)
    claims = Claims(study)
    left = [run for run in study.runs if not run.is_done]
    failed = [run for run in left if claims.ended(run).failed]
    if not retry_failed:
        left = [run for run in left if run not in failed]
    # What only prints leaves the study as it is.
    if launcher != "print":
        study.open()
        _keep(study, claims, kept)
        if retry_failed:
            claims.forgive(failed)
    if not left:
        _end(study, claims)
        return
    module, _, function = _LAUNCHERS[launcher].partition(":")
    start: Launcher = getattr(import_module(module), function)
    if code := start(study, left, Asked(devices, at_once, kept)):
        sys.exit(code)


def _keep(study: Study, claims: Claims, kept: Kept | None) -> None:
    for run in study.runs:
        if kept is not None and not claims.is_held(run):
            kept.keep(run)


def checker(plan: Plan) -> Check:
    """Gives what checks the commands of a plan's runs, without starting them."""
    if plan.toy:
        return _refusing(_check_toy)
    parser = cache(_parser)

    def check(words: Sequence[str]) -> Checked:
        options_of = parser()
        config = options_of(list(words[1:]))
        return Checked(
            digest=run_digest(config, options_of.defaults),
            round_zero=same_first_round(config),
            rounds=config["trainer"]["max_epochs"],
        )

    return _refusing(check)


def _refusing(check: Check) -> Check:
    """Makes of a command's own refusal an error, of which its run can be told."""

    def checked(words: Sequence[str]) -> Checked:
        said = io.StringIO()
        try:
            with contextlib.redirect_stderr(said):
                made = check(words)
        except SystemExit:
            raise ValueError(said.getvalue().strip().removeprefix("error: ")) from None
        sys.stderr.write(said.getvalue())
        return made

    return checked


def _parser() -> "OptionsOf":
    # Not above: Lightning takes seconds to import.
    from lightning_collapse.commands.fit import OptionsOf

    # Else Lightning tells the seed of every run.
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    return OptionsOf()


def _check_toy(words: Sequence[str]) -> Checked:
    if words[1] == "gmm-samples":
        raise ValueError("toy = gmm-samples: is no experiment; make its samples by itself")
    options = _toy_options(words[1:])
    with only_checks():
        toy.main(list(words[1:]))
    return Checked(run_digest({**options, "out": None}, _toy_options(words[1:2])))


# Where NVIDIA's driver has a file for each GPU: not under Windows' Linux, nor of AMD's.
_NUMBERED = sys.platform == "linux" and not any(map(os.path.exists, ("/dev/dxg", "/dev/kfd")))


def _toy_options(words: Sequence[str]) -> dict[str, Any]:
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            toy.main([*words, "--print_config"])
    except SystemExit as end:
        if end.code:
            raise
    options: dict[str, Any] = load_yaml(printed.getvalue(), "toy")
    return options


def _tell(study: Study) -> None:
    claims = Claims(study)
    for run in study.runs:
        state = claims.state(run)
        why = claims.ended(run) if state == "failed" else ""
        print(f"{state:8} {run.rounds_done:4}  {run.name}  {why}".rstrip())
    print(claims.line())


def _end(study: Study, claims: Claims) -> None:
    print(f"nothing to do: {claims.line()}")
    failed = [run for run in study.runs if claims.state(run) == "failed"]
    for run in failed:
        print(f"{run.name}: {claims.ended(run)}; see {run.log}", file=sys.stderr)
    if failed:
        print("--retry-failed tries them again", file=sys.stderr)
        sys.exit(1)


def _local(study: Study, runs: list[PlannedRun], asked: Asked) -> int:
    named, there = slots(asked.devices), gpus_here()
    for slot in named if asked.devices is not None and _NUMBERED else ():
        if slot.name.isdecimal() and int(slot.name) >= there:
            raise ValueError(
                f"devices = {asked.devices}: there is no GPU {slot.name} here, but {there}; name "
                "those that there are, or cpu"
            )
    return Driver(study, runs, named[: asked.at_once], kept=asked.kept).run()


def _print(study: Study, runs: list[PlannedRun], asked: Asked) -> int:
    for run in runs:
        print(run.command)
    return 0
