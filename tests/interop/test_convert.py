"""From a look-alike of NVIDIA's pickle to a denoiser, by the command."""

import hashlib
import json
import os
import pickle
import subprocess
import sys

import pytest
import torch
from lookalikes import SMALL, LookAlike, dumps, nvidias_modules, small_network
from safetensors import safe_open
from safetensors.torch import save_file
from tiny_runs import Fit, mlp

from lightning_collapse import (
    VP,
    Run,
    ddpmpp,
    heun_sampler,
    karras_sigmas,
    load_denoiser,
    nvidia_network,
)
from lightning_collapse.commands.convert import convert as convert_file
from lightning_collapse.interop.converted import Origin, read_converted, write_converted
from lightning_collapse.interop.nvidia import read_network_pickle
from lightning_collapse.networks.edm import EDMPrecond
from lightning_collapse.runs.weights import load_weights


@pytest.fixture
def convert(tmp_path, cli):
    """Converts bytes by the command; gives the path of the result."""

    def run(content):
        source, out = tmp_path / "edm.pkl", tmp_path / "edm.safetensors"
        source.write_bytes(content)
        status, said, _ = cli("convert", source, out)
        assert status == 0
        print(said)
        return out

    return run


def same(found, expected):
    return list(found) == list(expected) and all(
        torch.equal(found[name], expected[name]) and found[name].dtype == expected[name].dtype
        for name in expected
    )


@pytest.mark.parametrize("protocol", [4, 5])
@pytest.mark.parametrize("snapshot", [True, False])
@pytest.mark.parametrize("numpy", ["numpy.core.multiarray", "numpy._core.multiarray"])
def test_every_tensor_comes_through_in_order(tmp_path, protocol, snapshot, numpy):
    look = LookAlike(canary=tmp_path / "canary")
    content = look.snapshot() if snapshot else {"ema": look.ema()}
    path = tmp_path / "edm.pkl"
    path.write_bytes(dumps(content, protocol, numpy))
    assert b"multiarray" in path.read_bytes()
    found = read_network_pickle(path)
    assert same(found.state_dict, look.network.state_dict())
    assert found.init_kwargs == SMALL
    assert found.class_name == "EDMPrecond"
    assert found.module_sha256 == hashlib.sha256(look.source.encode()).hexdigest()
    assert not look.canary.exists()


def test_the_source_would_have_run(tmp_path):
    """The canary is one: whoever loads the look-alike as NVIDIA does wakes it."""
    look = LookAlike(canary=tmp_path / "canary")
    with nvidias_modules():
        pickle.loads(look.bytes())
    assert look.canary.exists()


def test_the_command_says_and_stores_what_it_read(convert, capsys):
    look = LookAlike()
    content = look.bytes()
    out = convert(content)
    digest = hashlib.sha256(content).hexdigest()
    said = capsys.readouterr().out
    weights = look.network.state_dict()
    assert f"sha256:     {digest}\n" in said
    assert f"tensors:    {len(weights)}\n" in said
    assert f"parameters: {sum(p.numel() for p in look.network.parameters()):,}\n" in said
    with safe_open(out, "pt") as file:
        metadata = file.metadata()
        assert sorted(file.keys()) == sorted(weights)
    assert json.loads(metadata["network"]) == SMALL
    assert metadata["sha256"] == digest
    assert metadata["source"] == "EDMPrecond"
    assert sorted(os.listdir(out.parent)) == ["edm.pkl", "edm.safetensors"]


def test_a_denoiser_is_rebuilt(convert):
    look = LookAlike()
    denoiser = load_denoiser(str(convert(look.bytes())))
    assert isinstance(denoiser, EDMPrecond)
    assert not denoiser.training
    assert not any(p.requires_grad for p in denoiser.parameters())
    assert same(denoiser.state_dict(), look.network.state_dict())
    x = torch.randn(2, 1, 8, 8)
    assert torch.equal(denoiser(x, 0.7), look.network.eval()(x, 0.7))


def test_nvidias_outputs_come_out(convert, reference):
    """The tensors, inputs and outputs are NVIDIA's own (tests/fixtures)."""
    network = nvidia_network(**reference.init_kwargs)
    network.load_state_dict(reference.weights)
    denoiser = load_denoiser(convert(LookAlike(network, reference.init_kwargs).bytes()))
    t = reference.tensors
    labels = t.get("class_labels")
    torch.testing.assert_close(denoiser(t["x"], t["sigma"], labels), t["D"], rtol=0, atol=1e-5)
    samples = heun_sampler(
        lambda x, sigma: denoiser(x, sigma, labels), t["latents"], karras_sigmas(8)
    )
    torch.testing.assert_close(samples, t["sample_8steps"], rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    "changed",
    [
        {"label_dim": 3, "label_dropout": 0.1},
        {"augment_dim": 0, "img_channels": 3},
        {"sigma_min": 0, "sigma_max": float("inf"), "sigma_data": 0.5},
        {"embedding_type": "fourier", "encoder_type": "residual", "resample_filter": [1, 3, 3, 1]},
        {"attn_resolutions": []},
    ],
    ids=str,
)
def test_arguments_come_through(convert, changed):
    init_kwargs = SMALL | changed
    network = nvidia_network(**init_kwargs)
    out = convert(LookAlike(network, init_kwargs).bytes())
    assert read_converted(out)[0] == init_kwargs
    assert same(load_denoiser(out).state_dict(), network.state_dict())


def test_views_of_one_storage_come_apart(convert):
    """Two parameters that share memory, in columns: each gets its own."""
    network = small_network()
    both = torch.randn(32, 64)
    layer = network.model.map_layer1
    layer.weight = torch.nn.Parameter(both[:, ::2])
    network.model.map_layer0.weight = torch.nn.Parameter(both[:, 32:40])
    out = convert(LookAlike(network).bytes())
    assert same(load_denoiser(out).state_dict(), network.state_dict())


def test_an_older_result_is_replaced(convert, tmp_path):
    (tmp_path / "edm.safetensors").write_bytes(b"old")
    load_denoiser(convert(LookAlike().bytes()))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is no safetensors file"),
        (b"\x80\x04N.", "is no safetensors file"),
        (None, "no such file"),
    ],
)
def test_a_file_that_is_no_result(tmp_path, content, said):
    path = tmp_path / "edm.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises((ValueError, OSError), match=f"{path}: {said}"):
        load_denoiser(path)


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        ({"format_version": "2"}, "format_version = 2: must be 1"),
        ({"network": "{"}, "metadata network: must be JSON"),
        ({"network": "[" * 10**5}, "metadata network: must be JSON"),
        ({"network": "[1]"}, "must be a JSON object"),
        ({"network": json.dumps(SMALL | {"model_channels": 10**9})}, "network.model_channels"),
        ({"network": json.dumps(SMALL | {"model_channels": 16})}, "model.map_augment.weight' = "),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_result_that_was_tampered_with(tmp_path, metadata, said):
    path = tmp_path / "edm.safetensors"
    valid = {"format_version": "1", "network": json.dumps(SMALL)}
    save_file(small_network().state_dict(), path, valid | metadata)
    with pytest.raises(ValueError, match=f"{path}: .*{said}") as error:
        load_denoiser(path)
    assert len(str(error.value).splitlines()) == 1


def test_what_is_written_is_what_is_read(tmp_path):
    path = tmp_path / "edm.safetensors"
    weights = {"b": torch.randn(3, 2), "a": torch.tensor(1.5)}
    write_converted(path, {"x": [1, 2.5, "y"]}, weights, Origin("C", "0" * 64, "1" * 64))
    found, tensors = read_converted(path)
    assert found == {"x": [1, 2.5, "y"]}
    assert all(torch.equal(tensors[name], weights[name]) for name in weights)
    (tmp_path / "other").touch()
    assert path.stat().st_mode == (tmp_path / "other").stat().st_mode


# Not of getrusage, whose peak a process inherits from the one that started it.
_PEAK = """
import re, sys
from pathlib import Path
from lightning_collapse.commands.convert import convert
def peak():
    return 1024 * int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
folder = Path(sys.argv[1])
convert(folder / "small.pkl", folder / "small.safetensors")
before = peak()
convert(folder / "large.pkl", folder / "large.safetensors")
print(peak() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has /proc")
def test_memory_is_a_small_multiple_of_the_file(tmp_path):
    large = EDMPrecond(ddpmpp(64, 3, augment_dim=9, dropout=0.25))
    init_kwargs = {"img_resolution": 64, "img_channels": 3, "model_type": "SongUNet"}
    init_kwargs |= {"augment_dim": 9, "dropout": 0.25}
    (tmp_path / "small.pkl").write_bytes(LookAlike().bytes())
    (tmp_path / "large.pkl").write_bytes(LookAlike(large, init_kwargs).bytes())
    done = subprocess.run(
        [sys.executable, "-c", _PEAK, tmp_path], capture_output=True, text=True, check=True
    )
    grown, size = int(done.stdout.splitlines()[-1]), (tmp_path / "large.pkl").stat().st_size
    print(f"{grown / size:.2f} times the file")
    assert size < grown < 2.5 * size
    assert same(load_denoiser(tmp_path / "large.safetensors").state_dict(), large.state_dict())


_FULL_DISK = """
import resource, signal, sys
from lightning_collapse.commands.convert import main
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
main(sys.argv[1:])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such limit")
def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path):
    (tmp_path / "edm.pkl").write_bytes(LookAlike().bytes())
    words = [sys.executable, "-Bc", _FULL_DISK, tmp_path / "edm.pkl", tmp_path / "a.safetensors"]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith(f"error: {words[-1]}: cannot be written (")
    assert done.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["edm.pkl"]


def test_a_runs_average_is_converted_and_is_the_runs(tiny_run, tmp_path):
    checkpoint = Run(tiny_run).last
    out = tmp_path / "mine.safetensors"
    convert_file(checkpoint, out)
    of_run, converted = load_denoiser(checkpoint), load_denoiser(out)
    assert same(converted.state_dict(), of_run.state_dict())
    assert converted.row_shape == of_run.row_shape
    x, sigma = torch.randn(4, 2), torch.rand(4) + 0.1
    assert torch.equal(converted(x, sigma), of_run(x, sigma))
    load_weights(of_run, out)


def test_a_run_behind_another_preconditioning_is_converted_with_it(tmp_path):
    Fit(tmp_path / "run", rounds=1, preconditioning=VP())()
    convert_file(Run(tmp_path / "run").last, tmp_path / "vp.safetensors")
    assert load_denoiser(tmp_path / "vp.safetensors").preconditioning == VP()
    with pytest.raises(ValueError, match="was trained behind the preconditioning VP"):
        load_weights(EDMPrecond(mlp()), tmp_path / "vp.safetensors")
