"""`lightning-collapse convert`: NVIDIA's network pickle as a safetensors file."""

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
