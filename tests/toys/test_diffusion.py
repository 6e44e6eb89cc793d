"""Diffusion beside the mixture: exact, as theory has it, and learned, by the run it is."""

import json

import pytest
import torch
from closed_forms import SamplerBias

from lightning_collapse.learners.learner import GaussianMixtureEM
from lightning_collapse.sampling.choice import Sampling
from lightning_collapse.sampling.solvers import heun_sampler
from lightning_collapse.seeds import generator
from lightning_collapse.toys.conditions import condition
from lightning_collapse.toys.diffusion import SCALE, ExactDiffusion, loop_samples, points

TINY = ["--n=40", "--rounds=2", "--images_per_round=256", "--width=8", "--depth=1", "--steps=4"]


def conditions(out):
    return json.loads((out / "summary.json").read_text())["conditions"]


@pytest.fixture
def undrawn(monkeypatch):
    monkeypatch.setattr("lightning_collapse.commands.toy_diffusion.draw_routes", lambda *_: None)


def test_exact_diffusion_of_one_gaussian_is_off_by_the_samplers_bias():
    """With one component the whole sampler is linear: noise in, samples out."""
    sampling = Sampling("heun", "karras", 18)
    diffusion = ExactDiffusion(GaussianMixtureEM(1), sampling)
    rows = torch.randn(50, 2, dtype=torch.float64, generator=generator(0, "rows"))
    diffusion.fit(rows * torch.tensor([0.5, 0.1]))
    fit = diffusion._learner.mixture
    C = torch.from_numpy(fit.covariances[0, 0])
    samples = diffusion.sample(300, generator(0, "sample"))
    noise = torch.randn(300, 2, dtype=torch.float64, generator=generator(0, "sample"))
    A = torch.linalg.lstsq(noise, samples - torch.from_numpy(fit.means[0, 0])).solution
    bias = SamplerBias(heun_sampler, sampling.sigmas, C)
    std = bias.variances.sqrt() * (1 + bias.std_errors)
    torch.testing.assert_close(
        torch.linalg.svdvals(A).flip(0), std, rtol=1e-3, atol=0
    )  # what is left of the noise's own mean at sigma_max


def test_exact_diffusion_with_many_steps_is_the_mixture():
    asked, seed = condition("Replace", 1.0, 3000, 2), 0
    real = points(asked).read(seed)[0][: asked.n_real]
    exact = ExactDiffusion(GaussianMixtureEM(seed=seed), Sampling(num_steps=60))
    diffused = loop_samples(exact, real, asked, 1, seed)[0]
    direct = loop_samples(GaussianMixtureEM(seed=seed), real, asked, 1, seed)[0]
    assert diffused.shape == direct.shape == (3000, 2)
    assert (diffused.mean(0) - direct.mean(0)).abs().max() < 4 * 0.5 * (2 / 3000) ** 0.5
    spread = torch.cov(diffused.T) - torch.cov(direct.T)
    assert spread.abs().max() < 4 * 0.25 * (4 / 3000) ** 0.5
    near = (diffused[:, None] - torch.tensor([(-0.5, -0.5), (0.0, 0.5), (0.5, -0.5)])).norm(dim=2)
    assert (near.min(1).values < 0.5 / SCALE**0.5 * 3).all()


def test_heuns_few_steps_widen_every_round_and_the_mixture_does_not(cli, tmp_path, undrawn):
    options = ["--exact=true", "--solver=heun", "--schedule=karras", "--steps=12", "--rounds=4"]
    assert cli("toy", "diffusion", *options, "--n=2000", "--out", tmp_path)[0] == 0
    exact, mixture = conditions(tmp_path)
    assert [exact["model"], mixture["model"]] == ["exact diffusion", "mixture"]
    assert exact["variance_mean"][-1] > 1.5 * exact["variance_mean"][0]
    assert mixture["variance_mean"][-1] == pytest.approx(0.5, rel=0.1)
    assert exact["modes_covered_mean"] == [3, 3, 3, 3]


def test_a_learned_run_is_a_run_like_any_other(cli, tmp_path):
    status, out, _ = cli("toy", "diffusion", *TINY, "--lambdas=0.5", "--out", tmp_path)
    assert status == 0
    run = tmp_path / "lambda-0.5-seed-0"
    records = [json.loads(line) for line in (run / "rounds.jsonl").read_text().splitlines()]
    assert [(r["n_real"], r["n_synthetic"]) for r in records] == [(40, 0), (20, 20)]
    learned, mixture = conditions(tmp_path)
    assert [learned["model"], mixture["model"]] == ["diffusion", "mixture"]
    assert len(learned["variance_mean"]) == len(mixture["sliced_wasserstein_mean"]) == 2
    assert (tmp_path / "diffusion.png").stat().st_size > 10_000
    assert out.endswith(f"results: {tmp_path}\n")


def test_replicas_together_are_the_runs_of_their_seeds(cli, tmp_path, undrawn):
    """What each alone comes to is within the band, at its ends with two."""
    options = [*TINY, "--lambdas=0.5", "--batch_size=32"]
    for seed in (5, 6):
        words = [*options, f"--seed={seed}", "--out", tmp_path / str(seed)]
        assert cli("toy", "diffusion", *words)[0] == 0
    words = [*options, "--seed=5", "--replicas=2", "--out", tmp_path / "both"]
    assert cli("toy", "diffusion", *words)[0] == 0
    both = conditions(tmp_path / "both")
    alone = [conditions(tmp_path / seed) for seed in ("5", "6")]
    assert (tmp_path / "5" / "lambda-0.5-seed-5" / "rounds.jsonl").exists()
    assert not [path for path in (tmp_path / "both").iterdir() if path.is_dir()]
    for told, *each in zip(both, *alone, strict=True):
        for name in ("variance", "smallest_mode_share"):
            known = [[one[f"{name}_mean"][r] for one in each] for r in range(2)]
            for r, (a, b) in enumerate(known):
                band = [told[f"{name}_{part}"][r] for part in ("q05", "mean", "q95")]
                low, high = min(a, b), max(a, b)
                wanted = [low + share * (high - low) for share in (0.05, 0.5, 0.95)]
                assert band == pytest.approx(wanted, rel=1e-3)


def test_many_shares_are_a_ramp_and_their_ends_are_drawn(cli, tmp_path):
    shares = ["--lambdas=0.2,0.4,0.6,0.8,1", "--exact=true", "--replicas=2"]
    assert cli("toy", "diffusion", *TINY, *shares, "--out", tmp_path)[0] == 0
    assert {"diffusion.png", "ends.png", "ends.pdf"} <= {path.name for path in tmp_path.iterdir()}
    assert len(conditions(tmp_path)) == 2 * 5


def test_replicas_show_bands(cli, tmp_path):
    status, out, _ = cli("toy", "diffusion", *TINY, "--replicas=3", "--out", tmp_path)
    assert status == 0
    assert (tmp_path / "diffusion.png").stat().st_size > 10_000
    learned = conditions(tmp_path)[0]
    assert learned["replicas"] == 3
    assert learned["sliced_wasserstein_q05"][1] < learned["sliced_wasserstein_q95"][1]
    lines = [line for line in out.splitlines() if line[0] != "*"]
    head = "condition figure at last 95 % interval theory replicas"
    assert lines[0].split() == head.split()
    assert len(lines) == 1 + 2 * 3 + 1 and lines[-1] == f"results: {tmp_path}"


def test_it_goes_on_where_it_stopped(cli, tmp_path, undrawn):
    assert cli("toy", "diffusion", *TINY, "--rounds=1", "--out", tmp_path / "cut")[0] == 0
    for name in ("cut", "whole"):
        assert cli("toy", "diffusion", *TINY, "--out", tmp_path / name)[0] == 0
    first, second = ((tmp_path / name / "summary.json").read_bytes() for name in ("cut", "whole"))
    assert first == second


def test_what_a_run_depends_on_cannot_change_on_the_way(cli, tmp_path, undrawn):
    assert cli("toy", "diffusion", *TINY, "--rounds=1", "--out", tmp_path)[0] == 0
    status, _, errors = cli("toy", "diffusion", *TINY, "--width=16", "--out", tmp_path)
    assert status == 2 and "was started differently" in errors
