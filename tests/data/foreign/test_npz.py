"""Arrays of an npz of unknown origin: read right, or refused in one line with nothing executed."""

import io
import pickle
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightning_collapse.data.foreign.npz import array_names, read_array


def npz(path, compressed=False, **arrays):
    (np.savez_compressed if compressed else np.savez)(path, **arrays)
    return path


def raw_npz(path, body, name="mu.npy", method=zipfile.ZIP_DEFLATED):
    """An npz whose one member has these bytes."""
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr(name, body)
    return path


def npy(header, data=b"", version=(1, 0)):
    text = header.encode()
    size = struct.pack("<H" if version == (1, 0) else "<I", len(text))
    return b"\x93NUMPY" + bytes(version) + size + text + data


def header(shape="(3,)", descr="'<f8'"):
    return f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n"


class Harm:
    """Unpickled, it raises the alarm."""

    def __reduce__(self):
        return (_alarm, ())


def _alarm():
    raise AssertionError("a pickle was executed")


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("dtype", ["f8", "f4", ">f8", "f2", "i8", "u1"])
def test_numbers_come_back(tmp_path, compressed, dtype):
    array = np.arange(12).reshape(3, 4).astype(dtype)
    path = npz(tmp_path / "a.npz", compressed, mu=array, other=array.T)
    assert array_names(path) == {"mu", "other"}
    for shape in [(3, 4), (None, 4), (None, None)]:
        read = read_array(path, "mu", shape)
        assert read.dtype == array.dtype and np.array_equal(read, array)
    # Fortran's order is a matter of the file, not of the array.
    assert np.array_equal(read_array(path, "other", (4, 3)), array.T)


def test_a_scalar_has_no_shape(tmp_path):
    assert read_array(npz(tmp_path / "a.npz", n=7), "n", ()) == 7


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (npy(header(descr="'|O'"), pickle.dumps([Harm()] * 3)), "type object is not one of"),
        (npy(header(descr="[('a', '|O')]"), pickle.dumps(Harm())), "is not one of numbers"),
        (npy(header(descr="'<U8'"), bytes(96)), "type <U8 is not one of numbers"),
        (npy(header(descr="'<c16'"), bytes(48)), "type complex128"),
        (npy(header("(4,)"), bytes(32)), r"shape is \(4,\), must be \(3\)"),
        (npy(header("(3, 1)"), bytes(24)), "shape is"),
        (npy(header("()"), bytes(8)), "shape is"),
        (npy(header("(-3,)"), bytes(24)), "shape is"),
        (npy(header("(4294967296,)")), "shape is"),
        (npy(header("(10**9,)")), "cannot be read"),
        (npy(header("(True, True)")), "cannot be read"),
        (npy(header(), bytes(23)), "bytes do not hold"),
        (npy(header(), bytes(25)), "bytes do not hold"),
        (npy(header()), "bytes do not hold"),
        (npy("__import__('os').abort()"), "cannot be read"),
        (npy("(" * 5000), "cannot be read"),
        (npy("{}"), "cannot be read"),
        (npy(header(descr="'nonsense'")), "cannot be read"),
        (npy(header(), bytes(24), version=(2, 0)), r"npy version is \(2, 0\)"),
        (npy(header(), bytes(24), version=(9, 9)), "version"),
        (b"\x93NUMPY\x01\x00\xff\xff", "cannot be read"),
        (b"", "cannot be read"),
        (pickle.dumps(Harm()), "cannot be read"),
    ],
)
def test_forged_members_are_refused_in_one_line(tmp_path, body, says):
    path = raw_npz(tmp_path / "a.npz", body)
    with pytest.raises(
        ValueError, match=rf"^{path}: mu cannot be read: .*{says}|{says}"
    ) as caught:
        read_array(path, "mu", (3,))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "body",
    [
        npy(header("(1048576, 1048576)")),  # asks for 8 TiB
        npy("{" + " " * 2**26, version=(2, 0)),  # 64 MiB of header, which shrink to 64 KiB
        npy(header("(None,)"), bytes(2**26)),
    ],
)
def test_bombs_cost_no_memory(tmp_path, body):
    path = raw_npz(tmp_path / "a.npz", body)
    tracemalloc.start()
    with pytest.raises(ValueError, match="cannot be read"):
        read_array(path, "mu", (None, None))
    assert tracemalloc.get_traced_memory()[1] < 2**24
    tracemalloc.stop()


def test_names_that_are_missing_and_files_that_are_no_npz(tmp_path):
    path = npz(tmp_path / "a.npz", mu=np.ones(3))
    with pytest.raises(ValueError, match=f"^{path}: holds no array sigma$"):
        read_array(path, "sigma", (3, 3))
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_array(tmp_path / "none.npz", "mu", (3,))
    (tmp_path / "a.npy").write_bytes(npy(header(), bytes(24)))
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(Harm()))
    (tmp_path / "empty.npz").write_bytes(b"")
    for name in ("a.npy", "a.pkl", "empty.npz"):
        with pytest.raises(ValueError, match="is no npz"):
            read_array(tmp_path / name, "mu", (3,))
    # The name without numpy's suffix is no array to numpy either.
    with pytest.raises(ValueError, match="mu"):
        read_array(raw_npz(tmp_path / "b.npz", npy(header(), bytes(24)), "mu"), "mu", (3,))


@pytest.mark.parametrize("compressed", [False, True])
def test_a_wrong_checksum_is_refused(tmp_path, compressed):
    path = npz(tmp_path / "a.npz", compressed, mu=np.arange(300.0))
    with zipfile.ZipFile(path) as archive:
        checksum = struct.pack("<I", archive.getinfo("mu.npy").CRC)
    data = path.read_bytes()
    assert data.count(checksum) == 2  # before the member, and in the directory
    path.write_bytes(data.replace(checksum, bytes(4)))
    with pytest.raises(ValueError, match="CRC"):
        read_array(path, "mu", (300,))


def test_every_cut_is_noticed(tmp_path):
    buffer = io.BytesIO()
    np.savez(buffer, mu=np.arange(3.0))
    path = tmp_path / "a.npz"
    for length in range(len(buffer.getvalue())):
        path.write_bytes(buffer.getvalue()[:length])
        with pytest.raises(ValueError, match="is no npz|cannot be read"):
            read_array(path, "mu", (3,))


@settings(max_examples=60, deadline=None)
@given(position=st.integers(0, 10**6), value=st.integers(1, 255), compressed=st.booleans())
def test_a_changed_byte_is_refused_or_without_effect(
    tmp_path_factory, position, value, compressed
):
    array = np.array([1.5, -2.0, 3.25])
    path = npz(tmp_path_factory.mktemp("npz") / "a.npz", compressed, mu=array)
    data = bytearray(path.read_bytes())
    data[position % len(data)] ^= value
    path.write_bytes(data)
    try:
        read = read_array(path, "mu", (3,))
    except ValueError as error:
        assert "\n" not in str(error)
    else:
        assert np.array_equal(read, array)


@settings(max_examples=50, deadline=None)
@given(body=st.binary(max_size=200))
def test_any_bytes_are_no_array(tmp_path_factory, body):
    path = raw_npz(tmp_path_factory.mktemp("npz") / "a.npz", b"\x93NUMPY\x01\x00" + body)
    with pytest.raises(ValueError, match="mu cannot be read") as caught:
        read_array(path, "mu", (3,))
    assert "\n" not in str(caught.value)
