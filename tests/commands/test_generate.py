"""`lightning-collapse generate` through the front door, and what it leaves on disk."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from tiny_runs import arguments

from lightning_collapse import EDMPrecond, SigmaMLP, ddpmpp, load_denoiser, nvidia_network
from lightning_collapse.commands import generate as generate_module
from lightning_collapse.commands.fit import run_fit
from lightning_collapse.commands.generate import main
from lightning_collapse.data.store.shards import StoredRows, shard_path
from lightning_collapse.interop.converted import Origin, write_converted
from lightning_collapse.runs.checkpoints import read_checkpoint, write_checkpoint
from lightning_collapse.samples import files as sample_files
from lightning_collapse.samples.rounds import RoundSampler

NETWORK = {
    "img_resolution": 8,
    "img_channels": 3,
    "model_type": "SongUNet",
    "model_channels": 8,
    "channel_mult": [1],
    "num_blocks": 1,
    "attn_resolutions": [],
}


def converted(path: Path, **options) -> Path:
    """A converted network with random weights, in every one of its layers."""
    torch.manual_seed(1)
    network = nvidia_network(**NETWORK, **options)
    weights = {n: v + 0.1 * torch.randn(v.shape) for n, v in network.state_dict().items()}
    write_converted(path, {**NETWORK, **options}, weights, Origin("EDMPrecond", "0", "0"))
    return path


@pytest.fixture(scope="module")
def ckpt(tmp_path_factory) -> Path:
    return converted(tmp_path_factory.mktemp("converted") / "net.safetensors")


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """The folder of a tiny run on digits, whose data deviate by 0.7."""
    folder = tmp_path_factory.mktemp("run") / "run"
    run_fit(arguments(folder, "digits_replace", model__sigma_data=0.7, trainer__max_epochs=1))
    return folder


def words(ckpt: Path, out: Path, seeds: str = "0-9", **options) -> list[str]:
    options = {"steps": 3, "batch": 4, "device": "cpu", **options}
    pairs = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    return ["--ckpt", str(ckpt), "--seeds", seeds, "--out", str(out), *pairs]


def files(out: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(out)): path.read_bytes()
        for path in sorted(out.rglob("*"))
        if path.is_file()
    }


def refused(capsys, *line: str) -> str:
    with pytest.raises(SystemExit) as end:
        main(list(line))
    assert end.value.code == 2
    (said,) = capsys.readouterr().err.splitlines()
    return said.removeprefix("error: ")


def test_samples_lie_where_nvidias_do(tmp_path, ckpt, capsys):
    out = tmp_path / "samples"
    main(words(ckpt, out, "0-2,999,1000,12345678"))
    made = files(out)
    assert [*made] == [
        "000000/000000.png",
        "000000/000001.png",
        "000000/000002.png",
        "000000/000999.png",
        "001000/001000.png",
        "12345000/12345678.png",
        "recipe.json",
    ]
    with Image.open(out / "000000" / "000002.png") as image:
        assert (image.mode, image.size) == ("RGB", (8, 8))
        assert np.array(image).std() > 20
    assert capsys.readouterr().out == (
        f"6 samples in {out}; contact sheet: {tmp_path / 'samples-preview.png'}\n"
    )
    with Image.open(tmp_path / "samples-preview.png") as sheet:
        assert sheet.size[0] > 8 * 3


def test_a_store_has_the_same_samples_with_recipe_and_classes(tmp_path):
    ckpt = converted(tmp_path / "classes.safetensors", label_dim=5)
    main(words(ckpt, tmp_path / "png", "3-12"))
    main(words(ckpt, tmp_path / "store", "3-12", format="store"))
    stored = StoredRows(tmp_path / "store")
    assert len(stored) == 10
    assert stored.labels is not None and len(stored.labels.unique()) > 1
    for row, seed in zip(stored[torch.arange(10)], range(3, 13), strict=True):
        with Image.open(tmp_path / "png" / "000000" / f"{seed:06d}.png") as image:
            assert np.array_equal(row.permute(1, 2, 0).numpy(), np.array(image))
    recipe = json.loads((tmp_path / "store" / "recipe.json").read_text())
    assert recipe == stored.recipe
    assert recipe["seeds"] == "3-12" and recipe["sampling"]["solver"] == "heun"
    main(words(ckpt, tmp_path / "one", "3-12", format="store", label=2))
    one = StoredRows(tmp_path / "one")
    assert one.labels.tolist() == [2] * 10
    twos = stored.labels == 2
    assert torch.equal(one[torch.arange(10)][twos], stored[torch.arange(10)][twos])


def test_more_seeds_add_files_and_touch_none(tmp_path, ckpt):
    main(words(ckpt, tmp_path / "grown", "2-4"))
    path = tmp_path / "grown" / "000000" / "000003.png"
    inode = path.stat().st_ino
    main(words(ckpt, tmp_path / "grown", "0-9"))
    assert path.stat().st_ino == inode
    main(words(ckpt, tmp_path / "once", "0-9"))
    assert files(tmp_path / "grown") == files(tmp_path / "once")


@pytest.mark.parametrize(
    ("format", "write"),
    [("png", "_write_png"), ("store", "write_described")],
    ids=["png", "store"],
)
def test_what_was_interrupted_goes_on(tmp_path, ckpt, format, write, monkeypatch, capsys):
    seeds = "0-5,9-21"
    main(words(ckpt, tmp_path / "whole", seeds, format=format))
    whole, written = getattr(sample_files, write), []

    def full(path, *given):
        if len(written) == 3:
            raise OSError(28, "No space left on device")
        written.append(path if format == "png" else shard_path(path, given[0]))
        whole(path, *given)

    monkeypatch.setattr(sample_files, write, full)
    said = refused(capsys, *words(ckpt, tmp_path / "again", seeds, format=format))
    assert "No space left" in said
    assert not (tmp_path / "again" / "manifest.json").exists()
    kept = {path: path.stat().st_ino for path in written}
    monkeypatch.setattr(sample_files, write, whole)
    main(words(ckpt, tmp_path / "again", seeds, format=format))
    assert {path: path.stat().st_ino for path in written} == kept
    assert files(tmp_path / "again") == files(tmp_path / "whole")


def test_nothing_is_computed_for_samples_that_are_there(tmp_path, ckpt, monkeypatch):
    for format in ("png", "store"):
        main(words(ckpt, tmp_path / format, format=format))
    monkeypatch.setattr("lightning_collapse.samples.seeds.SeedSampler.sample", None)
    for format in ("png", "store"):
        before = files(tmp_path / format)
        main(words(ckpt, tmp_path / format, format=format))
        assert files(tmp_path / format) == before


@pytest.mark.ddp
def test_two_processes_write_the_same_files(tmp_path, ckpt):
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    line = words(ckpt, tmp_path / "two", "0-14,40")
    done = subprocess.run(
        [sys.executable, *torchrun, "-m", "lightning_collapse", "generate", *line],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("16 samples in") == 1
    main(words(ckpt, tmp_path / "one", "0-14,40"))
    assert files(tmp_path / "two") == files(tmp_path / "one")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"steps": 4}, "steps = 4 (was 3): the samples in "),
        ({"S_churn": 1.0}, "S_churn = 1.0 (was 0.0): "),
        ({"batch": 2}, "batch = 2 (was 4): "),
        ({"format": "store"}, "format = store (was png), seeds = 0-9 (was None): "),
    ],
    ids=str,
)
def test_another_recipe_in_the_same_folder_is_refused(tmp_path, ckpt, capsys, changed, said):
    main(words(ckpt, tmp_path / "out"))
    before = files(tmp_path / "out")
    capsys.readouterr()
    assert refused(capsys, *words(ckpt, tmp_path / "out", **changed)).startswith(said)
    assert files(tmp_path / "out") == before


def test_another_checkpoint_in_the_same_folder_is_refused(tmp_path, ckpt, capsys):
    main(words(ckpt, tmp_path / "out"))
    capsys.readouterr()
    other = converted(tmp_path / "other.safetensors", sigma_data=0.6)
    said = refused(capsys, *words(other, tmp_path / "out"))
    assert said.startswith("checkpoint_sha256 = ")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"seeds": "5-3"}, "seeds = 5-3: 5-3 must rise"),
        ({"steps": 0}, "steps = 0: must be at least 1"),
        ({"steps": "many"}, "steps = many: must be a whole number"),
        ({"batch": 0}, "batch = 0: must lie in 1..4096"),
        (
            {"solver": "huen"},
            "solver = huen: must be one of dpmpp_3m, dpmpp_2m, heun, euler, unipc_3m; did",
        ),
        ({"solver": "euler", "S_churn": 1}, "S_churn = 1.0: only solver heun takes fresh noise"),
        ({"S_churn": ".nan"}, "S_churn = nan: must be at least 0"),
        ({"sigma_min": 90}, "sigma_min and sigma_max must satisfy"),
        ({"rho": -1}, "rho must be positive"),
        ({"label": 0}, "label = 0: must be left out; "),
        ({"device": "abacus"}, "device = abacus: cannot be used here; must be cpu"),
        ({"device": "meta"}, "device = meta: cannot be used here; must be cpu"),
        ({"stepz": 3}, "stepz: unknown key; did you mean steps?"),
    ],
    ids=str,
)
def test_a_mistake_is_one_line_before_anything_is_written(tmp_path, ckpt, capsys, changed, said):
    assert refused(capsys, *words(ckpt, tmp_path / "out", **changed)).startswith(said)
    assert not (tmp_path / "out").exists()


def test_files_and_folders_that_cannot_serve_are_named(tmp_path, ckpt, capsys):
    out = tmp_path / "out"
    pickle, junk, foreign = (tmp_path / name for name in ("net.pkl", "junk.ckpt", "foreign"))
    pickle.write_bytes(b"cos\nsystem\n(S'touch ran'\ntR.")
    junk.write_bytes(b"junk")
    foreign.mkdir()
    (foreign / "000001.png").write_bytes(b"")
    assert refused(capsys, *words(tmp_path / "none", out)) == (
        f"ckpt = {tmp_path / 'none'}: no such file or folder"
    )
    assert refused(capsys, *words(foreign, out)) == f"{foreign}: is a folder"
    assert "by `lightning-collapse convert`" in refused(capsys, *words(pickle, out))
    assert f"{junk}: is not a checkpoint of a run" in refused(capsys, *words(junk, out))
    assert "holds files, but no recipe.json" in refused(capsys, *words(ckpt, foreign))
    (foreign / "recipe.json").write_text("[")
    assert "is no recipe" in refused(capsys, *words(ckpt, foreign))
    said = refused(capsys, "--ckpt", str(ckpt))
    assert said == "seeds, out: missing; name it in the configuration or on the command line"
    served = converted(tmp_path / "served.safetensors", sigma_max=50.0)
    assert refused(capsys, *words(served, out)).startswith("sigma_min, sigma_max = 0.002, 80.0:")


def test_ctrl_c_is_a_line(tmp_path, ckpt, capsys, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(generate_module, "_write", interrupted)
    with pytest.raises(SystemExit) as end:
        main(words(ckpt, tmp_path / "out"))
    assert end.value.code == 130
    assert capsys.readouterr().err == "stopped; the same command goes on\n"


def test_a_runs_checkpoint_gives_its_average(run):
    path = run / "checkpoints" / "round-0000.ckpt"
    loaded = load_denoiser(path)
    tiny = {"model_channels": 8, "channel_mult": [1], "num_blocks": 1, "attn_resolutions": []}
    expected = EDMPrecond(ddpmpp(8, 1, dropout=0.0, **tiny), sigma_data=0.7).eval()
    state = torch.load(path, weights_only=True)["state_dict"]
    expected.load_state_dict(
        {n.removeprefix("ema."): v for n, v in state.items() if n.startswith("ema.")}
    )
    x = torch.randn(3, 1, 8, 8)
    assert torch.equal(loaded(x, 1.5), expected(x, 1.5))
    assert not loaded.training and not any(p.requires_grad for p in loaded.parameters())


def test_a_run_of_points_makes_points(tmp_path, capsys):
    run_fit(arguments(tmp_path / "run", trainer__max_epochs=1))
    path = tmp_path / "run" / "checkpoints" / "last.ckpt"
    assert isinstance(load_denoiser(path).model, SigmaMLP)
    capsys.readouterr()
    said = refused(capsys, *words(path, tmp_path / "out"))
    assert said.startswith("format = png: must be store for samples of shape (2,)")
    main(words(path, tmp_path / "out", format="store"))
    assert StoredRows(tmp_path / "out").shape == (2,)


def test_a_round_and_generate_sample_the_same_network(tmp_path, run):
    # Their random numbers differ; the loop's own sampler on the loaded network gives its bytes.
    denoiser, stored = (
        load_denoiser(run / "checkpoints" / "last.ckpt"),
        StoredRows(run / "pool/0000"),
    )
    sampling = generate_module.Sampling(**stored.recipe["sampling"] | {"S_max": float("inf")})
    again = RoundSampler(denoiser, sampling, (1, 8, 8), 48, 8, 0, 0, 0, torch.device("cpu"))
    torch.set_flush_denormal(True)
    assert torch.equal(again.sample(0), stored[torch.arange(8)])


def with_model(run: Path, folder: Path, where: str, old: str, new: str) -> Path:
    """A copy of the run's checkpoint whose model is told otherwise, there or beside it."""
    checkpoint = read_checkpoint(run / "checkpoints" / "last.ckpt")
    text = checkpoint["config"].partition("model:")[2].partition("\ndata:")[0]
    text = f"model:{text}\n"
    assert old in text
    text = text.replace(old, new)
    del checkpoint["model"], checkpoint["config"]
    if where == "checkpoint":
        checkpoint["model"] = yaml.safe_load(text)["model"]
    elif where == "config":
        checkpoint["config"] = text
    else:
        (folder / "config.yaml").write_text(text)
    path = folder / "checkpoints" / "last.ckpt"
    path.parent.mkdir()
    with open(path, "wb") as file:
        write_checkpoint(checkpoint, file)
    return path


WHERE = ["checkpoint", "config", "folder"]


@pytest.mark.parametrize("where", WHERE)
def test_a_run_is_loaded_by_what_the_checkpoint_or_its_configuration_says(tmp_path, run, where):
    moved = "lightning_collapse.unet.ddpmpp"  # as in a run of an older version
    path = with_model(run, tmp_path, where, "lightning_collapse.networks.unet.ddpmpp", moved)
    x = torch.randn(2, 1, 8, 8)
    loaded, expected = load_denoiser(path), load_denoiser(run / "checkpoints" / "last.ckpt")
    assert loaded.preconditioning.sigma_data == 0.7 and torch.equal(
        loaded(x, 0.5), expected(x, 0.5)
    )


def test_a_checkpoint_that_nothing_describes_says_what_to_do(tmp_path, run, capsys):
    path = with_model(run, tmp_path, "folder", "model", "model")
    (tmp_path / "config.yaml").unlink()
    said = refused(capsys, *words(path, tmp_path / "out"))
    assert said.startswith(f"{path}: describes no network by itself; leave a run's checkpoint in")


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize(
    "class_path",
    ["os.system", "lightning_collapse.commands.fit.run_fit", "ddpmpp", "antigravity.x"],
)
def test_a_foreign_network_runs_nothing(tmp_path, run, capsys, where, class_path):
    ours = "lightning_collapse.networks.unet.ddpmpp"
    path = with_model(run, tmp_path, where, ours, class_path)
    said = refused(capsys, *words(path, tmp_path / "out"))
    assert said.startswith(f"{path}: network = {class_path}: is none of SigmaMLP, SongUNet, ddpm")
    assert f"add --trust_class {class_path}," in said
    assert "antigravity" not in sys.modules


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("channels: 1", "channels: 2", "must be"),
        ("num_blocks: 1", "num_blocks: 100", "network.num_blocks: 100 blocks cannot come from"),
        ("num_blocks: 1", "num_blocks: 1000000000", "network.num_blocks = 1000000000: must be"),
        ("model_channels: 8", "model_channels: 80000000000", "model_channels = 80000000000: must"),
        ("num_blocks: 1", "num_bloks: 1", "'num_bloks': unknown argument; known are"),
        ("sigma_data: 0.7", "sigma_data: wide", "sigma_data = 'wide': must be a number above 0"),
        ("sigma_data: 0.7", "sigma_data: 0.7\n  row_shape: [1, 4]", "row_shape = [1, 4]: must be"),
        ("init_args:", "init_args: 7\n    others:", "describes no network"),
    ],
    ids=str,
)
@pytest.mark.parametrize("where", ["checkpoint", "folder"])
def test_a_network_that_cannot_be_is_a_line(tmp_path, run, capsys, where, old, new, said):
    if "row_shape" in new and where == "folder":
        pytest.skip("a configuration tells no shape")
    path = with_model(run, tmp_path, where, old, new)
    found = refused(capsys, *words(path, tmp_path / "out"))
    assert found.startswith(f"{path}: ") and said in found


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("model:", "modul:", "KeyError('model')"),
        ("model_channels: 8", "model_channels: !!python/name:os.system", "could not determine"),
    ],
)
def test_a_configuration_that_cannot_be_read_is_a_line(tmp_path, run, capsys, old, new, said):
    path = with_model(run, tmp_path, "folder", old, new)
    assert said in refused(capsys, *words(path, tmp_path / "out"))
