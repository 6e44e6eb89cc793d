"""Images in one array of an npy or npz file, however its axes and its name are chosen."""

import io
import tracemalloc
import zipfile

import numpy as np
import pytest
import torch

from lightning_collapse.data.sources.arrays import ImageArray
from lightning_collapse.data.store.shards import StoredRows

NCHW = np.random.default_rng(0).integers(0, 256, (6, 3, 8, 8), dtype=np.uint8)
NHWC = np.ascontiguousarray(NCHW.transpose(0, 2, 3, 1))
GRAY = NCHW[:, :1]
LABELS = np.array([0, 2, 1, 0, 2, 2])


def refused(path):
    with pytest.raises(ValueError) as caught:
        ImageArray(path).read()
    line = str(caught.value)
    assert line.startswith(f"path = {path}: ") and "\n" not in line
    return line


@pytest.mark.parametrize(
    "array", [NHWC, NCHW, np.asfortranarray(NHWC)], ids=["last", "first", "F"]
)
@pytest.mark.parametrize("save", ["npy", "arr_0", "x", "samples", "packed"])
def test_axes_and_names_are_found(tmp_path, array, save):
    path = tmp_path / "a.any"
    with open(path, "wb") as file:
        if save == "npy":
            np.save(file, array)
        elif save == "packed":
            np.savez_compressed(file, images=array, more=np.arange(3.0))
        else:
            np.savez(file, **{save: array})
    rows, labels = ImageArray(path).read()
    assert torch.equal(rows, torch.from_numpy(NCHW)) and labels is None


@pytest.mark.parametrize(
    "array", [GRAY, GRAY[:, 0], GRAY.transpose(0, 2, 3, 1)], ids=["nchw", "nhw", "nhwc"]
)
def test_gray_images_may_have_an_axis_for_it(tmp_path, array):
    np.save(tmp_path / "a.npy", array)
    assert torch.equal(ImageArray(tmp_path / "a.npy").read()[0], torch.from_numpy(GRAY))


@pytest.mark.parametrize("name", ["y", "labels", "arr_1"])
def test_labels_come_along(tmp_path, name):
    np.savez(tmp_path / "a.npz", **{"arr_0": NHWC, name: LABELS.astype(np.int32)})
    assert ImageArray(tmp_path / "a.npz").read()[1].tolist() == LABELS.tolist()
    np.savez(tmp_path / "b.npz", **{"arr_0": NHWC, name: LABELS - 1})
    assert ImageArray(tmp_path / "b.npz").read()[1] is None


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"x": NHWC / 255}, "holds 0 arrays of images, must hold one, of type uint8"),
        ({"x": NHWC, "z": NCHW}, "holds 2 arrays of images"),
        ({"x": NHWC[0]}, "there are: x uint8 (8, 8, 3)"),
        ({"x": NHWC[..., [0, 1, 2, 0]]}, "x uint8 (6, 8, 8, 4)"),
        ({"x": NHWC[:0]}, "x uint8 (0, 8, 8, 3)"),
        ({"x": NHWC[:, :3, :3]}, "x uint8 (6, 3, 3, 3)"),
        ({"x": np.array([{}])}, "no arrays of numbers"),
    ],
)
def test_other_arrays_are_refused_and_listed(tmp_path, arrays, says):
    np.savez(tmp_path / "a.npz", **arrays)
    assert says in refused(tmp_path / "a.npz")


def test_pickles_and_cut_files_are_refused(tmp_path):
    np.save(tmp_path / "object.npy", np.array([{}]), allow_pickle=True)
    refused(tmp_path / "object.npy")
    np.save(tmp_path / "cut.npy", NHWC)
    data = (tmp_path / "cut.npy").read_bytes()
    for left in (7, 40, len(data) - 1):
        (tmp_path / "cut.npy").write_bytes(data[:left])
        refused(tmp_path / "cut.npy")
    (tmp_path / "text.npy").write_text("none")
    assert "is neither an npy nor an npz" in refused(tmp_path / "text.npy")


def test_bombs_cost_no_memory(tmp_path, monkeypatch):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"shape": (2**22, 64, 64, 3), "fortran_order": False, "descr": "|u1"}
    )
    (tmp_path / "a.npy").write_bytes(header.getvalue())
    with zipfile.ZipFile(tmp_path / "b.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", header.getvalue() + bytes(2**20))
    monkeypatch.setattr("lightning_collapse.data.sources.arrays._FREE_BYTES", 2**20)
    np.savez_compressed(tmp_path / "c.npz", x=np.zeros((300, 64, 64, 3), np.uint8))
    tracemalloc.start()
    for name in ("a.npy", "b.npz", "c.npz"):
        refused(tmp_path / name)
    assert tracemalloc.get_traced_memory()[1] < 2**21
    tracemalloc.stop()


def test_samples_in_an_array_are_prepared_and_evaluated(tmp_path, cli):
    np.savez(tmp_path / "a.npz", arr_0=NHWC, arr_1=LABELS)
    status, out, err = cli("prepare", tmp_path / "a.npz", tmp_path / "st", "--resolution", 4)
    assert (status, err) == (0, "") and "rows: 3 x 4 x 4, from 8 x 8" in out.splitlines()
    assert StoredRows(tmp_path / "st").labels.tolist() == LABELS.tolist()
    np.save(tmp_path / "b.npy", NCHW)
    words = [tmp_path / "a.npz", "--reference", tmp_path / "b.npy", "--features", "pixels"]
    status, out, err = cli("evaluate", *words)
    assert (status, err) == (0, "")
    assert (
        abs(float(next(x for x in out.splitlines() if x.startswith("fd_pixels ")).split()[1]))
        < 1e-9
    )
    np.save(tmp_path / "wide.npy", NHWC[:, :, :7])
    status, _, err = cli("evaluate", tmp_path / "wide.npy", "--reference", tmp_path / "b.npy")
    assert status == 2 and "the images are 7x8, not square" in err and err.count("\n") == 1
    assert cli("prepare", tmp_path / "wide.npy", tmp_path / "no")[0] == 2
