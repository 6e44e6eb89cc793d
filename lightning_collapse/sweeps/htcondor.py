"""A study on HTCondor: a submit file of the runs that are left, for machines that share no disk.

    sweeps/lambda-grid/htcondor/
      job.sub      for `condor_submit`: universe vanilla, or container if the plan names an image
      events.log   what HTCondor tells of the jobs

A run's folder travels with its job. Every hour, and when the job is evicted, the run saves and
ends with status 85; HTCondor then keeps the folder, and starts the same command again, here or on
another machine. What ends for good comes back into the study's folder.
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning_collapse.data.files import make_folder, write_atomically
from lightning_collapse.sweeps.study import PlannedRun, Study

__all__ = ["write_submit_file"]

_STOPPED = 85
_SECONDS = 3600
# Tells the run to save, from time to time; it hands SIGTERM on, and gives the run's own status.
_TIMEOUT = "--foreground --preserve-status --signal=USR1"
_OURS = ("arguments", "transfer_output_files", "transfer_checkpoint_files", "initialdir", "queue")


def write_submit_file(
    study: Study, runs: Sequence[PlannedRun], at_once: int | None = None
) -> Path:
    """Writes the submit file.

    Args:
        study: whose runs they are, and whose plan holds submit commands as `htcondor`. Of these
            `container_image` chooses the universe; `program` names `lightning-collapse` where the
            job runs (default: in the image by its name, else as here), `checkpoint_seconds` how
            often a run saves; files named by `transfer_input_files` travel with every job.
        runs: that are left.
        at_once: most jobs of them at a time.

    Raises:
        ValueError: the plan is of toys, which do not go on; or a submit command is not sound.
        OSError: the folder cannot be written.
    """
    plan = study.plan
    if plan.config is None:
        raise ValueError(f"toy = {plan.toy}: cannot be evicted; choose another launcher")
    asked = dict(plan.launchers.get("htcondor", {}))
    for key, value in asked.items():
        if key in _OURS or not key.isidentifier() or len(str(value).splitlines()) != 1:
            raise ValueError(f"htcondor.{key} = {value}: must be a submit command other than ours")
    make_folder(folder := study.folder / "htcondor")
    commands = _commands(study, asked)
    if at_once:
        commands["max_materialize"] = at_once
    lines = ["# Written by `lightning-collapse sweep --launcher htcondor`: a job is a run."]
    lines += [f"{key} = {value}" for key, value in commands.items()]
    lines += ["", "queue run, words from (", *(_item(study, run) for run in runs), ")", ""]
    text = "\n".join(lines)
    path = folder / "job.sub"
    write_atomically(path, lambda file: file.write(text.encode()))
    return path


def _commands(study: Study, asked: dict[str, Any]) -> dict[str, Any]:
    image = asked.get("container_image")
    here = Path(sys.executable).with_name("lightning-collapse")
    program = asked.pop("program", "lightning-collapse" if image else here)
    if len(str(program).split()) != 1:
        raise ValueError(f"htcondor.program = {program}: must be one word, a program's path")
    seconds = asked.pop("checkpoint_seconds", _SECONDS)
    if type(seconds) is not int or seconds < 1:
        raise ValueError(f"htcondor.checkpoint_seconds = {seconds}: must be a whole number >= 1")
    sent = [str(Path(str(study.plan.config)).resolve()), *_listed(asked)]
    folder = (study.folder / "htcondor").resolve()
    return {
        "universe": "container" if image else "vanilla",
        "executable": "/usr/bin/timeout",
        "transfer_executable": "false",
        "arguments": f'"{_TIMEOUT} {seconds} {program} $(words)"',
        "initialdir": study.folder.resolve(),
        "should_transfer_files": "YES",
        "when_to_transfer_output": "ON_EXIT_OR_EVICT",
        "transfer_input_files": ", ".join([*sent, "$(run)"]),
        "transfer_output_files": "$(run)",
        "checkpoint_exit_code": _STOPPED,
        "transfer_checkpoint_files": "$(run)",
        "kill_sig": "SIGTERM",
        "output": "$(run).log",
        "error": "$(run).log",
        "stream_output": "false",
        "log": folder / "events.log",
        "request_cpus": 1,
        "request_memory": "4GB",
        "request_disk": "4GB",
        **asked,
    }


def _listed(asked: dict[str, Any]) -> list[str]:
    given = str(asked.pop("transfer_input_files", ""))
    return [str(Path(name.strip()).resolve()) for name in given.split(",") if name.strip()]


def _item(study: Study, run: PlannedRun) -> str:
    """Gives a run's line, its folder and its words; makes the folder."""
    config = str(study.plan.config)
    # Everything lies flat in the job's folder, and no other run's is there to share.
    flat: Mapping[str, str] = {config: Path(config).name, str(run.folder): run.name}
    words = [flat.get(word, word) for word in run.words]
    at = words.index("--share")
    words[at : at + 2] = ["--exit_code_on_stop", str(_STOPPED)]
    # Which is sent, too: empty the first time.
    make_folder(run.folder)
    return f"{run.name} {' '.join(map(_quoted, words))}"


def _quoted(word: str) -> str:
    """Gives a word as HTCondor's new syntax of arguments has it, within double quotes."""
    if "\n" in word:
        raise ValueError(f"{word!r:.100}: HTCondor's arguments have no line ends")
    word = word.replace("$(", "$(DOLLAR)(").replace('"', '""').replace("'", "''")
    return f"'{word}'" if not word or set(word) & set(" \t'") else word
