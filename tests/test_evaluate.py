"""`lightning-collapse evaluate` through the front door: figures, references, refusals."""

import json
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from prdc import compute_prdc

from lightning_collapse import __main__ as door
from lightning_collapse.data.store.shards import write_rows
from lightning_collapse.metrics.baselines import MaskedNoise
from lightning_collapse.metrics.features import Pixels
from lightning_collapse.metrics.frechet import frechet_distance, frechet_distance_of_rows
from lightning_collapse.metrics.kernel import kernel_distance
from lightning_collapse.metrics.statistics import Statistics, write_statistics
from lightning_collapse.seeds import generator

SIDE, D = 4, 48
OF_ROWS = [
    *("kd_pixels", "kd_pixels_sd", "precision_pixels", "recall_pixels", "density_pixels"),
    *("coverage_pixels", "sw2_pixels"),
]
MOMENTS = [
    *("mean_distance_pixels", "grand_mean_pixels", "feature_spread_pixels"),
    *("covariance_trace_pixels", "covariance_logdet_pixels", "covariance_frobenius_pixels"),
]
FIGURES = ["fd_pixels", *OF_ROWS, *MOMENTS]


def images(n, seed, *path, side=SIDE):
    rows = 128 + 40 * torch.randn(n, 3, side, side, generator=generator(seed, "images", *path))
    return (rows + 10 * seed).clamp(0, 255).to(torch.uint8)


def folder(path, rows):
    for i, row in enumerate(rows):
        path.mkdir(exist_ok=True)
        Image.fromarray(row.permute(1, 2, 0).numpy()).save(path / f"{i:04d}.png")
    return path


def store(path, rows):
    write_rows(path, [(rows, None)], dict)
    return path


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    """Samples as PNG files, real images as PNG files and as a store."""
    path = tmp_path_factory.mktemp("sets")
    folder(path / "samples", images(70, 1))
    folder(path / "real", images(90, 2))
    store(path / "stored", images(90, 2))
    return path


@pytest.fixture
def run(monkeypatch, capsys):
    """Evaluates in this process; gives the exit status, what it said, and its errors."""

    def call(*words):
        words = ["lightning-collapse", "evaluate", *words, "--features", "pixels"]
        monkeypatch.setattr(sys, "argv", list(map(str, words)))
        try:
            door.main()
            status = 0
        except SystemExit as end:
            status = end.code
        return status, *capsys.readouterr()

    return call


def report(run, tmp_path, *words):
    status, out, err = run(*words, "--json", tmp_path / "out.json")
    assert (status, err) == (0, "")
    return out, json.loads((tmp_path / "out.json").read_text())


def test_a_folder_beside_a_folder_and_a_store(sets, run, tmp_path):
    out, told = report(run, tmp_path, sets / "samples", "--reference", sets / "real")
    x, y = Pixels()(images(70, 1)), Pixels()(images(90, 2))
    a, b = Statistics.of(x), Statistics.of(y)
    balls = compute_prdc(y[:70].numpy(), x.numpy(), nearest_k=5)
    expected = {
        "fd_pixels": frechet_distance(a.mu, a.sigma, b.mu, b.sigma),
        **dict(zip(["kd_pixels", "kd_pixels_sd"], kernel_distance(x, y[:70]), strict=True)),
        **{f"{name}_pixels": v for name, v in balls.items()},
        "mean_distance_pixels": float((a.mu - b.mu).norm()),
        "grand_mean_pixels": float(a.mu.mean()),
        "feature_spread_pixels": float(a.mu.std(correction=0)),
        "covariance_trace_pixels": float(a.sigma.trace()),
        "covariance_logdet_pixels": float(torch.linalg.slogdet(a.sigma).logabsdet),
        "covariance_frobenius_pixels": float(a.sigma.norm()),
        "real_covariance_trace_pixels": float(b.sigma.trace()),
        "real_covariance_logdet_pixels": float(torch.linalg.slogdet(b.sigma).logabsdet),
    }
    assert {name: told[name] for name in expected} == pytest.approx(expected, rel=1e-6)
    assert (told["n"], told["n_reference"], told["dimensions"]) == (70, 90, D)
    assert told["features"] == "pixels" and told["baseline"] is None
    assert set(FIGURES) < set(told["notes"]) < set(told)
    assert told["measured_rows"] == dict.fromkeys(
        ["KernelDistance", "Balls", "SlicedWasserstein"], 70
    )
    stored = report(run, tmp_path, sets / "samples", "--reference", sets / "stored")
    assert stored[1] == told | {"reference": str(sets / "stored")}
    lines = {line.split()[0]: line for line in out.splitlines() if line.strip()}
    assert all(f"{told[name]:.5g}" in lines[name] for name in FIGURES)
    assert max(map(len, out.splitlines())) <= 80
    assert out.count("n = 70") == out.count("90 rows") == out.count("first 70 rows") == 1


def test_the_floor_is_what_random_parts_of_the_reference_are_apart(run, tmp_path):
    """Measured where there are fewer rows than features, where the bias in 1/n is far off."""
    store(tmp_path / "a", images(30, 0))
    store(tmp_path / "b", images(30, 0).flip(0).mT.flip(2, 3))
    told = report(run, tmp_path, tmp_path / "a", "--reference", tmp_path / "b")[1]
    assert told["fd_pixels_floor_n"] == 15
    many = [Pixels()(images(15, 0, key)) for key in range(12)]
    apart = [frechet_distance_of_rows(x, y) for x, y in zip(many, many[1:], strict=False)]
    assert told["fd_pixels_floor"] == pytest.approx(sum(apart) / len(apart), rel=0.1)
    # The expansion says 1.6 times as much already at n = d.
    assert told["fd_pixels_floor"] > told["fd_pixels"]


def test_beside_statistics_the_bias_is_told_where_the_expansion_holds(run, tmp_path):
    store(tmp_path / "a", images(400, 0))
    write_statistics(tmp_path / "b.npz", Statistics.of(Pixels()(images(4000, 0).flip(2, 3))))
    words = (tmp_path / "a", "--reference", tmp_path / "b.npz", "--n")
    told = report(run, tmp_path, *words, 300)[1]
    assert told["fd_pixels"] == pytest.approx(told["fd_pixels_bias"], rel=0.2)
    few = report(run, tmp_path, *words, 4 * D - 1)[1]
    assert few["fd_pixels_bias"] is None
    assert few["cautions"]["fd_pixels_bias"].endswith("told from 4 rows a dimension on")


def test_n_takes_the_first_samples(sets, run, tmp_path):
    told = report(run, tmp_path, sets / "samples", "--reference", sets / "real", "--n", 30)[1]
    folder(tmp_path / "first", images(70, 1)[:30])
    first = report(run, tmp_path, tmp_path / "first", "--reference", sets / "real")[1]
    assert first | {"samples": None} == told | {"samples": None}
    assert told["n"] == 30


def test_exported_statistics_are_a_reference_of_equal_figures(sets, run, tmp_path):
    npz = tmp_path / "real.npz"
    words = (sets / "samples", "--reference", sets / "real", "--export-stats", npz)
    by_rows = report(run, tmp_path, *words)[1]
    with np.load(npz) as file:
        assert file["mu"].shape == (D,) and file["sigma"].shape == (D, D)
        assert file["mu"].dtype == file["sigma"].dtype == np.float64
        rows = Pixels()(images(90, 2)).double().numpy()
        np.testing.assert_allclose(
            file["sigma"], np.cov(rows, rowvar=False), rtol=1e-9, atol=1e-12
        )
        np.savez(tmp_path / "nvidia.npz", mu=file["mu"], sigma=file["sigma"])
    out, told = report(run, tmp_path, sets / "samples", "--reference", npz)
    assert [told[name] for name in OF_ROWS] == [None] * 7 and told["n_reference"] == 90
    assert set(OF_ROWS) < set(told["cautions"]) and "needs the" in out
    same = ["fd_pixels", *MOMENTS]
    assert {n: told[n] for n in same} == pytest.approx({n: by_rows[n] for n in same}, rel=1e-8)
    out, told = report(run, tmp_path, sets / "samples", "--reference", tmp_path / "nvidia.npz")
    assert told["n_reference"] is None
    assert told["fd_pixels"] == pytest.approx(by_rows["fd_pixels"], rel=1e-8)


@pytest.mark.parametrize(("name", "fraction"), [("noise", 1.0), ("masked-noise", 0.5)])
def test_baselines_stand_beside_the_samples(sets, run, tmp_path, name, fraction):
    words = (sets / "samples", "--reference", sets / "real", "--baseline", name)
    out, told = report(run, tmp_path, *words)
    baseline = told["baseline"]
    assert (baseline["name"], baseline["fraction"]) == (name, fraction)
    noisy = MaskedNoise(images(70, 1), fraction)[torch.arange(70)]
    real = Pixels()(images(90, 2))
    assert baseline["fd_pixels"] == pytest.approx(frechet_distance_of_rows(Pixels()(noisy), real))
    assert baseline["fd_pixels"] > told["fd_pixels"]
    assert f"{baseline['fd_pixels']:.5g}" in out and f" {name}" in out


def test_noise_has_the_moments_it_promises_and_spares_the_other_pixels():
    flat = torch.full((50, 3, 16, 16), 7, dtype=torch.uint8)
    noise = MaskedNoise(flat)[torch.arange(50)].double()
    assert noise.mean() == pytest.approx(128 - 0.5, abs=1)  # cut down to whole numbers
    assert noise.std() == pytest.approx(59, abs=1.5)  # and to 0..255
    half = MaskedNoise(flat, 0.5)
    touched = (half[torch.arange(50)] != 7).any(1).flatten(1).sum(1)
    assert touched.min() >= 126 and touched.max() <= 128
    assert torch.equal(half[torch.tensor([9])], half[torch.arange(50)][9:10])
    assert torch.equal(MaskedNoise(flat, 0.0)[torch.arange(50)], flat)
    assert not torch.equal(MaskedNoise(flat, 1.0, seed=1)[torch.arange(50)].double(), noise)


@pytest.mark.parametrize("collapsed", ["samples", "reference", "both"])
@pytest.mark.parametrize("n", [2, 3, 60])
def test_collapsed_and_tiny_sets_give_finite_figures(run, tmp_path, collapsed, n):
    one = images(1, 3)[:1]
    a = one.expand(n, -1, -1, -1) if collapsed != "reference" else images(n, 1)
    b = one.expand(n, -1, -1, -1) if collapsed != "samples" else images(n, 2)
    store(tmp_path / "a", a.contiguous())
    store(tmp_path / "b", b.contiguous())
    npz = tmp_path / "b.npz"
    words = (tmp_path / "a", "--reference", tmp_path / "b", "--export-stats", npz)
    told = report(run, tmp_path, *words)[1]
    always = {*FIGURES} - {*OF_ROWS} - {"covariance_logdet_pixels"}
    assert all(isinstance(told[name], float) for name in always)
    assert n < 6 or all(isinstance(told[name], float) for name in OF_ROWS)
    by_statistics = report(run, tmp_path, tmp_path / "a", "--reference", npz)[1]
    assert by_statistics["fd_pixels"] == pytest.approx(told["fd_pixels"], rel=1e-6, abs=1e-9)
    if collapsed == "both":
        assert told["fd_pixels"] == pytest.approx(0, abs=1e-12)


def bad_statistics():
    """Statistics that are none, by what the refusal says."""
    mu, sigma = np.zeros(D), np.eye(D)
    skew, negative, nan = np.eye(D), np.eye(D), np.eye(D)
    skew[0, 1], negative[3, 3], nan[0, 0] = 1, -1, np.nan
    yield "holds no array mu", {"sigma": sigma}
    yield "holds no array sigma", {"mu": mu}
    yield "mu cannot be read: shape is (47,), must be (48)", {"mu": mu[:-1], "sigma": sigma}
    yield "must be (48, 48)", {"mu": mu, "sigma": mu}
    yield "type complex128", {"mu": mu, "sigma": sigma * 1j}
    yield "type object", {"mu": np.array([{}] * D), "sigma": sigma}
    yield "not finite", {"mu": mu + np.inf, "sigma": sigma}
    yield "not finite", {"mu": mu, "sigma": nan}
    yield "too large", {"mu": mu, "sigma": sigma * 1e300}
    yield "too large", {"mu": mu + 1e200, "sigma": sigma}
    yield "not symmetric", {"mu": mu, "sigma": skew}
    yield "has the eigenvalue -1", {"mu": mu, "sigma": negative}
    yield "has the eigenvalue -1", {"mu": mu, "sigma": -sigma}
    yield "n = 0: must be", {"mu": mu, "sigma": sigma, "n": 0}
    yield "n = nan: must be", {"mu": mu, "sigma": sigma, "n": np.nan}
    yield "n = inf: must be", {"mu": mu, "sigma": sigma, "n": np.inf}
    yield "n cannot be read", {"mu": mu, "sigma": sigma, "n": mu}


@pytest.mark.parametrize(("says", "arrays"), [*bad_statistics()])
def test_bad_statistics_are_refused_in_one_line(sets, run, tmp_path, says, arrays):
    path = tmp_path / "bad.npz"
    np.savez(path, **arrays)
    status, out, err = run(sets / "samples", "--reference", path)
    assert (status, out) == (2, "")
    assert err.startswith(f"error: reference = {path}: ") and err.count("\n") == 1
    assert says in err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["{}/none", "--reference", "{}/real"], "samples = {}/none: no such file or folder"),
        (["{}/samples"], "reference: missing; name a folder"),
        (["{}/samples", "--reference", "{}/none"], "reference = {}/none: no such file or folder"),
        (["{}/samples", "--reference", "{}/real", "--n", "71"], "n = 71: must lie in 2..70"),
        (["{}/samples", "--reference", "{}/real", "--n", "1"], "n = 1: must be at least 2"),
        (["{}/samples", "--reference", "{}/wide"], "reference = {}/wide: holds images of (3, 8"),
        (["{}/one", "--reference", "{}/real"], "samples: there is 1, and figures need at least 2"),
        (["{}/samples", "--reference", "{}/one"], "reference = {}/one: holds 1 row; must"),
        (["{}/samples", "--reference", "{}/real", "--baseline", "nose"], "baseline"),
        (
            ["{}/samples", "--reference={}/real", "--baseline=masked-noise", "--fraction=2"],
            "fraction = 2: must lie in 0..1",
        ),
        (["{}/samples", "--reference", "{}/real", "--json", "{}/no/a.json"], "no folder {}/no"),
        (["{}/samples", "--reference", "{}/real", "--export-stats={}/no/a.npz"], "no folder {}/"),
        (["{}/empty", "--reference", "{}/real"], "samples = {}/empty: holds no image that can"),
        (["{}/page", "--reference", "{}/real"], "1 of 1 images cannot be used: a.png is no image"),
    ],
)
def test_mistakes_are_one_line(sets, run, words, says):
    folder(sets / "wide", images(3, 1, side=8))
    folder(sets / "one", images(1, 1))
    for name in ("empty", "page"):
        (sets / name).mkdir(exist_ok=True)
    (sets / "page" / "a.png").write_text("<html>")
    status, out, err = run(*(word.format(sets) for word in words))
    assert (status, out) == (2, "")
    assert err.startswith("error: ") and err.count("\n") == 1
    assert says.replace("{}", str(sets)) in err
