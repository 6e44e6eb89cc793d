"""Studies that analyses make for themselves: they write a plan, as `sweep` carries it through."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from lightning_collapse.commands.sweep import checker
from lightning_collapse.data.files import write_atomically
from lightning_collapse.sweeps.claims import Claims
from lightning_collapse.sweeps.local import Driver, slots
from lightning_collapse.sweeps.plan import Plan
from lightning_collapse.sweeps.study import PlannedRun, Study

__all__ = ["carry_through", "planned"]


def planned(plan: dict[str, Any], out: Path) -> Study:
    """Writes a plan beside the folder of its study, and checks all its runs.

    Raises:
        ValueError: an option is wrong.
        OSError: a file that an option names cannot be read.
    """
    path, text = out / f"{plan['name']}.yaml", yaml.safe_dump(plan, sort_keys=False)
    write_atomically(path, lambda file: file.write(text.encode()))
    told = Plan.read(path)
    study = Study.of(told, checker(told), out)
    study.check_unchanged()
    return study


def carry_through(
    study: Study,
    devices: str | None,
    runs: Sequence[PlannedRun] | None = None,
    until: float | None = None,
) -> None:
    """Makes runs of a study, or goes on with them; ends the command where that cannot be.

    Args:
        study: whose runs they are.
        devices: as `sweep` has it.
        runs: in the order in which they are started; None for all.
        until: when they save and stop, by `time.monotonic`; None for never. Not to have ended by
            then is no failure.
    """
    named = slots(devices)
    study.open()
    claims = Claims(study)
    if not (left := [run for run in runs or study.runs if not run.is_done]):
        return
    claims.forgive([run for run in left if claims.ended(run).failed])
    code = Driver(study, left, named, until=until).run()
    if code and (until is None or any(claims.ended(run).failed for run in left)):
        sys.exit(code)
