"""Float32 tensors in torch's legacy format, read without torch's unpickler.

A storage is a byte string: five small pickles (a magic number, a version, the machine's type
sizes, a reference to the storage, the list of its keys), then its number of elements and its
little-endian bytes. A tensor is a view of a storage: an offset, sizes and strides.
"""

import math
from typing import Any

import torch
from torch import Tensor

from lightning_collapse.interop.pickles import Global, Grammar, Persistent, read_pickle

__all__ = ["read_storage", "read_tensor"]

_MAGIC = 0x1950A86A20F9469CFC6C
_VERSION = 1001
_ITEM = 4  # bytes

# The longest of the five streams has 27 opcodes.
_GRAMMAR = Grammar(frozenset({"torch.FloatStorage"}), persistent=True, opcodes=100)


def read_storage(data: memoryview) -> memoryview:
    """Gives the bytes of a storage of float32, which remain where they are.

    Raises:
        ValueError: it is not in torch's legacy format, not of float32, or not whole.
    """
    parts, position = [], 0
    for _ in range(5):
        part, position = read_pickle(data, position, _GRAMMAR)
        parts.append(part)
    magic, version, machine, reference, keys = parts
    if [type(magic), type(version)] != [int, int] or (magic, version) != (_MAGIC, _VERSION):
        raise ValueError("a storage is not in torch's legacy format")
    if type(machine) is not dict or machine.get("little_endian") is not True:
        raise ValueError("a storage's bytes are not little-endian")
    key, numel = _key_and_size(reference)
    if type(keys) is not list or len(keys) != 1 or type(keys[0]) is not str or keys[0] != key:
        raise ValueError("a storage's key is not its own")
    content = data[position + 8 :]
    stated = int.from_bytes(data[position : position + 8], "little")
    if stated != numel or len(content) != numel * _ITEM:
        raise ValueError(f"a storage of {numel} float32 has {len(content)} bytes")
    return content


def _key_and_size(reference: Any) -> tuple[str, int]:
    if type(reference) is Persistent and type(fields := reference.key) is tuple:
        types = [type(field) for field in fields]
        if types == [str, Global, str, str, int, type(None)] and fields[0] == "storage":
            return fields[2], fields[4]
    raise ValueError("a storage's reference is not ('storage', type, key, place, number, None)")


def read_tensor(storage: memoryview, offset: Any, size: Any, stride: Any, most: int) -> Tensor:
    """Copies a tensor, contiguous, out of a storage of float32 numbers.

    It starts at the element `offset` and has the shape `size`; `stride` counts elements between
    neighbours, one for each dimension; `most` is the number of bytes that it may take.

    Raises:
        ValueError: it is empty, reaches beyond its storage, or takes too much memory.
    """
    whole = all(type(v) is tuple and all(type(n) is int for n in v) for v in (size, stride))
    if not whole or type(offset) is not int or len(size) != len(stride) or len(size) > 8:
        raise ValueError("offset, size and stride are not whole numbers, at most 8 and as many")
    if min(offset, *stride, 0) < 0 or min(size, default=1) < 1:
        raise ValueError(f"offset {offset}, size {size}, stride {stride}: out of range")
    span = 1 + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if (offset + span) * _ITEM > len(storage):
        raise ValueError(f"offset {offset}, size {size}, stride {stride}: beyond its storage")
    if max(math.prod(size), span) * _ITEM > most:
        raise ValueError("tensors take more memory than the file has bytes")
    copied = bytearray(storage[offset * _ITEM : (offset + span) * _ITEM])
    return torch.frombuffer(copied, dtype=torch.float32).as_strided(size, stride).contiguous()
