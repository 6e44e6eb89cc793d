"""A converted network on disk: one safetensors file, the tensors under NVIDIA's names.

Its metadata, all text:

    network         keyword arguments of `nvidia_network`, as a JSON object
    source          class name in the pickle: EDMPrecond
    sha256          of the pickle
    module_sha256   of the source code embedded in the pickle
    format_version  1
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from lightning_collapse.data.files import write_atomically

__all__ = ["Origin", "read_converted", "write_converted"]

_VERSION = "1"


@dataclass(frozen=True)
class Origin:
    """Where a converted network comes from.

    Args:
        source: name of its class.
        sha256: of the pickle.
        module_sha256: of the source code embedded in the pickle.
    """

    source: str
    sha256: str
    module_sha256: str


def write_converted(
    path: Path, init_kwargs: Mapping[str, Any], weights: Mapping[str, Tensor], origin: Origin
) -> None:
    """Writes a network, whole or not at all.

    Args:
        path: the file, replaced if it exists.
        init_kwargs: keyword arguments of `nvidia_network`.
        weights: contiguous tensors, no two of which share memory.
        origin: where they come from.

    Raises:
        OSError: the disk is full or the folder cannot be written; `path` is then as it was.
    """
    metadata = {"format_version": _VERSION, "network": json.dumps(dict(init_kwargs))}
    metadata |= vars(origin)

    def save(file: BinaryIO) -> None:
        # By name: the tensors go to the file as they are, without the bytes of all in memory.
        save_file(dict(weights), file.name, metadata)
        # It has put another file in the place of this, not synced, and for its owner alone.
        with open(file.name, "rb") as saved:
            os.fchmod(saved.fileno(), os.fstat(file.fileno()).st_mode)
            os.fsync(saved.fileno())

    try:
        write_atomically(path, save)
    except SafetensorError as error:
        raise OSError(f"{path}: cannot be written ({error})") from error


def read_converted(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Gives the keyword arguments of `nvidia_network` and the tensors, both as they were written.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no converted network.
    """
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"{path}: is no safetensors file, or a damaged one ({error})") from error
    if metadata.get("format_version") != _VERSION:
        raise ValueError(
            f"{path}: metadata format_version = {metadata.get('format_version')}: must be "
            f"{_VERSION}; make the file by `lightning-collapse convert`"
        )
    try:
        init_kwargs = json.loads(metadata["network"])
    except (KeyError, ValueError, RecursionError) as error:
        raise ValueError(f"{path}: metadata network: must be JSON ({error!r})") from error
    if not isinstance(init_kwargs, dict):
        raise ValueError(f"{path}: metadata network: must be a JSON object of arguments")
    return init_kwargs, weights
