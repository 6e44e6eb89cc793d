import io
import json

import numpy as np
import pytest

from lightning_collapse.data.foreign.npz import read_array


def test_writes_what_it_made_without_a_pickle(cli, tmp_path):
    words = ("--n", 300, "--samples", 2000, "--seed", 3, "--out", tmp_path)
    assert cli("toy", "gmm-samples", *words) == (0, f"results: {tmp_path}\n", "")
    with np.load(tmp_path / "samples.npz", allow_pickle=False) as file:
        samples, labels, training = (file[name] for name in ("samples", "labels", "training"))
    with np.load(tmp_path / "mixture.npz", allow_pickle=False) as file:
        mixture = {name: file[name] for name in file.files}
    assert samples.shape == (2000, 2)
    assert training.shape == (300, 2)
    written = json.loads((tmp_path / "mixture.json").read_text())
    for name, value in mixture.items():
        assert written[name] == value.tolist()
    # The modes, in any order, and samples around the mean of their label.
    order = np.argsort(mixture["means"] @ [1, 0.1])
    np.testing.assert_allclose(mixture["means"][order], [(-4, -4), (0, 4), (4, -4)], atol=0.4)
    for k in range(3):
        offset = samples[labels == k] - mixture["means"][k]
        np.testing.assert_allclose(offset.mean(0), 0, atol=0.15)
    said = json.loads((tmp_path / "statistics.json").read_text())
    assert said["samples_of_component"] == np.bincount(labels).tolist()
    np.testing.assert_allclose(said["samples_covariance"], np.cov(samples.T, bias=True))
    assert said["training_mean"] == training.mean(0).tolist()
    assert said["sliced_wasserstein"] < 1
    assert (tmp_path / "samples.png").stat().st_size > 1000


def test_the_same_seed_gives_the_same_bytes_and_given_rows_the_same_fit(
    cli, tmp_path, monkeypatch
):
    monkeypatch.setattr("lightning_collapse.commands.toy_gmm_samples._draw", lambda *_: None)
    for name in ("a", "b"):
        assert cli("toy", "gmm-samples", "--n", 50, "--out", tmp_path / name)[0] == 0
    for name in ("samples.npz", "mixture.npz", "mixture.json", "statistics.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    rows = read_array(tmp_path / "a" / "samples.npz", "training", (None, 2))
    np.savez(tmp_path / "rows.npz", rows=rows)
    words = ("--data", tmp_path / "rows.npz", "--out", tmp_path / "c")
    assert cli("toy", "gmm-samples", *words)[0] == 0
    for name in ("samples.npz", "mixture.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "c" / name).read_bytes()


@pytest.mark.parametrize("d", [1, 4])
def test_rows_of_other_dimensions(cli, tmp_path, d):
    rows = np.random.default_rng(0).normal(size=(60, d)).astype(np.float32)
    np.savez(tmp_path / "rows.npz", rows=rows)
    arguments = ["--data", tmp_path / "rows.npz", "--components", 2, "--samples", 40]
    assert cli("toy", "gmm-samples", *arguments, "--out", tmp_path)[0] == 0
    said = json.loads((tmp_path / "statistics.json").read_text())
    assert np.shape(said["samples_covariance"]) == (d, d)


def saved(**arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"no npz", "is no npz"),
        (saved(x=np.ones((3, 2))), "holds no array rows"),
        (saved(rows=np.array([["a"]])), "rows cannot be read: type <U1"),
        (saved(rows=np.array([[{}]], dtype=object)), "rows cannot be read: type object"),
        (saved(rows=np.ones(5)), "rows cannot be read: shape is (5,)"),
        (saved(rows=np.ones((1, 2))), "rows must be at least 2 of at least 1, got (1, 2)"),
        (saved(rows=np.ones((5, 0))), "rows must be at least 2 of at least 1, got (5, 0)"),
        (saved(rows=np.full((5, 2), np.inf)), "rows must be finite"),
        (saved(rows=np.ones((2, 2))), "n = 2: must be at least the number of components, 3"),
    ],
)
def test_rows_of_unknown_origin(cli, tmp_path, content, said):
    (tmp_path / "rows.npz").write_bytes(content)
    words = ("--data", tmp_path / "rows.npz", "--out", tmp_path / "new")
    status, _, errors = cli("toy", "gmm-samples", *words)
    (line,) = errors.splitlines()
    assert status == 2 and said in line
    assert not (tmp_path / "new").exists()
