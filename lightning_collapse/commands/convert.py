"""`lightning-collapse convert`: NVIDIA's network pickle as a safetensors file."""

import zipfile
from pathlib import Path

from lightning_collapse.commands.arguments import run_command
from lightning_collapse.interop.converted import Origin, write_converted
from lightning_collapse.interop.nvidia import read_network_pickle
from lightning_collapse.networks.constructor import build_denoiser

__all__ = ["convert", "main"]


def main(arguments: list[str]) -> None:
    """Runs the command."""
    run_command("convert", convert, arguments, reads=["file"])


def convert(file: Path, out: Path) -> None:
    """Converts a network pickle of NVIDIA's EDM, running nothing of what is in it.

    NVIDIA's own weights are licensed for non-commercial use only (CC BY-NC-SA 4.0), in any format.

    Args:
        file: the pickle, a release or a training snapshot.
        out: the .safetensors file to write.
    """
    if out.suffix != ".safetensors":
        raise ValueError(f"out = {out}: must end in .safetensors")
    if not out.parent.is_dir():
        raise FileNotFoundError(f"out = {out}: must be in a folder that exists; make {out.parent}")
    if _is_checkpoint(file):
        raise ValueError(
            f"file = {file}: is a checkpoint, which needs no conversion; `generate` and "
            "--model.init_from take a run's as it is, and `export` writes a round's samples as PNG"
        )
    network = read_network_pickle(file)
    try:
        denoiser = build_denoiser(network.init_kwargs, network.state_dict)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error
    origin = Origin(network.class_name, network.sha256, network.module_sha256)
    write_converted(out, network.init_kwargs, network.state_dict, origin)
    print(f"sha256:     {network.sha256}")
    print(f"tensors:    {len(network.state_dict)}")
    print(f"parameters: {sum(p.numel() for p in denoiser.parameters()):,}")
    print(f"written:    {out}")


def _is_checkpoint(file: Path) -> bool:
    """Whether a file is an archive of torch's, such as checkpoints are."""
    if not zipfile.is_zipfile(file):
        return False
    with zipfile.ZipFile(file) as archive:
        return any(name.endswith("/data.pkl") for name in archive.namelist())
