"""Every shipped configuration starts: it parses, its network can be built, tiny rounds run."""

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from tiny_runs import CONFIGS, arguments, records

from lightning_collapse import SongUNet
from lightning_collapse.commands import fit as cli
from lightning_collapse.metrics.features import Inception

NAMES = sorted(path.stem for path in CONFIGS.glob("*.yaml"))
LOCAL = [name for name in NAMES if name.startswith(("digits", "points"))]


def parsed(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> cli.CollapseCLI:
    """The whole of a configuration, its parts made as for a run, networks without memory."""
    kept: list[cli.CollapseCLI] = []
    monkeypatch.setattr(cli.CollapseCLI, "fit", lambda made: kept.append(made))
    monkeypatch.setattr(
        "lightning_collapse.data.sources.images.ImageFolder.check", lambda self: None
    )
    monkeypatch.setattr("lightning_collapse.data.sources.images.CIFAR10.check", lambda self: None)
    monkeypatch.setattr("lightning_collapse.lit.module.file_sha256", lambda path: "")
    monkeypatch.setattr("lightning_collapse.lit.module.load_weights", lambda model, path: None)
    monkeypatch.setattr("lightning_collapse.lit.module.randomise", lambda model, seed: None)
    monkeypatch.setattr(cli, "check_needs", lambda config: None)
    words = ["--config", str(CONFIGS / f"{name}.yaml"), "--run", str(tmp_path)]
    with torch.device("meta"):
        cli.run_fit([*words, "--trainer.logger", "false", "--trainer.accelerator", "cpu"])
    return kept[0]


def test_the_issues_configurations_are_all_there():
    assert NAMES == [
        "afhqv2_64",
        "cifar10_cond",
        "cifar10_inpaint",
        "digits_accumulate",
        "digits_components",
        "digits_cond",
        "digits_inpaint",
        "digits_mix",
        "digits_real",
        "digits_replace",
        "points_replace",
    ]


@pytest.mark.parametrize("name", NAMES)
def test_a_configuration_makes_all_parts_of_a_run(tmp_path, monkeypatch, name):
    made = parsed(name, monkeypatch, tmp_path)
    expected = yaml.safe_load((CONFIGS / f"{name}.yaml").read_text())
    assert made.datamodule.images_per_round == expected["data"]["images_per_round"]
    assert made.config_init.trainer.max_epochs == expected.get("trainer", {}).get("max_epochs", 8)
    for processes in (1, 2, 4, 8):
        made.datamodule.check_share(processes)


def test_the_network_for_animals_has_the_size_of_nvidias(tmp_path, monkeypatch):
    network = parsed("afhqv2_64", monkeypatch, tmp_path).model.model.model
    assert isinstance(network, SongUNet)
    assert sum(value.numel() for value in network.parameters()) == 61_805_571


def test_animals_start_from_nvidias_network_and_are_judged_by_fid(tmp_path, monkeypatch):
    made = parsed("afhqv2_64", monkeypatch, tmp_path)
    assert made.model.restart == "warm" and made.model.init_from.suffix == ".safetensors"
    assert made.datamodule.steps_of(0) == 0 and made.datamodule.steps_of(1) > 0
    assert isinstance(made.config_init.loop.features, Inception)


def test_the_users_server_experiment_is_as_it_was_asked_for(tmp_path, monkeypatch):
    made = parsed("cifar10_cond", monkeypatch, tmp_path)
    data = made.datamodule
    assert data.images_per_round == 25_000_000 and data.samples_per_round == 10_000
    assert data.regime.synthetic_fraction == 1.0 and made.model.label_dim == 10


def test_the_digits_with_classes_tell_of_classes_and_can_be_guided(tmp_path):
    words = ["--loop.guide", "ClassifierFree", "--loop.guide.weight", "2"]
    cli.run_fit([*arguments(tmp_path, "digits_cond", loop__sampling__num_steps=2), *words])
    last = records(tmp_path)[1]
    assert (last["guide"], last["guide_options"]) == ("ClassifierFree", {"weight": 2.0})
    assert last["calls_per_sample"] == 4
    assert sum(last["class_shares"]) == pytest.approx(1)


@pytest.mark.parametrize("name", LOCAL)
def test_a_configuration_runs_tiny_rounds(tmp_path, name):
    cli.run_fit(arguments(tmp_path, name))
    expected: dict[str, Any] = {
        "digits_accumulate": (48, 48),
        "digits_components": (0, 48),
        "digits_cond": (0, 48),
        "digits_inpaint": (0, 48),
        "digits_mix": (24, 24),
        "digits_real": (48, 0),
        "digits_replace": (0, 48),
        "points_replace": (0, 48),
    }
    last = records(tmp_path)[1]
    assert (last["n_real"], last["n_synthetic"]) == expected[name]
