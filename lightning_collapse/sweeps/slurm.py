"""A study on SLURM: one array of jobs, of which each task carries one run through.

    sweeps/lambda-grid/slurm/
      job.sh       what each task does
      jobs.txt     the arrays that were submitted
      3.log        what task 3 has printed beside its run, whose log is where it always is

A task's index is its run's place in `commands.txt`. A task whose time is up saves and requeues
itself; one that has ended with an error is left alone until that is forgiven, as it is anywhere.
"""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning_collapse.data.files import make_folder, write_atomically
from lightning_collapse.sweeps.claims import Claims, append
from lightning_collapse.sweeps.study import PlannedRun, Study

__all__ = ["submit"]

# Seconds to save before the time of a job is up; what a job prints goes on after a requeue.
_DEFAULTS = {"signal": "USR1@120", "requeue": True, "open-mode": "append"}
_OURS = ("array", "parsable", "wrap", "job-name", "output", "chdir")

_SCRIPT = """#!/bin/bash
# Written by `lightning-collapse sweep --launcher slurm`: a task of the array is one run.
cd {here} || exit 1
eval "set -- $(sed -n "$((SLURM_ARRAY_TASK_ID + 1))p" {commands})"
shift
for word; do
    case $before in --run | --out) run=$word ;; esac
    before=$word
done
name=${{run##*/}}
note() {{
    printf '{{"time": "%s", "event": "%s", "run": "%s", "slurm": "%s"%s}}\\n' \\
        "$(date +%FT%T%:z)" "$1" "$name" "${{SLURM_ARRAY_JOB_ID}}_$SLURM_ARRAY_TASK_ID" "$2" \\
        >>{claims}/events.jsonl
}}
exec 9>>{claims}/"$name.lock"
# Only of a file system that has locks: elsewhere one index is one run all the same.
flock --nonblock 9
if [ $? -eq 1 ]; then
    echo "$name: another process has it"
    exit 0
fi
export OMP_NUM_THREADS=${{OMP_NUM_THREADS:-${{SLURM_CPUS_PER_TASK:-1}}}}
note start
srun --kill-on-bad-exit {program} "$@" >>"$run.log" 2>&1 9>&-
code=$?
how=failed
[ $code -eq 0 ] && how=done
[ $code -gt 128 ] && how=stopped
note end ", \\"how\\": \\"$how\\", \\"code\\": $code, \\"line\\": \\"see $run.log\\""
exit $code
"""


def submit(study: Study, runs: Sequence[PlannedRun], at_once: int | None = None) -> str:
    """Submits the runs that are left, but for those that wait or run in SLURM already.

    Args:
        study: whose runs they are, and whose plan holds sbatch's options as `slurm`.
        runs: that are left.
        at_once: most tasks at a time.

    Returns:
        What was done, in one line.

    Raises:
        ValueError: an option cannot be one of sbatch's, or sbatch does not take it.
        OSError: there is no sbatch here, or the folder cannot be written.
    """
    options = _words({**_DEFAULTS, **study.plan.launchers.get("slurm", {})})
    folder, claims = study.folder / "slurm", Claims(study)
    make_folder(folder)
    # Of two drivers the second finds what the first has submitted.
    with claims.choosing():
        queued = _queued(study, folder / "jobs.txt")
        left = [i for i, run in enumerate(study.runs) if run in runs and i not in queued]
        if not left:
            return f"nothing to do: {len(queued)} runs are in SLURM's queue"
        script = _write(folder / "job.sh", study, claims)
        array = _ranges(left) + (f"%{at_once}" if at_once else "")
        output = f"--output={folder / '%a.log'}"
        name = f"--job-name={study.plan.name}"
        words = ["--parsable", f"--array={array}", name, output, *options, str(script)]
        job = _ask("sbatch", *words).partition(";")[0]
        append(folder / "jobs.txt", f"{job}\n".encode())
    return f"submitted as SLURM job {job}: {len(left)} runs, --array={array}"


def _write(path: Path, study: Study, claims: Claims) -> Path:
    text = _SCRIPT.format(
        here=shlex.quote(os.getcwd()),
        commands=shlex.quote(str(study.folder / "commands.txt")),
        claims=shlex.quote(str(claims.folder)),
        program=shlex.join([sys.executable, "-m", "lightning_collapse"]),
    )
    write_atomically(path, lambda file: file.write(text.encode()))
    return path


def _queued(study: Study, jobs: Path) -> set[int]:
    """Gives the indices of the study's tasks that wait, run or stop just now."""
    ours = set(jobs.read_text().split()) if jobs.is_file() else set()
    if not ours:
        return set()
    named = f"--name={study.plan.name}"
    told = _ask("squeue", "--noheader", "--array", "--me", named, "--format=%F %K")
    pairs = [line.split() for line in told.splitlines()]
    return {int(pair[1]) for pair in pairs if pair[0] in ours}


def _ask(*words: str) -> str:
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"launcher = slurm: no {words[0]} on the PATH; start the sweep where jobs are "
            "submitted from, or with another launcher"
        ) from error
    if done.returncode:
        raise ValueError(f"slurm: {words[0]} says: {done.stderr.strip()}")
    return done.stdout.strip()


def _words(options: Mapping[str, Any]) -> list[str]:
    """Gives options as sbatch's command line has them; those that are false are left out."""
    words = []
    for key, value in options.items():
        if not re.fullmatch(r"[a-z][a-z-]+", key) or isinstance(value, (list, dict)):
            raise ValueError(
                f"slurm.{key} = {value}: must be a long option of sbatch, and its value"
            )
        if key in _OURS:
            raise ValueError(f"slurm.{key} = {value}: is set by the sweep; leave it out")
        if value is not None and value is not False:
            words.append(f"--{key}" if value is True else f"--{key}={value}")
    return words


def _ranges(numbers: Iterable[int]) -> str:
    """Gives rising numbers as SLURM writes them: 0-2,5."""
    spans: list[list[int]] = []
    for number in numbers:
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ",".join(f"{a}" if a == b else f"{a}-{b}" for a, b in spans)
