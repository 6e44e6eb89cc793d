"""`lightning-collapse control`: the table of biases, and what it refuses."""

import json

import pytest
import torch

from lightning_collapse.analysis.control import compounded_std, sampler_bias
from lightning_collapse.commands.control import control, main
from lightning_collapse.data.store import write_rows
from lightning_collapse.sampling import heun_sampler, karras_sigmas
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
    course = compounded_std(heun_sampler, sigmas, std, 3)
    for before, after in zip(course, course[1:], strict=False):
        bias = sampler_bias(heun_sampler, sigmas, before.square().diag())
        torch.testing.assert_close(after, before * (1 + bias.std_errors))
    assert (course[3] / std - 1 > 3 * (course[1] / std - 1) * 0.9).all()


def test_data_of_a_store_is_a_gaussian_of_its_covariance(tmp_path):
    rows = torch.randn(200, 3, generator=generator(0, "rows")) * torch.tensor([1.0, 0.5, 0.0])
    write_rows(tmp_path / "store", [(rows, None)], lambda: {})
    control(
        solver="heun", schedule="karras", steps=18, data=tmp_path / "store", out=tmp_path / "o"
    )
    (condition,) = summary(tmp_path / "o")
    centred = rows.double() - rows.double().mean(0)
    covariance = centred.T @ centred / len(rows)
    bias = sampler_bias(heun_sampler, karras_sigmas(18), covariance).total_variance_error
    assert (1 + condition["relative_error"][1]) ** 2 - 1 == pytest.approx(bias, rel=1e-6)


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("--std=1,x", "std = 1,x: must be numbers above 0"),
        ("--std=0", "std = 0: must be numbers above 0"),
        ("--steps=0", "steps = 0: must be at least 1"),
        ("--rounds=0", "rounds = 0: must be at least 1"),
        ("--data=nowhere", "nowhere: holds no store"),
        ("--solver=huen", "solver = huen: must be one of dpmpp_3m, dpmpp_2m, heun, euler"),
    ],
)
def test_a_mistake_is_one_line(tmp_path, capsys, word, said):
    with pytest.raises(SystemExit) as left:
        main([word, f"--out={tmp_path / 'out'}"])
    (line,) = capsys.readouterr().err.splitlines()
    assert left.value.code == 2
    assert line.startswith(f"error: {said}")
    assert not (tmp_path / "out").exists()
