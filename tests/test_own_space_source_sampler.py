"""The documented feature space, source and sampler, in a user's file, wherever named."""

import json
import math

import numpy as np
import pytest
import torch
from closed_forms import gaussian_denoiser
from scipy.linalg import sqrtm
from tiny_runs import arguments, records

from lightning_collapse import log_uniform_sigmas

RING = '{"class_path": "mine.Ring", "init_args": {"n": 64}}'


def done(outcome):
    status, out, err = outcome
    assert status == 0, err
    return out


def polar_rows(store):
    x, y = np.concatenate([np.load(path) for path in sorted(store.glob("*.npy"))]).T
    return np.stack([np.hypot(x, y), np.arctan2(y, x)]).astype(np.float64)


def distance(a, b):
    """The Fréchet distance of columns (d, n) and (d, m), by its definition."""
    mixed = np.trace(sqrtm(np.cov(a) @ np.cov(b)).real)
    away = ((a.mean(1) - b.mean(1)) ** 2).sum()
    return away + np.trace(np.cov(a)) + np.trace(np.cov(b)) - 2 * mixed


def test_a_space_of_ones_own_gives_the_same_figures_in_fit_and_afterwards(documented, tmp_path):
    cli, run, other = (
        documented("A feature space of your own"),
        tmp_path / "own",
        tmp_path / "later",
    )
    done(cli("fit", *arguments(run, loop__features="mine.Polar")))
    done(cli("fit", *arguments(other)))
    told = records(run)
    polar = {name: value for name, value in told[1].items() if "polar" in name}
    assert {"fd_polar", "fd_polar_floor", "recall_polar", "sw2_polar_step"} <= polar.keys()
    out = done(cli("evaluate", run, "--features", "mine.Polar", "--json", tmp_path / "out.json"))
    assert "fd_polar" in out
    again = json.loads((tmp_path / "out.json").read_text())["rounds"][1]
    assert {name: again[name] for name in polar} == polar
    done(cli("measure", other, "--features", "mine.Polar"))
    later = records(other)[1]
    assert later["recall_polar"] == told[1]["recall_polar"]
    assert "fd_points" in later
    words = (run / "pool/0001", "--reference", run / "pool/real", "--features", "mine.Polar")
    done(cli("evaluate", *words, "--json", tmp_path / "out.json"))
    fd = json.loads((tmp_path / "out.json").read_text())["fd_polar"]
    assert fd == pytest.approx(distance(*map(polar_rows, (words[0], words[2]))), rel=1e-6)


def test_a_run_in_a_space_of_ones_own_asks_for_it_by_name(documented, tmp_path):
    cli, run = documented("A feature space of your own"), tmp_path / "own"
    changed = {"loop__features": "mine.Polar", "trainer__max_epochs": 1}
    done(cli("fit", *arguments(run, **changed)))
    status, _, err = cli("evaluate", run)
    assert status == 2
    assert err == "error: features: the run's fd_polar is of a space of its user's own; name it\n"


def test_real_rows_of_ones_own_source_are_imported_again_if_it_is_trusted(documented, tmp_path):
    cli, run = documented("A source of your own"), tmp_path / "ring"
    done(cli("fit", *arguments(run, data__source=RING, trainer__max_epochs=1)))
    shard = run / "pool/real/shard-00000.npy"
    whole = shard.read_bytes()
    assert np.hypot(*np.load(shard).T) == pytest.approx(0.7)
    shard.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    status, out, _ = cli("pool", "verify", run)
    assert status == 1 and f"{shard}: is damaged" in out
    status, out, _ = cli("pool", "repair", run)
    assert status == 1 and shard.read_bytes() != whole
    assert "source = mine.Ring: is none of" in out and "--trust_class mine.Ring" in out
    status, out, _ = cli("pool", "repair", run, "--trust_class", "mine.Other")
    assert status == 1
    words = ("--trust_class", "mine.Net", "--trust_class", "mine.Ring")
    assert "imported again" in done(cli("pool", "repair", run, *words))
    assert shard.read_bytes() == whole
    manifest = run / "pool/real/manifest.json"
    kept = manifest.read_bytes()
    manifest.unlink()
    done(cli("pool", "repair", run, "--trust-class=mine.Ring"))
    assert manifest.read_bytes() == kept
    done(cli("pool", "verify", run))


def test_what_is_trusted_and_is_no_source_is_not_made(documented, tmp_path):
    cli, run = documented("A source of your own"), tmp_path / "ring"
    done(cli("fit", *arguments(run, data__source=RING, trainer__max_epochs=1)))
    (run / "pool/real/shard-00000.npy").unlink()
    (tmp_path / "other.py").write_text("Ring = exit")
    status, out, _ = cli("pool", "repair", run, "--trust_class", "other.Ring")
    assert status == 1 and "source = mine.Ring: what is trusted by that name is no Source" in out


def test_a_sampler_of_ones_own_samples_a_runs_network(documented, tmp_path):
    cli = documented("A sampler of your own")
    done(cli("fit", *arguments(tmp_path / "runs/points_replace")))
    import mine

    assert mine.points.shape == (64, 2) and mine.points.isfinite().all()
    # Of a Gaussian, whose flow is known.
    std = 0.5
    denoise = gaussian_denoiser(torch.zeros(1).double(), torch.tensor([[std**2]]).double())
    noise = torch.ones(1, 1, dtype=torch.float64)
    end = mine.midpoint(denoise, noise, log_uniform_sigmas(200))
    exact = 80 * std / math.hypot(std, 80)
    assert abs(float(end) / exact - 1) < 1e-2
