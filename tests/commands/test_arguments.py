"""`Sampling` as options of a command."""

import math
import subprocess
import sys
from pathlib import Path

import pytest

from lightning_collapse.commands.arguments import run_command
from lightning_collapse.sampling.choice import Sampling


@pytest.fixture
def taken():
    """Calls a command that takes a sampling; gives what it was called with."""

    def take(*words: str, default: Sampling = Sampling(), **options) -> dict:  # noqa: B008
        called = {}

        def command(n: int, sampling: Sampling = default, name: str = "x") -> None:
            """Does nothing.

            Args:
                n: a number.
                sampling: solver and schedule.
                name: a name.
            """
            called.update(n=n, sampling=sampling, name=name)

        run_command("test", command, list(words), **options)
        return called

    return take


def test_a_command_has_the_fields_of_a_sampling_as_options(taken):
    words = "3 --steps 7 --solver heun --schedule karras --sigma_min 0.1 --sigma-max 9 --rho 5"
    churn = "--S_churn 4 --S_min 0.2 --S_max .inf --S_noise 1.01 --name y"
    found = taken(*words.split(), *churn.split())
    wanted = Sampling("heun", "karras", 7, 0.1, 9.0, 5.0, 4.0, 0.2, math.inf, 1.01)
    assert found == {"n": 3, "sampling": wanted, "name": "y"}


@pytest.mark.parametrize("default", [Sampling(), Sampling("heun", "karras", 18)])
def test_its_defaults_are_the_commands(taken, default):
    assert taken("3", default=default)["sampling"] == default


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--steps=0"], "steps = 0: must be at least 1"),
        (
            ["--solver=huen"],
            "solver = huen: must be one of dpmpp_3m, dpmpp_2m, heun, euler, unipc_3m; did",
        ),
        (["--num_steps=4"], "num_steps: unknown key"),
        (["--S_churn=4"], "S_churn = 4.0: only solver heun takes fresh noise"),
    ],
)
def test_a_mistake_is_a_line(taken, capsys, words, said):
    with pytest.raises(SystemExit):
        taken("3", *words)
    assert capsys.readouterr().err.startswith(f"error: {said}")


def test_a_field_that_the_command_has_no_use_for_is_no_option(taken, capsys):
    with pytest.raises(SystemExit):
        taken("3", "--rho", "5", without=["rho"])
    assert "rho: unknown key" in capsys.readouterr().err
    assert taken("3", "--steps", "5", without=["rho"])["sampling"] == Sampling(num_steps=5)


def test_a_sampling_is_known_before_torch_is_there():
    code = "import sys; from lightning_collapse.sampling.choice import Sampling as S; S('heun')"
    said = subprocess.run(
        [sys.executable, "-c", f"{code}; print('torch' in sys.modules)"],
        check=True,
        capture_output=True,
    )
    assert said.stdout.strip() == b"False"


@pytest.mark.parametrize("words", ["~/a", "--path=~/a", "--config ~/c.yaml"])
def test_a_tilde_is_the_users_home_in_every_path(tmp_path, monkeypatch, words):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "c.yaml").write_text("path: ~/a\n")
    called = {}

    def command(path: Path | None = None) -> None:
        called["path"] = path

    positional = not words.startswith("--")
    if positional:

        def command(path: Path) -> None:  # noqa: F811
            called["path"] = path

    run_command("test", command, words.split())
    assert called == {"path": tmp_path / "a"}
