"""What the files of a run's folder may not claim, well sealed, and their mutants.

What an accident damages is found by the seals (test_damage.py); here somebody has meant it, and
has made them again.
"""

import hashlib
import json
import random
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml
from fuzzing import (
    SOME_OR_THOUSANDS,
    Reader,
    altered,
    broken,
    checkpoint_bytes,
    dumped,
    either,
    of,
    readers,
)
from matplotlib.figure import Figure
from safetensors.torch import load_file, save_file
from tiny_runs import Fit, mlp

from lightning_collapse import CollapseModule
from lightning_collapse.commands.plot import plot
from lightning_collapse.interop.denoisers import load_denoiser
from lightning_collapse.runs import config_file
from lightning_collapse.runs.checkpoints import read_checkpoint, write_checkpoint
from lightning_collapse.runs.config_file import ConfigFile
from lightning_collapse.runs.damage import examine
from lightning_collapse.runs.layout import Run
from lightning_collapse.runs.lock import RunFolder
from lightning_collapse.runs.records import read_records
from lightning_collapse.runs.restoring import check_checkpoint
from lightning_collapse.runs.weights import load_weights

CONFIG = {
    "seed_everything": 0,
    "model": {
        "network": {
            "class_path": "lightning_collapse.networks.mlp.SigmaMLP",
            "init_args": {"dim": 2, "width": 16, "depth": 1, "label_dim": 0},
        },
        "sigma_data": 0.5,
    },
    "data": {"train_rows": 48, "regime": {"class_path": "Replace"}, "lr": [1e-3, None, True]},
}


@pytest.fixture(scope="module")
def run(tiny_run, tmp_path_factory) -> Path:
    """A finished run with a configuration, and its average's weights in a file of their own."""
    run = shutil.copytree(tiny_run, tmp_path_factory.mktemp("hostile") / "run")
    ConfigFile(run / "config.yaml").write(CONFIG)
    state = read_checkpoint(run / "checkpoints" / "last.ckpt")["state_dict"]
    average = {n.removeprefix("ema."): v for n, v in state.items() if n.startswith("ema.")}
    save_file(average, run / "weights.safetensors")
    return run


def refused(read: Callable[[], object]) -> bool:
    """Whether the file is refused, in one of the two ways, in one line."""
    try:
        read()
    except (ValueError, OSError) as error:
        assert "\n" not in str(error).strip(), error
        return True
    return False


def sealed(data: bytes) -> bytes:
    return data + b"sha256 " + hashlib.sha256(data).hexdigest().encode()


def bad_tensors() -> dict[str, torch.Tensor]:
    one = torch.zeros(1)
    return {
        "nan": torch.tensor(float("nan")),
        "infinite": torch.tensor(float("inf")),
        "other shape": torch.zeros(3, 3),
        "other type": torch.zeros(16, dtype=torch.int64),
        "sparse": torch.zeros(16).to_sparse(),
        "unfolds to a terabyte": one.expand(2**38),
    }


@pytest.mark.parametrize("what", bad_tensors())
def test_a_tensor_that_does_not_fit_is_named(run, tmp_path, what):
    checkpoint = read_checkpoint(run / "checkpoints" / "last.ckpt")
    name = next(n for n, v in checkpoint["state_dict"].items() if n.startswith("ema."))
    like, tensor = checkpoint["state_dict"][name], bad_tensors()[what]
    bad = tensor.expand(like.shape) if tensor.ndim == 0 else tensor
    checkpoint["state_dict"][name] = bad
    with pytest.raises(ValueError, match=name.replace(".", r"\.") if what != "sparse" else "ckpt"):
        check_checkpoint(checkpoint, Fit(tmp_path).module)
    path = tmp_path / "mine.ckpt"
    with open(path, "wb") as file:
        write_checkpoint(checkpoint, file)
    assert refused(lambda: load_weights(Fit(tmp_path).module.ema, path))


def test_a_compressed_checkpoint_is_refused_before_it_unfolds(tmp_path):
    path = tmp_path / "bomb.ckpt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data/0", bytes(2**24))
    path.write_bytes(sealed(path.read_bytes()))
    assert refused(lambda: read_checkpoint(path))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_named(run, tmp_path, value):
    weights = load_file(run / "weights.safetensors")
    name = sorted(weights)[1]
    weights[name].view(-1)[0] = value
    save_file(weights, tmp_path / "bad.safetensors")
    with pytest.raises(ValueError, match=f"bad.safetensors: {name} is not finite"):
        load_weights(Fit(tmp_path, network=mlp()).module.ema, tmp_path / "bad.safetensors")


@pytest.mark.parametrize("line", ['{"round": 1}', "[0]", "0", "[" * 10_000, '{"round": "0"}', ""])
def test_a_line_that_is_not_the_record_of_its_round(tmp_path, line):
    (tmp_path / "rounds.jsonl").write_text(line + "\n")
    with pytest.raises(ValueError, match=r"rounds\.jsonl: line 1 is not the record of round 0"):
        read_records(Run(tmp_path))


def checkpoint(run: Path) -> Reader:
    path = run / "checkpoints" / "last.ckpt"
    data, tree = path.read_bytes()[:-71], read_checkpoint(path)
    pickled = b"archive/data.pkl" in data and data.index(b"data.pkl")

    def mutant(dice: random.Random) -> bytes:
        if dice.random() < 0.5:  # in the pickle and the directory, not in the numbers
            n = pickled + 5000
            return sealed(broken(data[:n], dice) + data[n:])
        return sealed(broken(data, dice))

    return of(path, mutant, lambda: read_checkpoint(path)["round_progress"] or tree)


def weights_in_a_checkpoint(run: Path) -> Reader:
    path = run / "checkpoints" / "last.ckpt"
    tree, module = read_checkpoint(path), Fit(run).module

    def mutant(dice: random.Random) -> bytes:
        state = dict(tree["state_dict"])
        name = dice.choice([name for name in state if name.startswith("ema.")])
        tensor = state[name].clone()
        state[name] = dice.choice(
            [
                tensor.double(),
                tensor * float("nan"),
                tensor.to_sparse(),
                torch.zeros(1).expand(2**38),
                tensor.flatten(),
                tensor.bool(),
                tensor[..., :0],
                3,
                "text",
                None,
                torch.nn.Parameter(tensor),
                torch.zeros(3, 3, dtype=torch.complex64),
                tensor + 1,
            ]
        )
        return checkpoint_bytes(tree | {"state_dict": altered(state, dice)})

    return of(path, mutant, lambda: load_weights(module.ema, path))


def weights_in_safetensors(run: Path) -> Reader:
    path = run / "weights.safetensors"
    data, module = path.read_bytes(), Fit(run).module

    def mutant(dice: random.Random) -> bytes:
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        rest = data[8 + int.from_bytes(data[:8], "little") :]
        if dice.random() < 0.5:
            return broken(data[:1500], dice) + data[1500:]
        text = dumped(altered(header, dice))
        return len(text).to_bytes(8, "little") + text + rest

    return of(path, mutant, lambda: load_weights(module.ema, path))


def configuration_of_a_run(run: Path) -> Reader:
    file = ConfigFile(run / "config.yaml")
    data = yaml.safe_dump(CONFIG).encode()

    def mutant(dice: random.Random) -> bytes:
        if dice.random() < 0.5:
            return config_file._sealed(broken(data, dice).decode(errors="replace")).encode()
        text = yaml.safe_dump(altered(CONFIG, dice))
        return config_file._sealed(text).encode(errors="replace")

    # Of a sound file, what is refused is what has changed.
    return of(file.path, mutant, lambda: file.changes(CONFIG), named="")


def network_of_a_run(run: Path) -> Reader:
    path = run / "checkpoints" / "last.ckpt"
    tree = read_checkpoint(path)
    del tree["model"]  # as in a checkpoint of an older version
    path.write_bytes(checkpoint_bytes(tree))
    data = yaml.safe_dump(CONFIG).encode()
    encode = lambda tree: yaml.safe_dump(tree).encode(errors="replace")  # noqa: E731
    model = lambda tree: encode({"model": tree})  # noqa: E731
    mutant = either(data, CONFIG["model"], model)
    return of(run / "config.yaml", mutant, lambda: load_denoiser(path), named=str(run))


def network_in_a_checkpoint(run: Path) -> Reader:
    path = run / "checkpoints" / "last.ckpt"
    tree = read_checkpoint(path)
    mutant = lambda dice: checkpoint_bytes(tree | {"model": altered(tree["model"], dice)})  # noqa: E731

    def read():
        CollapseModule.load_from_checkpoint(path)
        assert load_denoiser(path).row_shape == (2,)

    return of(path, mutant, read)


def records_to_plot(run: Path) -> Reader:
    data = (run / "rounds.jsonl").read_bytes()

    def read():
        read_records(Run(run))
        plot([run])

    encode = lambda tree: dumped(tree) + b"\n"  # noqa: E731
    return of(run / "rounds.jsonl", either(data, json.loads(data), encode), read, named=str(run))


def files_to_verify(run: Path) -> Reader:
    """Nothing is refused here: what is damaged is told."""
    names = ["rounds.jsonl", "config.yaml", "pool/0000/manifest.json", "checkpoints/last.ckpt"]
    sound = {name: (run / name).read_bytes() for name in names}

    def change(dice: random.Random) -> None:
        name = dice.choice(names)
        for other, data in sound.items():
            (run / other).write_bytes(broken(data, dice) if other == name else data)

    return Reader(change, lambda: list(examine(Run(run))), "", refusals=())


def id_of_a_run(run: Path) -> Reader:
    folder = RunFolder(run)
    identity = folder.id.encode()

    def read():
        assert folder.id.isalnum()

    return of(run / ".id", lambda dice: broken(identity, dice), read)


@readers(
    checkpoint,
    weights_in_a_checkpoint,
    weights_in_safetensors,
    configuration_of_a_run,
    network_of_a_run,
    network_in_a_checkpoint,
    records_to_plot,
    files_to_verify,
    id_of_a_run,
)
@SOME_OR_THOUSANDS
def test_mutants_are_refused_in_one_line_or_sound(run, tmp_path, monkeypatch, make, mutants):
    monkeypatch.setattr(Figure, "savefig", lambda *_, **options: None)  # slow, and no reader
    tally = make(shutil.copytree(run, tmp_path / "run")).fuzz(mutants)
    assert tally.outcomes["refused"] > 0 or make is files_to_verify
