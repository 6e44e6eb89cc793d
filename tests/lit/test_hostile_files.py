"""Thousands of mutants of every file that a run, a command or a user brings along.

A seal finds accidents; here it is made again after the harm, as somebody who means it would.
Zips, images, npz members and NVIDIA's pickles have theirs in tests/data and tests/interop.
"""

import hashlib
import io
import json
import math
import os
import random
import shutil
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from fuzzing import SECONDS, altered, broken, fuzz
from matplotlib.figure import Figure
from PIL import Image
from safetensors.torch import save, save_file
from tiny_runs import Fit, arguments

from lightning_collapse.commands.fit import CollapseCLI, run_fit
from lightning_collapse.commands.plot import plot
from lightning_collapse.data.sources.images import ImageZip
from lightning_collapse.data.store.shards import StoredRows, read_shard
from lightning_collapse.interop.converted import Origin, read_converted, write_converted
from lightning_collapse.interop.denoisers import load_denoiser
from lightning_collapse.lit.data import PoolDataModule
from lightning_collapse.lit.module import CollapseModule
from lightning_collapse.metrics.frechet import FrechetReference
from lightning_collapse.metrics.statistics import Statistics, read_statistics, write_statistics
from lightning_collapse.runs import config_file
from lightning_collapse.runs.checkpoints import read_checkpoint, write_checkpoint
from lightning_collapse.runs.config_file import ConfigFile
from lightning_collapse.runs.damage import examine
from lightning_collapse.runs.lock import RunFolder
from lightning_collapse.runs.records import read_records
from lightning_collapse.runs.restoring import check_checkpoint
from lightning_collapse.runs.weights import load_weights
from lightning_collapse.samples.files import read_first, start_folder

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


@dataclass
class Reader:
    """One kind of file: how a mutant gets in its place, how it is read, and its name."""

    change: Callable[[random.Random], object]
    read: Callable[[], object]
    named: str
    options: dict[str, Any]


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Path:
    run = tmp_path_factory.mktemp("run")
    torch.set_num_threads(1)
    fit = Fit(run, rounds=1)()
    ConfigFile(run / "config.yaml").write(CONFIG)
    save_file(fit.module.ema.state_dict(), run / "weights.safetensors")
    return run


READERS: dict[str, Callable[[Path], Reader]] = {}


def reader(make: Callable[[Path], Reader]) -> Callable[[Path], Reader]:
    READERS[make.__name__] = make
    return make


def of(
    path: Path, mutant: Callable[[random.Random], bytes], read: Callable[[], object], **options
) -> Reader:
    """A reader of one file, refused by its name."""
    change = lambda dice: path.write_bytes(mutant(dice))  # noqa: E731
    return Reader(change, read, options.pop("named", path.name), options)


def either(data: bytes, tree: Any, encode: Callable[[Any], bytes]) -> Callable[..., bytes]:
    """Mutants of bytes and of values, in turn."""
    return lambda dice: broken(data, dice) if dice.random() < 0.4 else encode(altered(tree, dice))


def dumped(tree: Any) -> bytes:
    return json.dumps(tree).encode()


def resealed_manifest(fields: Any) -> bytes:
    if not isinstance(fields, dict):
        return dumped(fields)
    digest = hashlib.sha256(dumped(fields)).hexdigest()
    return dumped(fields | {"sha256": digest})


def sealed(data: bytes) -> bytes:
    return data + b"sha256 " + hashlib.sha256(data).hexdigest().encode()


def checkpoint_bytes(tree: Any) -> bytes:
    buffer = io.BytesIO()
    write_checkpoint(tree, buffer)
    return buffer.getvalue()


@reader
def manifest(run: Path) -> Reader:
    folder = run / "pool" / "0000"
    data = (folder / "manifest.json").read_bytes()
    fields = json.loads(data)
    del fields["sha256"]

    def read():
        rows = StoredRows(folder)
        read = rows[torch.arange(min(len(rows), 64))]
        assert tuple(read.shape[1:]) == rows.shape

    return of(
        folder / "manifest.json", either(data, fields, resealed_manifest), read, named=str(folder)
    )


@reader
def manifest_as_the_run_goes_on(run: Path) -> Reader:
    path = run / "pool" / "0000" / "manifest.json"
    fields = json.loads(path.read_bytes())
    del fields["sha256"]
    data = Fit(run).data

    def read():
        data.prepare_data()
        data.setup()

    mutant = lambda dice: resealed_manifest(altered(fields, dice))  # noqa: E731
    return of(path, mutant, read, named="0")


@reader
def shard(run: Path) -> Reader:
    path = run / "pool" / "0000" / "shard-00000.npy"
    data = path.read_bytes()

    def mutant(dice: random.Random) -> bytes:
        descr = dice.choice(
            ["|u1", "<f4", "<f8", ">f4", "|O", "|V128", "<U9", "|b1", "[('a','<f4')]"]
        )
        shape = tuple(
            dice.choice([0, 1, 2, 48, -1, 2**40, 2**63]) for _ in range(dice.randrange(5))
        )
        buffer = io.BytesIO()
        header = {"descr": descr, "fortran_order": dice.random() < 0.3, "shape": shape}
        np.lib.format.write_array_header_1_0(buffer, header)
        return buffer.getvalue() + bytes(dice.choice([0, 8, 384]))

    def read():
        rows = read_shard(path)
        assert 0 < rows.nbytes <= path.stat().st_size

    return of(path, lambda d: broken(data, d) if d.random() < 0.6 else mutant(d), read)


@reader
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


@reader
def checkpoint_to_go_on_from(run: Path) -> Reader:
    path = run / "checkpoints" / "last.ckpt"
    tree, module, data = read_checkpoint(path), Fit(run).module, Fit(run).data

    def read():
        found = read_checkpoint(path)
        check_checkpoint(found, module)
        data.load_state_dict(found.get("PoolDataModule", {}))

    mutant = lambda dice: checkpoint_bytes(altered(tree, dice))  # noqa: E731
    return of(path, mutant, read, named="ckpt")


@reader
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


@reader
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


@reader
def converted_network(run: Path) -> Reader:
    path = run / "network.safetensors"
    arguments = {"img_resolution": 8, "img_channels": 1, "model_type": "SongUNet"}
    arguments |= {
        "model_channels": 8,
        "channel_mult": [1],
        "num_blocks": 1,
        "attn_resolutions": [],
    }
    from lightning_collapse.networks.unet import nvidia_network

    weights = nvidia_network(**arguments).state_dict()
    write_converted(path, arguments, weights, Origin("EDMPrecond", "0" * 64, "0" * 64))
    data = path.read_bytes()
    _, weights = read_converted(path)

    def mutant(dice: random.Random) -> bytes:
        if dice.random() < 0.4:
            return broken(data[:3000], dice) + data[3000:]
        named = json.dumps(altered(arguments, dice))
        return save(weights, {"format_version": "1", "network": named})

    return of(path, mutant, lambda: load_denoiser(path))


@reader
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


@reader
def network_of_a_run(run: Path) -> Reader:
    path = run / "checkpoints" / "last.ckpt"
    data = yaml.safe_dump(CONFIG).encode()
    encode = lambda tree: yaml.safe_dump(tree).encode(errors="replace")  # noqa: E731
    model = lambda tree: encode({"model": tree})  # noqa: E731
    mutant = either(data, CONFIG["model"], model)
    return of(run / "config.yaml", mutant, lambda: load_denoiser(path), named=str(run))


@reader
def records_to_plot(run: Path) -> Reader:
    data = (run / "rounds.jsonl").read_bytes()

    def read():
        read_records(run)
        plot(run)

    encode = lambda tree: dumped(tree) + b"\n"  # noqa: E731
    return of(run / "rounds.jsonl", either(data, json.loads(data), encode), read, named=str(run))


@reader
def files_to_verify(run: Path) -> Reader:
    """Nothing is refused here: what is damaged is told."""
    names = ["rounds.jsonl", "config.yaml", "pool/0000/manifest.json", "checkpoints/last.ckpt"]
    sound = {name: (run / name).read_bytes() for name in names}

    def change(dice: random.Random) -> None:
        name = dice.choice(names)
        for other, data in sound.items():
            (run / other).write_bytes(broken(data, dice) if other == name else data)

    return Reader(change, lambda: list(examine(run)), "", {"refusals": ()})


@reader
def id_of_a_run(run: Path) -> Reader:
    folder = RunFolder(run)
    identity = folder.id.encode()

    def read():
        assert folder.id.isalnum()

    return of(run / ".id", lambda dice: broken(identity, dice), read)


@reader
def recipe_of_samples(run: Path) -> Reader:
    recipe = {"checkpoint": "a.ckpt", "sampling": {"num_steps": 18, "rho": 7.0}, "precision": "32"}
    start_folder(run / "out", recipe)
    read = lambda: start_folder(run / "out", recipe)  # noqa: E731
    return of(
        run / "out" / "recipe.json", either(dumped(recipe), recipe, dumped), read, named="out"
    )


@reader
def samples_as_png(run: Path) -> Reader:
    path = run / "png" / "000000" / "000000.png"
    path.parent.mkdir(parents=True)
    Image.fromarray(np.arange(192, dtype=np.uint8).reshape(8, 8, 3)).save(path)
    data = path.read_bytes()
    read = lambda: read_first(run / "png", [0], 1)  # noqa: E731
    return of(path, lambda dice: broken(data, dice), read)


@reader
def labels_in_a_zip(run: Path) -> Reader:
    names = ["0/a.png", "1/a.png", "2/a.png"]
    labels = {"labels": [[name, i] for i, name in enumerate(names)]}
    path = run / "set.zip"

    def read():
        rows, classes = ImageZip(path).read(0)
        assert classes is None or (len(classes) == len(rows) and classes.min() >= 0)

    buffer = io.BytesIO()
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(buffer, "png")

    def encode(text: bytes) -> bytes:
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as file:
            for name in names:
                file.writestr(name, buffer.getvalue())
            file.writestr("dataset.json", text)
        return archive.getvalue()

    path.write_bytes(encode(dumped(labels)))
    mutant = either(dumped(labels), labels, dumped)
    return of(path, lambda dice: encode(mutant(dice)), read)


@reader
def statistics(run: Path) -> Reader:
    path = run / "statistics.npz"
    write_statistics(path, Statistics.of(torch.randn(20, 4, dtype=torch.float64)))
    data = path.read_bytes()

    def mutant(dice: random.Random) -> bytes:
        if dice.random() < 0.5:
            return broken(data, dice)
        with np.load(io.BytesIO(data)) as file:
            arrays = dict(file)
        name = dice.choice(sorted(arrays))
        value, flat = arrays[name], np.array(arrays[name], np.float64)
        flat.flat[dice.randrange(flat.size)] = dice.choice([np.nan, np.inf, -9, 1e200, 0])
        wrong = [flat, value.astype(object), value[None], -value, value.astype(complex), value * 0]
        arrays[name] = dice.choice(wrong)
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)
        return buffer.getvalue()

    def read():
        found = read_statistics(path, 4)
        assert found.sigma.isfinite().all() and torch.equal(found.sigma, found.sigma.mT)
        try:
            reference = FrechetReference(found.mu, found.sigma)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error  # as `evaluate` does
        distance = reference.distance(torch.zeros(4), torch.eye(4))
        assert math.isfinite(distance) and distance >= 0
        eigenvalues = torch.linalg.eigvalsh(found.sigma)
        assert eigenvalues.min() >= -1e-5 * eigenvalues.abs().max()

    return of(path, mutant, read)


class Parsed(CollapseCLI):
    """Of a command line, the configuration alone."""

    def instantiate_classes(self) -> None: ...


def configuration_on_the_command_line(run: Path, capsys) -> Reader:
    words = arguments(run)
    path = run / "mine.yaml"
    tree = yaml.safe_load(Path(words[1]).read_text())
    data = yaml.safe_dump(tree).encode()
    path.write_bytes(data)
    line = ["--config", str(path), "--trainer.max_epochs", "2"]
    cli = Parsed(line)

    def encode(tree: Any) -> bytes:
        return yaml.safe_dump(tree).encode(errors="replace")

    def said(error: BaseException) -> str:
        text = capsys.readouterr().err if isinstance(error, SystemExit) else str(error)
        assert isinstance(error, (ValueError, OSError)) or text.startswith("error: ")
        return text

    return of(
        path,
        either(data, tree, encode),
        lambda: cli.parse_arguments(cli.parser, line),
        named="",
        refusals=(SystemExit, ValueError, OSError),
        said=said,
        allowed={"import"},  # of what it names, as configurations do
    )


NUMBERS = [pytest.param(25, id="some"), pytest.param(3000, id="thousands", marks=pytest.mark.slow)]


@pytest.mark.parametrize("mutants", NUMBERS)
@pytest.mark.parametrize("name", READERS)
def test_mutants_are_refused_in_one_line_or_sound(finished, tmp_path, monkeypatch, name, mutants):
    monkeypatch.setattr(Figure, "savefig", lambda *_, **options: None)  # slow, and no reader
    run = shutil.copytree(finished, tmp_path / "run")
    made = READERS[name](run)
    tally = fuzz(mutants, mutants, made.change, made.read, made.named, **made.options)
    assert sum(tally.outcomes.values()) == mutants
    assert tally.outcomes["refused"] > 0 or name == "files_to_verify"


@pytest.mark.parametrize("mutants", [20, pytest.param(1000, marks=pytest.mark.slow)])
def test_mutants_of_a_configuration_are_one_line(finished, tmp_path, mutants, capsys):
    made = configuration_on_the_command_line(tmp_path, capsys)
    tally = fuzz(mutants, mutants, made.change, made.read, made.named, **made.options)
    assert tally.outcomes["refused"] > 0.1 * mutants


LAUGHS = "a0: &a0 [1, 1]\n" + "".join(
    f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]\n" for i in range(1, 60)
)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (LAUGHS, "is not plain YAML (it has an alias"),
        ("data: !!python/object/apply:os.system ['touch owned']", "could not determine a constr"),
        ("data: !!python/name:os.system", "could not determine a constructor"),
        ("data:\n  train_rows: 3\n  train_rows: 4\n", "the key 'train_rows' is there twice"),
        ("[" * 5000, "is nested too deep"),
        ("data: {train_rows: " + "[" * 400 + "]" * 400 + "}", "is nested too deep"),
        (b"data: \xff\xfe\x00", "is not plain YAML (unacceptable character"),
        ("#" * 2**21, "has 2097152 characters; at most 131072 are read"),
        ("? [1, 2]\n: 3\n", "is not plain YAML"),
        ("data: {train_rows: 2001-99-99}", "is not plain YAML (month must be"),
        ("".join(f"k{n}: 0\n" for n in range(2000)), "k0: unknown key"),
        ("just words", "must be a table of options"),
        ("- 1\n- 2\n", "must be a table of options"),
        ("model: {sigma_data: .nan}", "model.sigma_data = nan: must be a number > 0"),
        ("data: {num_workers: -4}", "data.num_workers = -4: must be at least 0"),
        ("data: {batch_size: {}}", "data.batch_size = {}: must be a whole number"),
        ("seed_everything: 99999999999999999999", "seed_everything = 99999999999999999999: must"),
        ("model: {lr_rampup: .inf}", "model.lr_rampup = inf: must be a share"),
    ],
    ids=range(18),
)
def test_a_configuration_that_means_harm(tmp_path, monkeypatch, capsys, text, says):
    monkeypatch.chdir(tmp_path)
    path = Path("mine.yaml")
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    words = ["--config", str(path), *arguments(Path("run"))]
    begun = time.process_time()
    with pytest.raises(SystemExit) as left:
        run_fit(words[2:4] + words[:2] + words[4:])
    assert left.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ") and said.count("\n") == 1 and says in said, said
    assert len(said) < 600 and time.process_time() - begun < SECONDS
    assert sorted(os.listdir()) == ["mine.yaml"]
