"""Whatever fails, and wherever, the same command then ends the same run."""

import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def swept(script: str, folder: Path, every: int) -> None:
    done = subprocess.run(
        [sys.executable, HERE / f"{script}.py", folder, str(every)],
        env={
            "PYTHONPATH": f"{HERE.parent}:{HERE}",
            "OMP_NUM_THREADS": "1",
            "PATH": "/usr/bin:/bin",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    print(done.stdout)


@pytest.mark.faults
@pytest.mark.parametrize(
    ("script", "every"),
    [
        ("sweep", 41),
        ("troubles", 41),
        pytest.param("ranks", 97, marks=pytest.mark.ddp),
        pytest.param("stops", 11, marks=pytest.mark.ddp),
    ],
)
def test_some_faults_lose_nothing(tmp_path, script, every):
    swept(script, tmp_path, every)


@pytest.mark.slow
@pytest.mark.faults
@pytest.mark.parametrize(
    "script",
    [
        "sweep",
        "troubles",
        pytest.param("ranks", marks=pytest.mark.ddp),
        pytest.param("stops", marks=pytest.mark.ddp),
    ],
)
def test_no_fault_loses_anything(tmp_path, script):
    swept(script, tmp_path, 1)
