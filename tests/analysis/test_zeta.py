"""ζ of runs whose losses are known: over shares and widths, paired by seed."""

import json

import numpy as np
import pytest
import yaml
from records import CONTROL, write_run

from lightning_collapse import Run
from lightning_collapse.analysis.conditions import conditions
from lightning_collapse.analysis.zeta import amplification, zetas
from lightning_collapse.runs.config_file import ConfigFile

SHARES, WIDTHS = (0.01, 0.5, 0.99), (16, 64)


def a_sweep(folder, seeds=3, widths=WIDTHS, controls=True):
    """Losses of which ζ is share · (1 + log2 width), from round 1 on, and a seed its own level."""
    chance = np.random.default_rng(0)
    for seed in range(seeds):
        for width in widths:
            level = 2 + 10 * seed - 0.01 * width
            for share in [0.0, *SHARES] if controls else SHARES:
                n = round(1000 * share)
                cost = share * (1 + np.log2(width)) + 0.001 * chance.standard_normal()
                losses = [level, *[level + cost] * 3]
                fixed = {
                    "regime_options": {"synthetic_fraction": share},
                    "n_real": 1000 - n,
                    "n_synthetic": n,
                }
                fixed = CONTROL if share == 0 else fixed
                columns = {"val_loss": losses, "fd_pixels": [0.5] * 4}
                run = write_run(folder / f"{width}-{share}-{seed}", columns, seed=seed, **fixed)
                network = {"class_path": "lightning_collapse.SigmaMLP"}
                network["init_args"] = {"dim": 2, "width": width}
                data = {"regime": {"init_args": {"synthetic_fraction": share}}}
                config = {"data": data, "model": {"network": network}}
                run.config.write(config)


def read(folder):
    return conditions([Run(path) for path in sorted(folder.iterdir())])


def test_zeta_is_the_loss_that_samples_add_in_pairs_of_a_seed(tmp_path):
    a_sweep(tmp_path)
    told = zetas(read(tmp_path))
    assert [(one.size, one.share) for one in told] == [(w, s) for w in WIDTHS for s in SHARES]
    for one in told:
        truth = one.share * (1 + np.log2(one.size))
        for interval in (*one.rounds, one.loop):
            # Seeds differ by 10: unpaired nothing could be told.
            assert interval.high - interval.low < 0.02
            assert interval.mean == pytest.approx(truth, abs=0.003)


def test_a_width_that_doubles_zeta_is_told_to_amplify_it(tmp_path):
    a_sweep(tmp_path)
    small, *large = amplification(zetas(read(tmp_path)))
    for one in large:
        assert one.word == "amplified" and one.slope.mean == pytest.approx(one.share, abs=0.003)
    assert small.share == 0.01 and small.slope.mean == pytest.approx(0.01, abs=0.003)


def test_one_seed_or_one_width_tells_no_interval_and_no_slope(tmp_path):
    a_sweep(tmp_path / "one", seeds=1)
    told = zetas(read(tmp_path / "one"))
    assert all(one.loop is None and set(one.rounds) == {None} for one in told)
    assert {one.word for one in amplification(told)} == {"not told"}
    a_sweep(tmp_path / "width", widths=(16,))
    told = zetas(read(tmp_path / "width"))
    assert all(one.size is None and one.loop for one in told)
    assert all(one.slope is None for one in amplification(told))


def test_every_width_needs_its_own_control(tmp_path):
    a_sweep(tmp_path, controls=False)
    with pytest.raises(ValueError, match="control: .* has none"):
        zetas(read(tmp_path))
    for seed in range(3):
        a_sweep_of_one = {"val_loss": [1.0] * 4, "fd_pixels": [0.5] * 4}
        run = write_run(tmp_path / f"control-{seed}", a_sweep_of_one, seed=seed, **CONTROL)
        ConfigFile(run.config.path).write(
            yaml.safe_load((tmp_path / f"16-0.5-{seed}/config.yaml").read_text())
        )
    with pytest.raises(ValueError, match="width = 64.* has none"):
        zetas(read(tmp_path))


def test_the_command_writes_what_it_says(tmp_path, cli):
    a_sweep(tmp_path / "sweep")
    status, said, errors = cli("analyse", "zeta", tmp_path / "sweep", "--out", tmp_path / "out")
    assert (status, errors) == (0, "")
    assert "99%   1,000: amplified" in said
    summary = json.loads((tmp_path / "out/summary.json").read_text())
    assert summary["command"] == f"analyse zeta {tmp_path / 'sweep'}"
    assert len(summary["zeta"]) == 6 and len(summary["zeta"][0]["by_seed"]) == 3
    assert (tmp_path / "out/zeta.png").exists() and (tmp_path / "out/zeta.pdf").exists()
    mixed = [path for path in (tmp_path / "sweep").iterdir() if "-0.0-" not in path.name]
    status, _, errors = cli("analyse", "zeta", *mixed, "--out", tmp_path / "none")
    assert status == 2 and errors.startswith("error: control: ") and errors.count("\n") == 1
    assert not (tmp_path / "none").exists()


def test_points_are_compared_by_what_each_replicas_run_would_record(tmp_path, cli):
    words = ("analyse", "zeta", "--toy", "diffusion", "--widths", "4,8", "--lambdas", "0.5,1")
    words = (*words, "--n", 32, "--replicas", 2, "--images_per_round", 64, "--batch_size", 16)
    status, said, errors = cli(*words, "--out", tmp_path)
    assert (status, errors) == (0, "") and "for each doubling of the width" in said
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["command"].startswith("analyse zeta --toy diffusion --widths 4,8")
    assert [(one["size"], one["share"]) for one in summary["zeta"]] == [
        (width, share) for width in (4, 8) for share in (0.5, 1.0)
    ]
    # Round 0 knows no regime: both train on the same real rows.
    for one in summary["zeta"]:
        assert one["mixed"][0] == one["real"][0] and one["mixed"][1] != one["real"][1]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "runs: name some, or else --toy diffusion"),
        (["--toy", "diffusion", "--lambdas", "0,1"], "lambdas = 0: must be a number above 0"),
        (["--toy", "diffusion", "--widths", "8,4"], "widths = 8,4: must be rising whole numbers"),
        (["--toy", "diffusion", "--replicas", 1], "replicas = 1: must be at least 2"),
    ],
)
def test_mistakes_are_one_line_before_anything_is_trained(tmp_path, cli, words, said):
    status, _, errors = cli("analyse", "zeta", *words, "--out", tmp_path / "out")
    assert status == 2 and errors.startswith(f"error: {said}") and errors.count("\n") == 1
    assert not (tmp_path / "out").exists()
