"""A run's folder: one process at a time, whatever has become of the one before."""

import os
import socket
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest

from lightning_collapse.runs.lock import RunFolder

HOLD = """
import sys
from pathlib import Path
from lightning_collapse.runs.lock import RunFolder
with RunFolder(Path(sys.argv[1])).locked():
    print("held", flush=True)
    input()
"""
HOLD_WITH_A_CHILD = """
import os, sys
from pathlib import Path
from lightning_collapse.runs.lock import RunFolder
with RunFolder(Path(sys.argv[1])).locked():
    child = os.fork()
    if child == 0:
        os.close(1)
        sys.stdin.buffer.raw.read()
        os._exit(0)
    print(child, flush=True)
    os.kill(os.getpid(), 9)
"""
NAME = """
import sys
from pathlib import Path
from lightning_collapse.runs.lock import RunFolder
folder = RunFolder(Path(sys.argv[1]))
print("ready", flush=True)
input()
print(folder.id)
"""


def python(code: str, run: Path) -> subprocess.Popen[str]:
    words = [sys.executable, "-c", code, str(run)]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    process.stdout.readline()
    return process


def test_a_second_process_is_told_who_has_the_folder(tmp_path):
    before = datetime.now().replace(microsecond=0)
    with python(HOLD, tmp_path) as holder:
        with pytest.raises(OSError, match=f"in use by process {holder.pid} on ") as refused:
            RunFolder(tmp_path).locked().__enter__()
        holder.stdin.close()
    said = str(refused.value)
    assert f" on {socket.gethostname()} since " in said
    since = datetime.fromisoformat(said.partition(" since ")[2].partition(";")[0])
    assert before <= since <= datetime.now()


def test_after_kill_9_the_next_gets_in_at_once(tmp_path):
    with python(HOLD, tmp_path) as holder:
        holder.kill()
    with RunFolder(tmp_path).locked():
        assert (tmp_path / ".lock").read_text().startswith("process ")


def test_after_kill_9_its_own_children_do_not_keep_the_next_out(tmp_path):
    words = [sys.executable, "-c", HOLD_WITH_A_CHILD, str(tmp_path)]
    holder = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    child = int(holder.stdout.readline())
    assert holder.wait() == -9
    os.kill(child, 0)
    with RunFolder(tmp_path).locked():
        holder.stdin.close()
    holder.stdout.close()


def test_processes_that_start_together_agree_on_the_runs_id(tmp_path):
    together = [python(NAME, tmp_path) for _ in range(6)]
    for process in together:
        process.stdin.write("\n")
        process.stdin.flush()
    names = {process.communicate()[0].strip() for process in together}
    assert names == {RunFolder(tmp_path).id} and len(names.pop()) == 16
    assert not list(tmp_path.glob(".*.tmp"))


def test_what_killed_writes_have_left_is_removed(tmp_path):
    folder = RunFolder(tmp_path)
    left = [tmp_path / ".rounds.jsonl.7.tmp", tmp_path / "checkpoints" / ".last.ckpt.7.tmp"]
    for path in left:
        path.write_bytes(b"half")
    with folder.locked():
        assert not any(path.exists() for path in left)


def test_an_empty_folder_that_another_process_holds_is_not_discarded(tmp_path):
    # Both have started before there was a folder.
    second = RunFolder(tmp_path / "run")
    with python(HOLD, tmp_path / "run") as holder:
        second.discard_if_empty()
        assert (tmp_path / "run" / ".lock").exists()
        holder.stdin.close()
    second.discard_if_empty()
    assert not (tmp_path / "run").exists()


def test_only_the_first_of_a_runs_processes_makes_its_folder(tmp_path):
    RunFolder(tmp_path / "run", make=False).discard_if_empty()
    assert not list(tmp_path.iterdir())
