"""Which experiments are the same, whatever the version that tells of them."""

import sys
from types import ModuleType

import pytest

from lightning_collapse.runs.config_file import run_digest

BEFORE = {"network": {"class_path": "own.Net", "init_args": {"width": 8, "betas": [0.9, 0.99]}}}


@pytest.fixture
def own(monkeypatch):
    """A module of classes, as some version has them."""
    module = ModuleType("own")
    monkeypatch.setitem(sys.modules, "own", module)
    return module


def test_options_that_a_later_version_of_a_class_adds_are_the_same_experiment(own):
    own.Net = lambda width, betas=(0.9, 0.999): None
    before = run_digest(BEFORE, {})
    own.Net = lambda width, betas=(0.9, 0.999), dropout=0.0, parts=None: None
    added = {**BEFORE["network"]["init_args"], "dropout": 0, "parts": None}
    after = {"network": {"class_path": "own.Net", "init_args": added}}
    assert run_digest(after, {}) == before
    assert run_digest({"all": [after]}, {}) == run_digest({"all": [BEFORE]}, {})
    added["dropout"] = 0.1
    assert run_digest(after, {}) != before


def test_what_is_usual_of_one_class_is_told_of_another(own):
    own.A, own.B = lambda x=1: None, lambda x=2: None

    def digest(name, x):
        config = {"regime": {"class_path": f"own.{name}", "init_args": {"x": x}}}
        usual = {"regime": {"class_path": "own.A", "init_args": {"x": 1}}}
        return run_digest(config, usual)

    assert len({digest("A", 1), digest("A", 2), digest("B", 1), digest("B", 2)}) == 4


def test_without_arguments_is_as_with_the_defaults(own):
    own.A = lambda x=1: None
    bare = [{"class_path": "own.A"}, {"class_path": "own.A", "init_args": {}}]
    told = {"class_path": "own.A", "init_args": {"x": 1}}
    assert len({run_digest({"regime": regime}, {}) for regime in [*bare, told]}) == 1
