"""`lightning-collapse convert`: NVIDIA's network pickle, or a run's average, as safetensors."""

import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from lightning_collapse.commands.arguments import run_command
from lightning_collapse.interop.converted import Origin, write_converted
from lightning_collapse.interop.nvidia import read_network_pickle
from lightning_collapse.networks.constructor import build_denoiser
from lightning_collapse.networks.edm import Precond
from lightning_collapse.networks.network import is_described
from lightning_collapse.runs.checkpoints import read_checkpoint
from lightning_collapse.runs.denoiser import average_of, model_of, remade
from lightning_collapse.runs.weights import file_sha256

__all__ = ["convert", "main"]

_DENOISER = ("network", "row_shape", "preconditioning", "noise", "sigma_data", "P_mean", "P_std")
# Beyond what the names and shapes of a checkpoint's tensors take.
_MAX_NAMES_BYTES = 2**26


def main(arguments: list[str]) -> None:
    """Runs the command."""
    run_command("convert", convert, arguments, reads=["file"])


def convert(file: Path, out: Path, trust_class: str | None = None) -> None:
    """Converts a network pickle of NVIDIA's EDM, or a run's checkpoint, running nothing in it.

    Of a checkpoint the average is taken. NVIDIA's own weights, and what was trained from them, are
    licensed for non-commercial use only (CC BY-NC-SA 4.0), in any format.

    Args:
        file: the pickle, a release or a training snapshot; or a checkpoint in a run's folder.
        out: the .safetensors file to write.
        trust_class: class of the checkpoint's network, such as mine.Net, if it is not of this
            package: it is imported, and may run any code.
    """
    if out.suffix != ".safetensors":
        raise ValueError(f"out = {out}: must end in .safetensors")
    if not out.parent.is_dir():
        raise FileNotFoundError(f"out = {out}: must be in a folder that exists; make {out.parent}")
    if file.suffix == ".ckpt" or _is_checkpoint(file):
        denoiser, told, origin = _of_run(file, trust_class)
    else:
        denoiser, told, origin = _of_nvidia(file)
    weights = denoiser.state_dict()
    write_converted(out, told, weights, origin)
    print(f"sha256:     {origin.sha256}")
    print(f"tensors:    {len(weights)}")
    print(f"parameters: {sum(p.numel() for p in denoiser.parameters()):,}")
    print(f"written:    {out}")


def _of_nvidia(file: Path) -> tuple[Precond, dict[str, Any], Origin]:
    network = read_network_pickle(file)
    try:
        denoiser = build_denoiser(network.init_kwargs, network.state_dict)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error
    origin = Origin(network.class_name, network.sha256, network.module_sha256)
    return denoiser, network.init_kwargs, origin


def _of_run(file: Path, trust_class: str | None) -> tuple[Precond, dict[str, Any], Origin]:
    checkpoint = read_checkpoint(file, sealed=False)
    told = model_of(checkpoint, file)
    if not is_described(told.get("network")):
        raise ValueError(f"{file}: does not describe its network, so that no other file can")
    # What a denoiser is made of; the rest of a configuration's section says how it is trained.
    told = {name: told[name] for name in _DENOISER if told.get(name) is not None}
    # No two share memory, whoever made the checkpoint.
    weights = {
        name: value.clone(memory_format=torch.contiguous_format)
        for name, value in average_of(checkpoint, file).items()
    }
    return remade(told, weights, file, trust_class), told, Origin("Run", file_sha256(file))


def _is_checkpoint(file: Path) -> bool:
    """Whether a file is an archive of torch's that names a `state_dict`, as checkpoints do."""
    if not zipfile.is_zipfile(file):
        return False
    # Damaged or encrypted: what reads network pickles says of it what there is to say.
    with suppress(zipfile.BadZipFile, RuntimeError, OSError), zipfile.ZipFile(file) as archive:
        return any(
            b"state_dict" in archive.read(entry)
            for entry in archive.infolist()
            if entry.filename.endswith("/data.pkl")
            and entry.compress_type == zipfile.ZIP_STORED
            and entry.file_size < _MAX_NAMES_BYTES
        )
    return False
