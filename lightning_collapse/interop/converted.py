"""A converted network on disk: one safetensors file, the tensors under their own names.

Its metadata, all text:

    network         of NVIDIA's: keyword arguments of `nvidia_network`, as a JSON object
    model           of a run's: how its checkpoint describes the denoiser, as a JSON object
    source          class name in the pickle, EDMPrecond; of a run's, Run
    sha256          of the file that was converted
    module_sha256   of the source code embedded in the pickle; of a run's, empty
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
        source: name of its class, or Run.
        sha256: of the file.
        module_sha256: of the source code embedded in a pickle; empty for a run's.
    """

    source: str
    sha256: str
    module_sha256: str = ""


def write_converted(
    path: Path, told: Mapping[str, Any], weights: Mapping[str, Tensor], origin: Origin
) -> None:
    """Writes a network, whole or not at all.

    Args:
        path: the file, replaced if it exists.
        told: keyword arguments of `nvidia_network`; or, of a run's, what `make_denoiser` takes.
        weights: contiguous tensors, no two of which share memory.
        origin: where they come from.

    Raises:
        OSError: the disk is full or the folder cannot be written; `path` is then as it was.
    """
    key = "model" if "network" in told else "network"
    metadata = {"format_version": _VERSION, key: json.dumps(dict(told))}
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
    """Gives what tells how the network is made and the tensors, both as they were written.

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
    key = "model" if "model" in metadata else "network"
    try:
        told = json.loads(metadata[key])
    except (KeyError, ValueError, RecursionError) as error:
        raise ValueError(f"{path}: metadata {key}: must be JSON ({error!r})") from error
    if not isinstance(told, dict) or ("network" in told) != (key == "model"):
        raise ValueError(f"{path}: metadata {key}: must be a JSON object of arguments")
    return told, weights
