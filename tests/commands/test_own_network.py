"""A network from a user's own file: trained, sampled, repaired, started from and given back."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tiny_runs import DIGITS, Fit, arguments, assert_same, records

from lightning_collapse import CollapseModule, load_denoiser
from lightning_collapse.commands import evaluate as evaluate_module
from lightning_collapse.commands import generate as generate_module
from lightning_collapse.commands import pool as pool_module
from lightning_collapse.commands.fit import run_fit
from lightning_collapse.data.store.shards import StoredRows

MINE = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, width: int, scale: float = 1.0) -> None:
        super().__init__()
        self.width, self.scale = width, scale
        self.layers = nn.Sequential(
            nn.Conv2d(2, width, 3, padding=1), nn.SiLU(), nn.Conv2d(width, 1, 3, padding=1)
        )
        self.register_buffer("ramp", torch.linspace(0, 1, 8), persistent=False)

    def forward(self, x, c_noise, class_labels=None, augment_labels=None):
        noise = c_noise[:, None, None, None].expand_as(x) + self.ramp
        return self.scale * self.layers(torch.cat([x, noise], dim=1))


class Forgetful(Net):
    def __init__(self, wide: int) -> None:
        super().__init__(wide)
"""
NAME = "network_of_a_test"


@pytest.fixture(scope="module")
def mine(tmp_path_factory):
    """The module of a user, in a folder from which Python imports."""
    folder = tmp_path_factory.mktemp("mine")
    (folder / f"{NAME}.py").write_text(MINE)
    sys.path.append(str(folder))
    yield __import__(NAME)
    sys.path.remove(str(folder))
    del sys.modules[NAME]


def fitted(folder: Path, network: str, **changed) -> Path:
    run_fit(
        arguments(
            folder, "digits_replace", model__network=network, trainer__max_epochs=1, **changed
        )
    )
    return folder


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    """Leaves out what `arguments` says of the shipped configurations' own network."""
    monkeypatch.setattr("tiny_runs.DIGITS_MODEL", {})


@pytest.fixture(scope="module")
def run(mine, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tiny_runs.DIGITS_MODEL", {})
        network = f'{{"class_path": "{NAME}.Net", "init_args": {{"width": 4, "scale": 0.5}}}}'
        return fitted(folder, network)


def words(run: Path, out: Path, *more: str) -> list[str]:
    ckpt = run / "checkpoints" / "last.ckpt"
    line = f"--ckpt {ckpt} --seeds 0-3 --out {out} --steps 2 --batch 4 --device cpu"
    return [*line.split(), *more]


def test_it_is_generated_from_if_it_is_trusted(tmp_path, run, mine, capsys):
    with pytest.raises(SystemExit):
        generate_module.main(words(run, tmp_path / "no"))
    said = capsys.readouterr().err
    assert f"network = {NAME}.Net: is none of SigmaMLP" in said
    assert f"add --trust_class {NAME}.Net, in Python trust_class='{NAME}.Net'" in said
    generate_module.main(words(run, tmp_path / "out", "--trust_class", f"{NAME}.Net"))
    assert len(list((tmp_path / "out").rglob("*.png"))) == 4


def test_another_class_than_the_one_that_is_trusted_is_not_imported(run):
    ckpt = run / "checkpoints" / "last.ckpt"
    with pytest.raises(ValueError, match=f"network = {NAME}.Net: is none of"):
        load_denoiser(ckpt, trust_class="antigravity.Other")
    assert "antigravity" not in sys.modules
    with pytest.raises(ValueError, match="trust_class = nowhere.Net: cannot be imported"):
        load_denoiser(ckpt, trust_class="nowhere.Net")


def test_what_is_loaded_is_the_average(run, mine):
    ckpt = run / "checkpoints" / "last.ckpt"
    loaded = load_denoiser(ckpt, trust_class=f"{NAME}.Net")
    state = torch.load(ckpt, weights_only=True)["state_dict"]
    average = {n.removeprefix("ema."): v for n, v in state.items() if n.startswith("ema.")}
    assert_same(dict(loaded.state_dict()), average)
    assert loaded.model.scale == 0.5 and loaded.row_shape == (1, 8, 8)
    assert torch.equal(loaded.model.ramp, torch.linspace(0, 1, 8))
    before = torch.get_rng_state()
    load_denoiser(ckpt, trust_class=f"{NAME}.Net")
    assert torch.equal(torch.get_rng_state(), before)


def test_its_samples_are_made_again_if_it_is_trusted(tmp_path, run, capsys):
    copy = shutil.copytree(run, tmp_path / "run")
    shard = copy / "pool" / "0000" / "shard-00000.npy"
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(SystemExit) as left:
        pool_module.main(["repair", str(copy)])
    assert left.value.code == 1 and f"add --trust_class {NAME}.Net" in capsys.readouterr().out
    with pytest.raises(SystemExit) as left:
        pool_module.main(["repair", str(copy), "--trust_class", f"{NAME}.Net"])
    assert left.value.code == 0 and shard.read_bytes() == whole


def test_a_run_starts_from_it(tmp_path, run):
    ckpt = run / "checkpoints" / "last.ckpt"
    network = f'{{"class_path": "{NAME}.Net", "init_args": {{"width": 4}}}}'
    changed = {"model__init_from": ckpt, "model__restart": "warm"}
    second = fitted(
        tmp_path / "second", network, **{**changed, "data__train_first_round": "false"}
    )
    states = [
        torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
        for folder in (run, second)
    ]
    for name in states[0]:
        if name.startswith("ema."):
            assert torch.equal(states[0][name], states[1][name])
    assert records(second)[0]["real_data_in_init"]


def test_its_samples_are_judged(run, capsys):
    line = f"{run}/pool/0000 --reference {run}/pool/real --features pixels"
    evaluate_module.main(line.split())
    told = capsys.readouterr().out
    assert "n = 48\n" in told and "1,797" in told


def test_a_network_that_keeps_no_arguments_is_described_by_its_configuration(tmp_path, mine):
    network = f'{{"class_path": "{NAME}.Forgetful", "init_args": {{"wide": 3}}}}'
    run = fitted(tmp_path / "run", network)
    ckpt = run / "checkpoints" / "last.ckpt"
    assert "wide" in torch.load(ckpt, weights_only=True)["model"]["network"]["undescribed"]
    assert load_denoiser(ckpt, trust_class=f"{NAME}.Forgetful").model.width == 3


def test_a_network_of_a_script_comes_back_with_its_module(tmp_path, mine):
    fit = Fit(tmp_path, rounds=1, network=mine.Net(3, scale=2.0), data=DIGITS, sigma_data=0.7)()
    ckpt = tmp_path / "checkpoints" / "last.ckpt"
    with pytest.raises(ValueError, match=f"add --trust_class {NAME}.Net"):
        CollapseModule.load_from_checkpoint(ckpt)
    back = CollapseModule.load_from_checkpoint(ckpt, trust_class=f"{NAME}.Net")
    assert_same(dict(back.state_dict()), dict(fit.module.state_dict()))
    assert back.model.model.scale == 2.0 and back.loss.preconditioning.sigma_data == 0.7
    x = torch.randn(2, 1, 8, 8)
    assert torch.equal(back.ema(x, 0.5), fit.module.ema(x, 0.5))


def test_a_network_that_nothing_describes_is_given(tmp_path, mine):
    fit = Fit(tmp_path, rounds=1, network=mine.Forgetful(3), data=DIGITS)()
    ckpt = tmp_path / "checkpoints" / "last.ckpt"
    with pytest.raises(
        ValueError, match="Forgetful keeps its argument wide in no plain attribute"
    ):
        CollapseModule.load_from_checkpoint(ckpt, trust_class=f"{NAME}.Forgetful")
    back = CollapseModule.load_from_checkpoint(ckpt, network=mine.Forgetful(3))
    assert_same(dict(back.state_dict()), dict(fit.module.state_dict()))
    with pytest.raises(ValueError, match="does not fit the network"):
        CollapseModule.load_from_checkpoint(ckpt, network=mine.Forgetful(4))


def test_the_command_imports_from_the_folder_where_it_is_called(tmp_path, run, mine):
    door = "from lightning_collapse.__main__ import main; main()"
    line = words(run, tmp_path / "out", "--trust_class", f"{NAME}.Net")
    # Isolated, as an installed command is: Python itself adds no folder.
    subprocess.run(
        [sys.executable, "-I", "-c", door, "generate", *line],
        cwd=Path(mine.__file__).parent,
        check=True,
    )


def test_the_documentations_network_is_all_that_it_takes(tmp_path, monkeypatch):
    text = (Path(__file__).parents[2] / "docs" / "extending.md").read_text()
    (tmp_path / "mine.py").write_text(re.search(r"```python\n(# mine.py.*?)```", text, re.S)[1])
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("tiny_runs.POINTS_MODEL", {"data__source__init_args__n": 64})
    network = '{"class_path": "mine.Net", "init_args": {"dim": 2}}'
    run_fit(arguments(tmp_path / "run", trainer__max_epochs=1, model__network=network))
    line = words(tmp_path / "run", tmp_path / "out", "--format", "store")
    generate_module.main([*line, "--trust_class", "mine.Net"])
    assert StoredRows(tmp_path / "out").shape == (2,)
    del sys.modules["mine"]
