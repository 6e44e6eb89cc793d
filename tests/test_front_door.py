"""What a user meets first: the command, and the package's names."""

import importlib
import subprocess
import sys

import pytest

import lightning_collapse
from lightning_collapse import __main__ as door

# Fails the process if anything that takes seconds to import was imported.
_LIGHT = "import sys; slow = {'torch', 'numpy', 'jsonargparse'} & set(sys.modules); "
NAMES = ", ".join(door._COMMANDS)


def python(*arguments):
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, check=False
    )


def imported_by(statement):
    done = python("-c", f"{statement}\n{_LIGHT}print(*sorted(slow), file=sys.stderr)")
    assert done.returncode == 0, done.stderr
    return done.stderr.split()


def test_importing_the_package_is_cheap():
    assert imported_by("import lightning_collapse") == []


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["--version"], []])
def test_help_is_cheap(arguments):
    run = f"import sys; sys.argv[1:] = {arguments}; from lightning_collapse.__main__ import main"
    assert imported_by(f"{run}; main()") == []


def test_the_module_is_the_command():
    done = python("-m", "lightning_collapse", "--help")
    assert done.returncode == 0
    assert done.stdout.startswith("usage: lightning-collapse COMMAND")
    assert all(f"\n  {name} " in done.stdout for name in door._COMMANDS)
    done = python("-m", "lightning_collapse", "ploot")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == (f"error: command = ploot: must be one of {NAMES}; did you mean plot?\n")


def test_the_version_is_the_packages(cli):
    version = f"lightning-collapse {lightning_collapse.__version__}\n"
    assert cli("--version") == (0, version, "")


def test_an_unknown_command_unlike_any_gets_no_guess(cli):
    assert cli("xyz") == (2, "", f"error: command = xyz: must be one of {NAMES}\n")


@pytest.mark.parametrize("arguments", [["--help"], ["-h"]])
def test_plot_tells_its_use(cli, arguments):
    status, out, _ = cli("plot", *arguments)
    assert status == 0
    assert out.startswith("usage: lightning-collapse plot")
    assert "folder of the run, or folders of runs" in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "runs: missing; name it in the configuration or on the command line"),
        (["a", "--uot=b"], "uot: unknown key; did you mean out?"),
    ],
)
def test_plot_takes_runs(cli, arguments, said):
    assert cli("plot", *arguments) == (2, "", f"error: {said}\n")


def test_plot_names_a_folder_that_is_no_run(cli, tmp_path):
    status, _, errors = cli("plot", tmp_path / "none")
    assert status == 2
    (line,) = errors.splitlines()
    assert line.startswith(f"error: runs = {tmp_path / 'none'}: no such file or folder")


def test_ctrl_c_is_a_line_whatever_the_command(monkeypatch, cli):
    def interrupted(*named):
        raise KeyboardInterrupt

    monkeypatch.setattr("lightning_collapse.commands.table.entry", interrupted)
    assert cli("prepare", "set", "out") == (130, "", "stopped\n")


@pytest.mark.parametrize("name", lightning_collapse.__all__)
def test_every_public_name_resolves(name):
    value = getattr(lightning_collapse, name)
    assert value.__name__ == name
    assert name in importlib.import_module(value.__module__).__all__
    assert name in dir(lightning_collapse)


def test_there_is_no_public_name_more():
    assert set(lightning_collapse._MODULE_OF) == set(lightning_collapse.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Replce'"):
        lightning_collapse.Replce  # noqa: B018
