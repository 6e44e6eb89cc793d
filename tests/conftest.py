"""NVIDIA's reference outputs, one test case per network found in the fixtures' folder.

`pytest --fixtures-dir DIR` reads another folder than tests/fixtures. Inception's weights are found
as the commands find them. What asks for them is marked `oracles`, and skipped where there are
none; with `--no-skips`, as `make oracles` has it, whatever would be skipped fails.
"""

import json
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lightning_collapse import __main__ as door
from lightning_collapse.commands.quiet import NOTES


@dataclass(frozen=True)
class Reference:
    """A network of NVIDIA's: constructor arguments, weights, and inputs with outputs by name."""

    init_kwargs: dict[str, Any]
    weights: dict[str, torch.Tensor]
    tensors: dict[str, torch.Tensor]


def pytest_addoption(parser):
    parser.addoption(
        "--fixtures-dir",
        type=Path,
        default=Path(__file__).parent / "fixtures",
        help="folder with reference outputs of NVIDIA's networks (default: tests/fixtures)",
    )
    parser.addoption("--no-skips", action="store_true", help="a test that is skipped has failed")


def pytest_configure(config):
    for note in NOTES:
        config.addinivalue_line("filterwarnings", f"ignore:{note}")


def pytest_collection_modifyitems(items):
    for item in items:
        if "inception_weights" in item.fixturenames:
            item.add_marker("oracles")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    report = yield
    if report.skipped and item.config.getoption("--no-skips"):
        report.outcome, report.longrepr = "failed", f"skipped: {report.longrepr[-1]}"
    return report


def pytest_generate_tests(metafunc):
    if "reference" in metafunc.fixturenames:
        folder = metafunc.config.getoption("--fixtures-dir")
        stems = [path.with_suffix("") for path in sorted(folder.glob("*.json"))]
        stems = [stem for stem in stems if Path(f"{stem}_weights.npz").exists()]
        metafunc.parametrize("reference", stems, ids=lambda stem: stem.name, indirect=True)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Keeps to one thread, on whose number the last bits of sums depend; undoes `run_fit`."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    torch.set_flush_denormal(False)


@pytest.fixture
def cli(monkeypatch, capsys) -> Callable[..., tuple[int, str, str]]:
    """Runs a command in this process; gives its exit status, what it said, and its errors."""

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["lightning-collapse", *map(str, words)])
        try:
            door.main()
            status = 0
        except SystemExit as end:
            status = end.code
        return status, *capsys.readouterr()

    return run


@pytest.fixture
def documented(cli, tmp_path, monkeypatch) -> Iterator[Callable[[str], Callable[..., Any]]]:
    """Makes the documentation's example under a heading mine.py in a folder; gives `cli` there."""

    def in_folder(heading: str) -> Callable[..., Any]:
        text = (Path(__file__).parents[1] / "docs" / "extending.md").read_text()
        section = text.partition(f"## {heading}\n")[2]
        (tmp_path / "mine.py").write_text(re.search(r"```python\n(.*?)```", section, re.S)[1])
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "path", sys.path[:])
        return cli

    yield in_folder
    sys.modules.pop("mine", None)


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory) -> Path:
    """A finished run of one round; copy it before you change it."""
    from tiny_runs import Fit

    run = tmp_path_factory.mktemp("tiny_run")
    torch.set_num_threads(1)
    Fit(run, rounds=1)()
    return run


@pytest.fixture
def reference(request) -> Reference:
    stem = request.param
    init_kwargs = json.loads(Path(f"{stem}.json").read_text())["init_kwargs"]
    return Reference(init_kwargs, tensors(f"{stem}_weights.npz"), tensors(f"{stem}_reference.npz"))


def tensors(path: str) -> dict[str, torch.Tensor]:
    with np.load(path) as file:
        return {name: torch.from_numpy(file[name]) for name in file.files}


@pytest.fixture(scope="session")
def inception_weights() -> Path:
    # Not above: torchvision takes a second to import.
    from lightning_collapse.metrics.inception_weights import find_weights

    try:
        return find_weights(None, download=False)
    except FileNotFoundError:
        pytest.skip("no Inception weights: `make oracles` installs them")
