"""A run's network, without the run: average weights in a checkpoint, and how it is made again.

A checkpoint describes its network. Where it cannot, or is older than that, the configuration that
it holds, or its run's, does. Whoever made them: all are read as data.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lightning_collapse.data.foreign.plain_yaml import load_yaml
from lightning_collapse.networks.edm import Precond
from lightning_collapse.networks.loading import make_denoiser, row_shape_of
from lightning_collapse.networks.network import is_described
from lightning_collapse.networks.trained_for import TrainedFor
from lightning_collapse.runs.checkpoints import read_checkpoint
from lightning_collapse.runs.layout import Run
from lightning_collapse.trust import Trusted

__all__ = ["average_of", "load_run_denoiser", "model_of", "remade", "settings_of"]


def load_run_denoiser(path: Path, trust_class: Trusted = None) -> Precond:
    """Rebuilds the average denoiser of a run's checkpoint.

    Args:
        path: the checkpoint; one that does not describe its network must be in the run's folder.
        trust_class: the network's class, if it is not of this package: it is then imported.

    Returns:
        The denoiser on the CPU, in eval mode, none of its parameters learning.

    Raises:
        OSError: the checkpoint cannot be read.
        ValueError: it holds no network that can be built.
    """
    checkpoint = read_checkpoint(path, sealed=False)
    weights = average_of(checkpoint, path)
    denoiser = remade(model_of(checkpoint, path), weights, path, trust_class)
    return denoiser.eval().requires_grad_(False)


def remade(
    model: Mapping[str, Any], weights: Mapping[str, Tensor], path: Path, trust_class: Trusted
) -> Precond:
    """Does what `make_denoiser` does; errors name the file that describes the network."""
    try:
        return make_denoiser(model, weights, trust_class)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    except (LookupError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"{path}: describes no network ({error!r:.200})") from error


def model_of(checkpoint: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """Gives how a checkpoint's denoiser is made, as the section `model` of a configuration does.

    Raises:
        ValueError: the configuration tells of no model.
    """
    own = checkpoint.get("model")
    own = own if isinstance(own, dict) else {}
    if is_described(own.get("network")):
        return own
    where, text = path, checkpoint.get("config")
    if not isinstance(text, str):
        where = Run.of_checkpoint(path).config.path
        if not where.is_file():
            return own
        text = where.read_bytes().decode(errors="replace")
    try:
        return dict(load_yaml(text, where.name)["model"]) | {"row_shape": own.get("row_shape")}
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"{where}: describes no network ({error!r:.200})") from error


def settings_of(
    model: Mapping[str, Any], path: Path, trust_class: Trusted
) -> tuple[TrainedFor, tuple[int, ...] | None]:
    """Gives what `model_of` tells besides the network: what it was trained for, and `row_shape`.

    Raises:
        ValueError: one is out of range, or of a class that is not trusted.
    """
    try:
        return TrainedFor.of(model, trust_class), row_shape_of(model)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def average_of(checkpoint: Mapping[str, Any], path: Path) -> dict[str, Tensor]:
    """Gives the average's weights, by its own names; raises ValueError where there are none."""
    try:
        average = {
            name.removeprefix("ema."): value
            for name, value in checkpoint["state_dict"].items()
            if name.startswith("ema.") and value.layout is torch.strided
        }
    except (LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"{path}: is not a checkpoint of a run ({error!r:.80})") from error
    if not average:
        raise ValueError(f"{path}: holds no average; name a checkpoint of a run")
    return average
