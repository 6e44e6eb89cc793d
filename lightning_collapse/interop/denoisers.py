"""Denoisers from files, ready to be called."""

from pathlib import Path

from lightning_collapse.interop.converted import read_converted
from lightning_collapse.networks.constructor import build_denoiser
from lightning_collapse.networks.edm import Precond
from lightning_collapse.runs.denoiser import load_run_denoiser, remade
from lightning_collapse.runs.layout import Run

__all__ = ["load_denoiser"]


def load_denoiser(path: str | Path, trust_class: str | None = None) -> Precond:
    """Rebuilds a denoiser D(x, sigma) from a file, whose own code is never run.

    Args:
        path: a .safetensors file that `lightning-collapse convert` wrote; or a checkpoint of a
            run, of which the average is taken.
        trust_class: class of the run's network, such as `mine.Net`, if it is not of this package:
            it is imported, and called with the arguments that the file names.

    Returns:
        The denoiser on the CPU, in eval mode, none of its parameters learning.

    Raises:
        OSError: the file cannot be read.
        ValueError: it holds no network that can be built.
    """
    path = Path(path)
    if path.is_dir():
        last = Run(path).last
        advice = f"; name a file in it, such as {last}" if last.is_file() else ""
        raise FileNotFoundError(f"{path}: is a folder{advice}")
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    if path.suffix == ".pkl":
        raise ValueError(
            f"{path}: is a pickle, which could run code; make a .safetensors file of it by "
            "`lightning-collapse convert`"
        )
    if path.suffix == ".ckpt":
        return load_run_denoiser(path, trust_class)
    told, weights = read_converted(path)
    if "network" in told:  # of a run
        return remade(told, weights, path, trust_class).eval().requires_grad_(False)
    try:
        return build_denoiser(told, weights)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
