"""A run's network, without the run: average weights in a checkpoint, architecture in config.yaml.

The configuration of a run that somebody else made is read as data: it names one of the networks
listed here, and nothing else is imported for it.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lightning_collapse.data.foreign.plain_yaml import load_yaml
from lightning_collapse.networks.constructor import furnish
from lightning_collapse.networks.edm import EDMPrecond
from lightning_collapse.networks.mlp import SigmaMLP
from lightning_collapse.networks.unet import SongUNet, ddpmpp, ncsnpp
from lightning_collapse.runs.checkpoints import read_checkpoint
from lightning_collapse.runs.layout import Run

__all__ = ["load_run_denoiser", "read_average"]

_MADE_BY: dict[str, Callable[..., nn.Module]] = {
    "SigmaMLP": SigmaMLP,
    "SongUNet": SongUNet,
    "ddpmpp": ddpmpp,
    "ncsnpp": ncsnpp,
}


def load_run_denoiser(path: Path) -> EDMPrecond:
    """Rebuilds the average denoiser of a checkpoint in a run's folder, RUN/checkpoints.

    Returns:
        The denoiser on the CPU, in eval mode, none of its parameters learning.

    Raises:
        OSError: the checkpoint, or RUN/config.yaml, cannot be read.
        ValueError: they hold no network that can be built.
    """
    config = Run.of_checkpoint(path).config.path
    if not config.is_file():
        raise FileNotFoundError(
            f"{path}: describes no network by itself, and {config} is missing; leave a run's "
            "checkpoint in the run's folder"
        )
    weights = read_average(path)
    try:
        text = config.read_bytes().decode(errors="replace")
        denoiser = _build(load_yaml(text, config.name)["model"], len(weights))
    except Exception as error:  # of many kinds, for a configuration that is something else
        raise ValueError(f"{config}: describes no network of ours ({error!r:.200})") from error
    try:
        return furnish(denoiser, weights)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def read_average(path: Path) -> dict[str, Tensor]:
    """Reads the average's weights, by its own names, from a checkpoint of a run.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no such checkpoint.
    """
    try:
        state = read_checkpoint(path)["state_dict"]
        average = {
            name.removeprefix("ema."): value
            for name, value in state.items()
            if name.startswith("ema.") and value.layout is torch.strided
        }
    except (LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: is not a checkpoint of a run ({error!r:.80})") from error
    if not average:
        raise ValueError(f"{path}: holds no average; name a checkpoint of a run")
    return average


def _build(model: Mapping[str, Any], tensors: int) -> EDMPrecond:
    """Gives the denoiser of a configuration's `model`, without memory for its weights."""
    class_path, options = model["network"]["class_path"], model["network"].get("init_args", {})
    package, _, name = str(class_path).rpartition(".")
    if package.partition(".")[0] != "lightning_collapse" or name not in _MADE_BY:
        raise ValueError(
            f"model.network.class_path = {class_path}: must be one of {', '.join(_MADE_BY)}"
        )
    # What would take long to build, even without memory.
    for option in ("num_blocks", "depth"):
        if options.get(option, 0) > tensors:
            raise ValueError(f"model.network.{option} = {options[option]}: for {tensors} tensors")
    with torch.device("meta"):
        return EDMPrecond(_MADE_BY[name](**options), sigma_data=float(model["sigma_data"]))
