"""Tensors in torch's legacy format, read without torch's unpickler, which runs what it is told.

A storage is a byte string: five small pickles (a magic number, a version, the machine's type
sizes, a reference to the storage, the list of its keys), then its number of elements and its
little-endian bytes. A tensor is a view of a storage: an offset, sizes and strides.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lightning_collapse.interop.pickles import Global, Grammar, Persistent, read_pickle

__all__ = ["read_storage", "read_tensor"]

_MAGIC = 0x1950A86A20F9469CFC6C
_VERSION = 1001

_DTYPES = {
    "torch.DoubleStorage": torch.float64,
    "torch.FloatStorage": torch.float32,
    "torch.HalfStorage": torch.float16,
    "torch.BFloat16Storage": torch.bfloat16,
    "torch.LongStorage": torch.int64,
    "torch.IntStorage": torch.int32,
    "torch.ShortStorage": torch.int16,
    "torch.CharStorage": torch.int8,
    "torch.ByteStorage": torch.uint8,
    "torch.BoolStorage": torch.bool,
}

# The five streams have some sixty opcodes in all.
_GRAMMAR = Grammar(frozenset(_DTYPES), persistent=True, opcodes=200)


@dataclass(frozen=True)
class Storage:
    """Elements of one type in a row, `data` their little-endian bytes."""

    dtype: torch.dtype
    data: memoryview

    def __len__(self) -> int:
        return len(self.data) // self.dtype.itemsize


def read_storage(data: memoryview) -> Storage:
    """Reads a storage, whose bytes remain where they are.

    Raises:
        ValueError: it is not in torch's legacy format, or not whole.
    """
    parts, position = [], 0
    for _ in range(5):
        part, position = read_pickle(data, position, _GRAMMAR)
        parts.append(part)
    magic, version, machine, reference, keys = parts
    if (
        type(magic) is not int
        or magic != _MAGIC
        or type(version) is not int
        or version != _VERSION
    ):
        raise ValueError("a storage is not in torch's legacy format")
    if type(machine) is not dict or machine.get("little_endian") is not True:
        raise ValueError("a storage's bytes are not little-endian")
    dtype, key, numel = _storage_key(reference)
    if type(keys) is not list or len(keys) != 1 or type(keys[0]) is not str or keys[0] != key:
        raise ValueError("a storage's key is not its own")
    content = data[position + 8 :]
    stated = int.from_bytes(data[position : position + 8], "little")
    if stated != numel or len(content) != numel * dtype.itemsize:
        raise ValueError(f"a storage of {numel} {dtype} has {len(content)} bytes")
    return Storage(dtype, content)


def _storage_key(reference: Any) -> tuple[torch.dtype, str, int]:
    """Gives type, key and number of elements."""
    if type(reference) is Persistent and type(fields := reference.key) is tuple:
        types = [type(field) for field in fields]
        if types == [str, Global, str, str, int, type(None)] and fields[0] == "storage":
            return _DTYPES[fields[1].path], fields[2], fields[4]
    raise ValueError("a storage's reference is not ('storage', type, key, place, number, None)")


def read_tensor(storage: Storage, offset: Any, size: Any, stride: Any, most: int) -> Tensor:
    """Copies a tensor out of a storage.

    Args:
        storage: what it views.
        offset: its first element.
        size: its shape.
        stride: elements between neighbours, one for each dimension.
        most: bytes that it may take.

    Returns:
        The tensor, contiguous, in memory of its own.

    Raises:
        ValueError: it reaches beyond its storage, or takes too much memory.
    """
    whole = all(type(v) is tuple and all(type(n) is int for n in v) for v in (size, stride))
    if not whole or type(offset) is not int or len(size) != len(stride) or len(size) > 8:
        raise ValueError("a tensor's offset, size and stride are not whole numbers that match")
    if not all(0 <= n <= 2**40 for n in (offset, *size, *stride)):
        raise ValueError(f"a tensor has offset {offset:.4g}, size {size} and stride {stride}")
    numel = math.prod(size)
    span = 1 + sum((n - 1) * step for n, step in zip(size, stride, strict=True)) if numel else 0
    if offset + span > len(storage):
        raise ValueError(f"a tensor ends at {offset + span}, beyond its storage of {len(storage)}")
    if max(numel, span) * storage.dtype.itemsize > most:
        raise ValueError("tensors take more memory than the file has bytes")
    if not numel:
        return torch.empty(size, dtype=storage.dtype)
    item = storage.dtype.itemsize
    copied = bytearray(storage.data[offset * item : (offset + span) * item])
    flat = torch.frombuffer(copied, dtype=storage.dtype)
    return flat.as_strided(size, stride).contiguous()
