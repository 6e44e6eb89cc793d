"""The control command: known figures, sources of a covariance, and what it refuses."""

import csv
import io
import json
import zipfile

import numpy as np
import pytest
import torch

from lightning_collapse.analysis.control import sampler_bias
from lightning_collapse.commands.control import main
from lightning_collapse.data.store import write_rows
from lightning_collapse.sampling import dpmpp_3m_sampler, log_uniform_sigmas
from lightning_collapse.seeds import generator


def command(*arguments):
    try:
        main([*map(str, arguments)])
    except SystemExit as end:
        return end.code
    return 0


def results(out):
    return json.loads((out / "summary.json").read_text())["conditions"]


# Relative errors in percent at std 1, 0.5, 0.2, 0.05, by a scalar recursion of its own.
KNOWN = [
    ("heun", "karras", 18, 35, [4.5, 5.5, 7.3, 11.1]),
    ("heun", "karras", 40, 79, [0.8, 1.0, 1.3, 1.8]),
    ("heun", "karras", 64, 127, [0.3, 0.4, 0.5, 0.6]),
    ("dpmpp_2m", "karras", 35, 35, [1.1, 1.4, 1.8, 2.5]),
    ("dpmpp_2m", "log_uniform", 35, 35, [0.6, 0.6, 0.6, 0.5]),
    ("dpmpp_3m", "log_uniform", 18, 18, [0.77, 0.79, 0.74, 0.71]),
    ("dpmpp_3m", "log_uniform", 24, 24, [0.23, 0.24, 0.24, 0.17]),
    ("dpmpp_3m", "log_uniform", 35, 35, [0.04, 0.05, 0.05, -0.02]),
    ("dpmpp_3m", "karras", 35, 35, [-0.28, -0.38, -0.57, -1.04]),
]


@pytest.fixture
def undrawn(monkeypatch):
    monkeypatch.setattr("lightning_collapse.commands.control._draw", lambda *_: None)


@pytest.mark.parametrize(("solver", "schedule", "steps", "calls", "percent"), KNOWN)
def test_known_biases(tmp_path, undrawn, solver, schedule, steps, calls, percent):
    options = ["--solver", solver, "--schedule", schedule, "--steps", steps, "--rounds", 1]
    assert command(*options, "--out", tmp_path) == 0
    found = results(tmp_path)
    assert [c["std"] for c in found] == pytest.approx([1, 0.5, 0.2, 0.05])
    assert all(c["calls"] == calls for c in found)
    digit = 0.1 if max(map(abs, percent)) > 0.3 and solver != "dpmpp_3m" else 0.01
    for condition, expected in zip(found, percent, strict=True):
        assert 100 * condition["std_error"][0] == pytest.approx(expected, abs=0.51 * digit)


def test_rounds_compound_as_if_each_were_the_first(tmp_path, undrawn):
    """Round r + 1 is a single round on a Gaussian as wide as round r's samples."""
    assert command("--steps", 18, "--std", "0.3", "--rounds", 3, "--out", tmp_path) == 0
    (found,) = results(tmp_path)
    std = 0.3
    for error in found["std_error"]:
        variance = torch.tensor([[std**2]], dtype=torch.float64)
        std *= 1 + float(
            sampler_bias(dpmpp_3m_sampler, log_uniform_sigmas(18), variance).std_errors
        )
        assert error == pytest.approx(std / 0.3 - 1, rel=1e-9)
    assert found["variance_error"] == pytest.approx([(1 + e) ** 2 - 1 for e in found["std_error"]])
    with open(tmp_path / "rounds.csv", newline="") as file:
        lines = list(csv.DictReader(file))
    assert [line["round"] for line in lines] == ["0", "1", "2"]


def test_a_covariance_file_and_the_rows_it_is_of_say_the_same(tmp_path, capsys, undrawn):
    random = generator(0, "rows")
    rows = torch.randn(200, 3, generator=random) @ torch.randn(3, 5, generator=random) / 4
    write_rows(tmp_path / "real", [(rows[:120], None), (rows[120:], None)], dict)
    np.savez(tmp_path / "cov.npz", cov=np.cov(rows.double().numpy().T))
    for name, source in [("a", ["--cov", "cov.npz"]), ("b", ["--data", "real"])]:
        option, path = source
        assert command(option, tmp_path / path, "--steps", 12, "--out", tmp_path / name) == 0
    from_file, from_rows = results(tmp_path / "a"), results(tmp_path / "b")
    assert [c["axis"] for c in from_file] == ["all", "largest", "median", "smallest"]
    for a, b in zip(from_file, from_rows, strict=True):
        assert a["std"] == pytest.approx(b["std"], rel=1e-5)
        assert a["variance_error"] == pytest.approx(b["variance_error"], rel=1e-4)
    expected = sampler_bias(
        dpmpp_3m_sampler, log_uniform_sigmas(12), torch.from_numpy(np.cov(rows.numpy().T))
    )
    assert len(expected.variances) == 3
    assert from_file[0]["variance_error"][0] == pytest.approx(expected.total_variance_error)
    assert "12  " in capsys.readouterr().out


def test_a_table_is_printed_and_drawn(tmp_path, capsys):
    assert command("--steps", "4,8", "--std", "1,0.1", "--rounds", 2, "--out", tmp_path) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:6] == ["solver", "schedule", "steps", "calls", "axis", "std"]
    assert len(lines) == 1 + 4 + 1
    assert len({len(line) for line in lines[:-1]}) == 1
    for suffix in ("png", "pdf"):
        assert (tmp_path / f"control.{suffix}").stat().st_size > 1000


def bomb():
    """An npz of a few hundred bytes that claims 16,000 x 16,000 numbers."""
    header = io.BytesIO()
    shape = {"descr": "<f8", "fortran_order": False, "shape": (16_000, 16_000)}
    np.lib.format.write_array_header_1_0(header, shape)
    return npz(header.getvalue() + bytes(16))


def npz(member):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("cov.npy", member)
    return file.getvalue()


def saved(**arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is no npz"),
        (b"PK\3\4 not a zip", "is no npz"),
        (saved(sigma=np.eye(2)), "holds no array cov"),
        (saved(cov=np.array([{}, []], dtype=object)), "cov cannot be read: type object"),
        (saved(cov=np.eye(2) * 1j), "cov cannot be read: type complex128"),
        (saved(cov=np.ones(4)), "cov cannot be read: shape is (4,), must be (any, any)"),
        (bomb(), "cov cannot be read: 144 bytes do not hold"),
        (npz(b"\x93NUMPY\x01\x00\xff\xff{"), "cov cannot be read"),
        (saved(cov=np.ones((2, 3))), "must be a square matrix, got (2, 3)"),
        (saved(cov=np.zeros((0, 0))), "must be a square matrix, got (0, 0)"),
        (saved(cov=np.array([[1.0, 0.5], [0.1, 1.0]])), "must be finite and symmetric"),
        (saved(cov=np.array([[np.nan, 0.0], [0.0, 1.0]])), "must be finite and symmetric"),
        (saved(cov=np.array([[1.0, 2.0], [2.0, 1.0]])), "must have no negative eigenvalue"),
        (saved(cov=np.zeros((2, 2))), "covariance is zero"),
    ],
)
def test_a_covariance_of_unknown_origin(tmp_path, capsys, content, said):
    path = tmp_path / "cov.npz"
    path.write_bytes(content)
    assert command("--cov", path, "--out", tmp_path / "new") == 2
    out, err = capsys.readouterr()
    (line,) = err.splitlines()
    assert out == ""
    assert said in line
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--solver", "heunn"], "solver = heunn: must be one of dpmpp_3m, "),
        (["--steps", "0"], "steps = 0: must be at least 1"),
        (["--steps", "18;40"], "steps = 18;40: must be whole numbers separated by commas"),
        (["--std", "1,0"], "std = 0: must be a number above 0"),
        (["--std", "1,inf"], "std = inf: must be a number above 0"),
        (["--std", "one"], "std = one: must be numbers separated by commas"),
        (["--rounds", "0"], "rounds = 0: must be at least 1"),
        (["--std", "1", "--cov", "x.npz"], "std and cov: give one of them"),
        (["--cov", "none.npz"], "none.npz: no such file"),
        (["--data", "none"], "none: holds no store"),
        (["--sigma_min", "100"], "sigma_min and sigma_max must satisfy"),
    ],
)
def test_bad_input_is_one_line(tmp_path, capsys, arguments, said):
    assert command(*arguments, "--out", tmp_path / "new") == 2
    out, err = capsys.readouterr()
    (line,) = err.splitlines()
    assert out == ""
    assert line.startswith(f"error: {said}")
    assert not (tmp_path / "new").exists()
