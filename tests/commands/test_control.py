"""`lightning-collapse control`: the table of biases, and what it refuses."""

import io
import json
import shlex
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml
from closed_forms import SamplerBias

from lightning_collapse.commands.control import control, main
from lightning_collapse.data.store.shards import write_rows
from lightning_collapse.sampling.bias import compounded_std
from lightning_collapse.sampling.choice import Sampling
from lightning_collapse.sampling.schedules import karras_sigmas, log_uniform_sigmas
from lightning_collapse.sampling.solvers import dpmpp_3m_sampler, heun_sampler
from lightning_collapse.seeds import generator


def summary(folder):
    return json.loads((folder / "summary.json").read_text())["conditions"]


# Measured with another implementation, as relative errors of the standard deviation, in percent.
@pytest.mark.parametrize(
    ("words", "percent"),
    [
        (["--solver=heun", "--schedule=karras", "--steps=18"], [4.5, 5.5, 7.3, 11.1]),
        (["--solver=heun", "--schedule=karras", "--steps=40"], [0.8, 1.0, 1.3, 1.8]),
        (["--solver=dpmpp_2m", "--schedule=karras", "--steps=35"], [1.1, 1.4, 1.8, 2.5]),
        (["--solver=dpmpp_3m", "--steps=18"], [0.77, 0.79, 0.74, 0.71]),
        (["--steps=35"], [0.04, 0.05, 0.05, -0.02]),
    ],
)
def test_one_round_is_the_known_table(tmp_path, capsys, words, percent):
    main([*words, "--rounds=1", f"--out={tmp_path}"])
    found = [100 * condition["relative_error"][1] for condition in summary(tmp_path)]
    assert found == pytest.approx(percent, abs=0.06)
    assert "after 1 round" in capsys.readouterr().out


def test_rounds_compound_on_what_was_sampled():
    sigmas, std = karras_sigmas(18), torch.tensor([0.5, 1.0]).double()
    course = compounded_std(Sampling("heun", "karras", 18), std, 3)
    for before, after in zip(course, course[1:], strict=False):
        bias = SamplerBias(heun_sampler, sigmas, before.square().diag())
        torch.testing.assert_close(after, before * (1 + bias.std_errors))
    assert (course[3] / std - 1 > 3 * (course[1] / std - 1) * 0.9).all()


def test_data_of_a_store_is_a_gaussian_of_its_covariance(tmp_path):
    rows = torch.randn(200, 3, generator=generator(0, "rows")) * torch.tensor([1.0, 0.5, 0.0])
    write_rows(tmp_path / "store", [(rows, None)], lambda: {})
    edm = Sampling("heun", "karras", 18)
    control(edm, data=tmp_path / "store", out=tmp_path / "o")
    condition, mixture = summary(tmp_path / "o")
    assert mixture["data"] == "mixture of 8 clusters"
    assert mixture["relative_error"] == [0, pytest.approx(0.0946, abs=0.01)]
    assert 0 < mixture["standard_error"] < 0.01
    centred = rows.double() - rows.double().mean(0)
    covariance = centred.T @ centred / len(rows)
    bias = SamplerBias(heun_sampler, karras_sigmas(18), covariance).total_variance_error
    assert condition["relative_error"][1] == pytest.approx(bias, rel=1e-6)


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("--std=1,x", "std = 1,x: must be numbers above 0"),
        ("--std=0", "std = 0: must be numbers above 0"),
        ("--steps=0", "steps = 0: must be at least 1"),
        ("--rounds=0", "rounds = 0: must be at least 1"),
        ("--data=nowhere", "data = nowhere: no such file or folder"),
        (
            "--solver=huen",
            "solver = huen: must be one of dpmpp_3m, dpmpp_2m, heun, euler, unipc_3m",
        ),
    ],
)
def test_a_mistake_is_one_line(tmp_path, capsys, word, said):
    with pytest.raises(SystemExit) as left:
        main([word, f"--out={tmp_path / 'out'}"])
    (line,) = capsys.readouterr().err.splitlines()
    assert left.value.code == 2
    assert line.startswith(f"error: {said}")
    assert not (tmp_path / "out").exists()


# A covariance of unknown origin


def saved(**arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def raw(member):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        # Of a date of its own: a case is named by its bytes, and workers must agree on the name.
        archive.writestr(zipfile.ZipInfo("cov.npy"), member)
    return file.getvalue()


def bomb():
    """A file of a few hundred bytes that claims 16,000 x 16,000 numbers."""
    header = io.BytesIO()
    claim = {"descr": "<f8", "fortran_order": False, "shape": (16_000, 16_000)}
    np.lib.format.write_array_header_1_0(header, claim)
    return raw(header.getvalue() + bytes(16))


def test_a_covariance_is_that_of_its_file(tmp_path):
    A = torch.randn(4, 3, generator=generator(0, "A")).double() / 3
    (tmp_path / "cov.npz").write_bytes(saved(cov=(A @ A.T).numpy()))
    control(Sampling(num_steps=18), cov=tmp_path / "cov.npz", rounds=1, out=tmp_path / "o")
    (condition,) = summary(tmp_path / "o")
    bias = SamplerBias(dpmpp_3m_sampler, log_uniform_sigmas(18), A @ A.T).total_variance_error
    assert condition["relative_error"][1] == pytest.approx(bias, rel=1e-6)
    assert condition["variance"][0] == pytest.approx(float((A**2).sum()))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is no npz"),
        (b"PK\3\4 not a zip", "is no npz"),
        (saved(sigma=np.eye(2)), "holds no array cov"),
        (saved(cov=np.array([{}, []], dtype=object)), "cov cannot be read: type object"),
        (saved(cov=np.eye(2) * 1j), "cov cannot be read: type complex128"),
        (saved(cov=np.ones(4)), "cov cannot be read: shape is (4,), must be (any, any)"),
        (saved(cov=np.ones((0, 20_000))), "cov cannot be read: shape is (0, 20000)"),
        (bomb(), "cov cannot be read: 144 bytes do not hold"),
        (raw(b"\x93NUMPY\x01\x00\xff\xff{"), "cov cannot be read"),
        (saved(cov=np.ones((2, 3))), "must be a square matrix, got (2, 3)"),
        (saved(cov=np.zeros((0, 0))), "must be a square matrix, got (0, 0)"),
        (saved(cov=np.array([[1.0, 0.5], [0.1, 1.0]])), "must be finite and symmetric"),
        (saved(cov=np.array([[np.nan, 0.0], [0.0, 1.0]])), "must be finite and symmetric"),
        (saved(cov=np.array([[1.0, 2.0], [2.0, 1.0]])), "must have positive eigenvalues"),
        (saved(cov=np.zeros((2, 2))), "must have positive eigenvalues"),
    ],
)
def test_a_covariance_of_unknown_origin_is_one_line(tmp_path, capsys, content, said):
    path = tmp_path / "cov.npz"
    path.write_bytes(content)
    with pytest.raises(SystemExit) as left:
        main([f"--cov={path}", f"--out={tmp_path / 'out'}"])
    (line,) = capsys.readouterr().err.splitlines()
    assert left.value.code == 2
    assert said in line
    assert not (tmp_path / "out").exists()


def test_data_and_a_covariance_contradict_each_other(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main([f"--cov={tmp_path}", f"--data={tmp_path}", f"--out={tmp_path / 'out'}"])
    said = f"error: data = {tmp_path}: cannot be given with cov"
    assert capsys.readouterr().err.startswith(said)


def test_levels_are_fitted_told_and_as_a_configuration_has_them(tmp_path, capsys):
    rows = torch.randn(200, 2, generator=generator(0, "rows")) / 10
    rows += torch.arange(200)[:, None] % 2
    write_rows(tmp_path / "store", [(rows, torch.arange(200) % 2)], lambda: {})
    few = Sampling("unipc_3m", num_steps=6, temperature=0.9)
    control(few, data=tmp_path / "store", fit=True, out=tmp_path / "o")
    said = capsys.readouterr().out
    told = yaml.safe_load(said[said.index("loop:") : said.index("results:")])
    found = Sampling(**told["loop"]["sampling"])
    assert found == replace(few, schedule="levels", levels=found.levels)
    assert "before the fit, on the mixture: " in said
    # The command that is kept makes the same, and fits nothing.
    command = json.loads((tmp_path / "o" / "summary.json").read_text())["command"]
    assert "--fit" not in command
    main([*shlex.split(command)[1:], f"--out={tmp_path / 'again'}"])
    assert summary(tmp_path / "again") == summary(tmp_path / "o")


def test_what_no_levels_can_be_fitted_to_is_refused_before_a_folder_is_made(tmp_path):
    wide = torch.randn(20, 257, generator=generator(0, "rows"))
    write_rows(tmp_path / "wide", [(wide, None)], lambda: {})
    for options, said in (
        ({}, "fit = true: needs data"),
        ({"data": tmp_path / "wide"}, "rows must hold at most 256 numbers"),
        ({"data": tmp_path / "wide", "sampling": Sampling(num_steps=2)}, "steps = 2: must be"),
    ):
        with pytest.raises(ValueError, match=said):
            control(**options, fit=True, out=tmp_path / "o")
    assert not (tmp_path / "o").exists()
