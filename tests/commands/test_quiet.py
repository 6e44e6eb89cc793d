"""Where SLURM is installed but not used, neither the command nor the tests hear of it."""

import warnings

import pytest
from lightning_fabric.plugins.environments import SLURMEnvironment

from lightning_collapse.commands.quiet import quieten


@pytest.fixture(autouse=True)
def srun(tmp_path, monkeypatch):
    """Puts a fake `srun` on the PATH, outside any SLURM job."""
    (tmp_path / "srun").write_text("#!/bin/sh\n")
    (tmp_path / "srun").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.delenv("SLURM_NTASKS", raising=False)


def test_the_tests_do_not_fail_where_srun_is():
    SLURMEnvironment.detect()  # under `filterwarnings = error`


@pytest.mark.parametrize(("silence", "count"), [(quieten, 0), (lambda: None, 1)])
def test_the_command_does_not_tell_of_srun(silence, count):
    with warnings.catch_warnings(record=True) as told:
        warnings.resetwarnings()
        silence()
        SLURMEnvironment.detect()
    assert len(told) == count
