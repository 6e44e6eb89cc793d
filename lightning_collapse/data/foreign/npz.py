"""Arrays from an npz of unknown origin: no pickles, and no more memory than the caller expects."""

import lzma
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

__all__ = ["array_names", "read_array"]

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
    checksum of the file's member while it is.

    Args:
        path: the npz.
        name: of the array in it.
        shape: that it must have; None stands for any length up to `longest`.
        longest: greatest length that the shape leaves open.

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


def _line(error: Exception) -> str:
    """Gives an error's first line: numpy's are long, and quote the file."""
    first = str(error).partition("\n")[0]
    return first[:200] or type(error).__name__


def _check_header(file: IO[bytes], size: int, shape: Sequence[int | None], longest: int) -> None:
    version = npy.read_magic(file)
    # Later versions allow a header of 4 GiB, which numpy would read; arrays of numbers need none.
    if version != (1, 0):
        raise ValueError(f"npy version is {version}, not (1, 0)")
    got, _, dtype = npy.read_array_header_1_0(file)
    if dtype.kind not in "iuf" or dtype.itemsize > 8:
        raise ValueError(f"type {dtype} is not one of numbers")
    fits = [
        0 <= n <= longest if want is None else n == want
        for n, want in zip(got, shape, strict=False)
    ]
    if len(got) != len(shape) or not all(fits):
        wanted = ", ".join("any" if want is None else str(want) for want in shape)
        raise ValueError(f"shape is {got}, must be ({wanted})")
    if size - file.tell() != dtype.itemsize * np.prod(got, dtype=object):
        raise ValueError(f"{size} bytes do not hold {got} of {dtype}")
