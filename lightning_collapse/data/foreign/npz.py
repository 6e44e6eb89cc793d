"""Arrays from an npz or npy of unknown origin: no pickles, no more memory than is expected."""

import lzma
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

__all__ = ["Header", "array_names", "is_npz", "read_array", "read_headers"]

# What zipfile, zlib and numpy's header parser raise for files that were cut, forged or locked.
_BROKEN = (
    *(EOFError, KeyError, MemoryError, NotImplementedError, OSError, RecursionError, RuntimeError),
    *(SyntaxError, TypeError, ValueError, zipfile.BadZipFile),
    *(lzma.LZMAError, struct.error, tokenize.TokenError, zlib.error),
)


def array_names(path: Path) -> set[str]:
    """Gives the names of the arrays.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no npz.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        with zipfile.ZipFile(path) as archive:
            return {name.removesuffix(".npy") for name in archive.namelist()}
    except _BROKEN as error:
        raise ValueError(f"{path}: is no npz: {_line(error)}") from error


def read_array(
    path: Path, name: str, shape: Sequence[int | None], longest: int = 2**20
) -> NDArray[Any]:
    """Reads one array of numbers.

    Type, shape and size are checked against each other before the array is read, and the
    checksum of the file's member while it is. None in a shape is any length up to `longest`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it holds no such array.
    """
    if name not in array_names(path):
        raise ValueError(f"{path}: holds no array {name}")
    try:
        with zipfile.ZipFile(path) as archive:
            member = archive.getinfo(f"{name}.npy")
            with archive.open(member) as file:
                _check_header(file, member.file_size, shape, longest)
            with archive.open(member) as file:
                # All of the member, as checked: its last byte has zipfile compare the checksum.
                array: NDArray[Any] = npy.read_array(file, allow_pickle=False)
                return array
    except _BROKEN as error:
        raise ValueError(f"{path}: {name} cannot be read: {_line(error)}") from error


class Header(NamedTuple):
    """What the file of an array says of it."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]


def is_npz(path: Path) -> bool:
    """Whether a file is a zip archive of nothing but arrays."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except _BROKEN:
        return False
    return bool(names) and all(name.endswith(".npy") for name in names)


def read_headers(path: Path) -> dict[str, Header]:
    """Reads what the arrays of an npz are, and no numbers; what is not sound is left out.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no npz.
    """
    headers = {}
    for name in sorted(array_names(path)):
        with suppress(*_BROKEN), zipfile.ZipFile(path) as archive:
            member = archive.getinfo(f"{name}.npy")
            with archive.open(member) as file:
                headers[name] = _header(file)
    return headers


def _line(error: Exception) -> str:
    """Gives an error's first line: numpy's are long, and quote the file."""
    return str(error).partition("\n")[0][:200] or type(error).__name__


def _header(file: IO[bytes]) -> Header:
    version = npy.read_magic(file)
    # Later versions allow a header of 4 GiB, which numpy would read; arrays of numbers need none.
    if version != (1, 0):
        raise ValueError(f"npy version is {version}, not (1, 0)")
    shape, _, dtype = npy.read_array_header_1_0(file)
    if dtype.kind not in "iuf" or dtype.itemsize > 8:
        raise ValueError(f"type {dtype} is not one of numbers")
    return Header(shape, dtype)


def _check_header(file: IO[bytes], size: int, shape: Sequence[int | None], longest: int) -> None:
    got, dtype = _header(file)
    fits = [
        0 <= n <= longest if want is None else n == want
        for n, want in zip(got, shape, strict=False)
    ]
    if len(got) != len(shape) or not all(fits):
        wanted = ", ".join("any" if want is None else str(want) for want in shape)
        raise ValueError(f"shape is {got}, must be ({wanted})")
    if size - file.tell() != dtype.itemsize * np.prod(got, dtype=object):
        raise ValueError(f"{size} bytes do not hold {got} of {dtype}")
