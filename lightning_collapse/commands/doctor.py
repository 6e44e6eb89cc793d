"""`lightning-collapse doctor`: whether a run can be made here, and what to do if not.

What needs torch is asked in a process of its own, meanwhile and for a few seconds only: a GPU's
driver, or a cluster's file system, may hang.
"""

import fcntl
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any, Literal, NamedTuple

from packaging.requirements import Requirement

from lightning_collapse import __version__
from lightning_collapse.commands.arguments import run_command
from lightning_collapse.commands.wandb_account import wandb_account
from lightning_collapse.data.foreign.plain_yaml import load_yaml

__all__ = ["doctor", "main"]

# Seconds that torch, and that a cluster's commands, have to answer.
_TORCH, _CLUSTER = 4.0, 2.0
_LEAST_SPACE = 2**30
_INSTALL = "`pip install -e .` in the clone puts it right"

_ASK_TORCH = """
import torch
for i in range(torch.cuda.device_count()):
    at = torch.cuda.get_device_properties(i)
    print(f"device cuda:{i} {at.name}, {at.total_memory / 2**30:.0f} GiB")
if torch.backends.mps.is_available():
    print("device mps")
print("hub", torch.hub.get_dir(), flush=True)
from lightning_collapse.metrics.inception_weights import find_weights
try:
    print("weights", find_weights(None, download=False))
except OSError as error:
    print("missing", error)
"""


class Finding(NamedTuple):
    """What was found out about one thing.

    Attributes:
        level: `ok`; `note` for what a run can do without; `FAIL` for what it cannot.
        about: what it is about, in a word.
        text: what is there, or what to do about it.
    """

    level: Literal["ok", "note", "FAIL"]
    about: str
    text: str


def main(arguments: list[str]) -> None:
    """Runs `lightning-collapse doctor`; exit status 1 if a run cannot be made here."""
    run_command("doctor", doctor, arguments, positional=False)


def doctor(folder: Path = Path(".")) -> None:
    """Tells, within 5 seconds, whether a run can be made here, and what to do if not.

    Args:
        folder: in which runs are to lie.

    Raises:
        FileNotFoundError: there is no such folder.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"folder = {folder}: no such folder; make it first")
    failed = False
    for level, about, text in _findings(folder):
        failed |= level == "FAIL"
        print(f"{level:4}  {about:9}  {' '.join(text.split())}", flush=True)
    if failed:
        sys.exit(1)


def _findings(folder: Path) -> Iterator[Finding]:
    start = time.monotonic()
    with tempfile.TemporaryFile("w+") as said:
        torch = subprocess.Popen([sys.executable, "-c", _ASK_TORCH], stdout=said, stderr=said)
        yield from (_versions(), *_disk(folder), *_data(), _slurm(), _htcondor(), _wandb())
        status = _ended(torch, start + _TORCH - time.monotonic())
        torch.kill()
        _ended(torch, 2.0)
        said.seek(0)
        yield from _torch(said.read().splitlines(), status)


def _ended(process: "subprocess.Popen[bytes]", patience: float) -> int | None:
    """Gives a process's exit status; None if it has not ended in so many seconds."""
    with suppress(subprocess.TimeoutExpired):
        return process.wait(max(0.0, patience))
    return None


def _versions() -> Finding:
    try:
        needed = [Requirement(text) for text in requires("lightning-collapse") or []]
    except PackageNotFoundError:
        return Finding("FAIL", "versions", f"lightning-collapse is not installed; {_INSTALL}")
    needed = [need for need in needed if need.marker is None]
    wrong = [f"{need} ({_installed(need.name)})" for need in needed if not _satisfied(need)]
    if wrong:
        return Finding("FAIL", "versions", f"{', '.join(wrong)}; {_INSTALL}")
    told = [f"{name} {_installed(name)}" for name in ("torch", "pytorch-lightning", "wandb")]
    python = f"Python {platform.python_version()}"
    text = f"lightning-collapse {__version__}, {python}, {', '.join(told)}"
    return Finding("ok", "versions", text)


def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _satisfied(need: Requirement) -> bool:
    there = _installed(need.name)
    return there != "not installed" and need.specifier.contains(there, prereleases=True)


def _disk(folder: Path) -> Iterator[Finding]:
    """Tries what a run does to its folder, in a file that is removed again."""
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".doctor.") as file:
            yield _locks(folder, file.name)
            file.write(bytes(2**20))
            file.flush()
            start = time.monotonic()
            os.fsync(file.fileno())
            took = time.monotonic() - start
            yield Finding("ok", "fsync", f"1 MiB is on disk in {1000 * took:.0f} ms")
    except OSError as error:
        there = f"{folder} cannot be written ({error.strerror}); name another --folder"
        yield Finding("FAIL", "disk", there)
    free = shutil.disk_usage(folder).free
    space = f"{free / 2**30:.1f} GiB free in {folder.resolve()}"
    if free < _LEAST_SPACE:
        yield Finding("FAIL", "space", f"{space}; a run of images needs 1 GiB or more")
    else:
        yield Finding("ok", "space", f"{space}; a quota may allow less")


def _locks(folder: Path, path: str) -> Finding:
    kind = _file_system(folder)
    try:
        with open(path) as first, open(path) as second:
            fcntl.flock(first, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with suppress(BlockingIOError):
                fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return Finding("FAIL", "locks", f"do not keep out a second process ({kind})")
    except OSError as error:
        advice = f"none ({error.strerror}, {kind}); mount Lustre with `flock`, or use a local disk"
        return Finding("FAIL", "locks", advice)
    return Finding("ok", "locks", f"hold on this machine ({kind}); between machines, untried here")


def _file_system(folder: Path) -> str:
    """Names the kind of the file system on which a folder is, as the kernel does."""
    best, kind, path = "", "a file system unknown", str(folder.resolve())
    with suppress(OSError):
        for line in Path("/proc/mounts").read_text().splitlines():
            _, mounted, of_kind, *_ = line.split(" ")
            inside = path == mounted or path.startswith(mounted.rstrip("/") + "/")
            if inside and len(mounted) >= len(best):
                best, kind = mounted, of_kind
    return kind


def _data() -> Iterator[Finding]:
    """Looks for what the configurations beside name, and do not find."""
    paths = sorted(Path("configs").glob("*.yaml"))
    if not paths:
        yield Finding("note", "data", "no configs/ here: run it where the clone is")
        return
    for path in paths:
        for key, named in _files_named(path):
            if not named.exists():
                text = f"{path}: {key} = {named}: is not there; {_WAYS[key]}"
                yield Finding("note", "data", text)


_WAYS = {
    "data.source": "`lightning-collapse prepare` makes it",
    "data.source.root": "set data.source.download to true, or put the set there",
    "model.init_from": "`lightning-collapse convert` makes it of NVIDIA's file",
}


def _files_named(path: Path) -> Iterator[tuple[str, Path]]:
    try:
        told: Any = load_yaml(path.read_text(), str(path))
        source = told.get("data", {}).get("source", {})
        options = source.get("init_args", {})
        named = {"data.source": options.get("path")}
        if not options.get("download"):
            named["data.source.root"] = options.get("root")
        named["model.init_from"] = told.get("model", {}).get("init_from")
    except (AttributeError, ValueError, OSError):
        return
    yield from ((key, Path(text)) for key, text in named.items() if isinstance(text, str))


def _slurm() -> Finding:
    if job := os.environ.get("SLURM_JOB_ID"):
        return Finding("ok", "SLURM", f"this is in job {job}; start the run by `srun`")
    return _cluster("SLURM", "sbatch", ["sinfo", "--noheader", "--format=%P %D nodes %t"])


def _htcondor() -> Finding:
    query = ["condor_status", "-schedd", "-af", "Name"]
    return _cluster("HTCondor", "condor_submit", query)


def _cluster(name: str, submit: str, query: list[str]) -> Finding:
    if shutil.which(submit) is None:
        return Finding("note", name, f"no {submit} on the PATH: not a machine to submit from")
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=_CLUSTER)
    except (OSError, subprocess.TimeoutExpired) as error:
        return Finding("note", name, f"is installed, and does not answer ({error})")
    lines = done.stdout.split("\n")
    if done.returncode or not lines[0]:
        return Finding("note", name, f"is installed, and does not answer ({done.stderr:.200})")
    return Finding("ok", name, f"answers: {', '.join(line for line in lines[:4] if line)}")


def _wandb() -> Finding:
    mode = os.environ.get("WANDB_MODE", "offline")
    if mode != "online":
        text = f"{mode}, as WANDB_MODE says" if "WANDB_MODE" in os.environ else "offline"
        return Finding("ok", "W&B", f"{text}; WANDB_MODE=online sends ({wandb_account()[1]})")
    known, text = wandb_account()
    return Finding("ok" if known else "note", "W&B", f"online; {text}")


def _torch(lines: list[str], status: int | None) -> Iterator[Finding]:
    told: dict[str, list[str]] = {}
    for line in lines:
        name, _, rest = line.partition(" ")
        told.setdefault(name, []).append(rest)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    if "hub" in told:
        devices = [*told.get("device", []), f"cpu, {cores} cores"]
        yield Finding("ok", "devices", "; ".join(devices))
    elif status:
        why = lines[-1] if lines else f"status {status}"
        yield Finding(
            "FAIL", "devices", f"torch cannot be imported ({why:.300}); install it again"
        )
        return
    else:
        slow = f"torch did not answer in {_TORCH:.0f} s; a first start is slow: ask again"
        yield Finding("note", "devices", f"{slow}, and look for a hanging GPU driver (nvidia-smi)")
    if "weights" in told:
        yield Finding("ok", "features", f"Inception weights: {told['weights'][0]}")
    elif "missing" in told:
        yield Finding("note", "features", told["missing"][0])
    else:
        yield Finding("note", "features", "Inception weights: not looked for, for want of torch")
