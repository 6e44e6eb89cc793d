"""Denoisers made again from what a checkpoint or a configuration says of them, and weights.

What it says is data that anyone may have written: it names one of the networks listed here, or a
class that the user trusts by name. Nothing else is imported, and no memory is taken before the
weights at hand are known to be the network's.
"""

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lightning_collapse.networks.constructor import check_arguments, check_weights
from lightning_collapse.networks.dit import DiT
from lightning_collapse.networks.edm import Precond
from lightning_collapse.networks.mlp import SigmaMLP
from lightning_collapse.networks.network import is_described, made, named_among
from lightning_collapse.networks.trained_for import TrainedFor
from lightning_collapse.networks.unet import SongUNet, ddpmpp, ncsnpp
from lightning_collapse.trust import Trusted, import_trusted

__all__ = ["OURS", "make_denoiser", "row_shape_of"]

OURS: tuple[Callable[..., nn.Module], ...] = (SigmaMLP, SongUNet, ddpmpp, ncsnpp, DiT)
"""What configurations may name without being trusted, by the last part of its path."""

_MOST_NUMBERS = 2**28
"""In a row; 4096 x 4096 images of 16 channels."""


def make_denoiser(
    model: Mapping[str, Any], weights: Mapping[str, Tensor], trust_class: Trusted = None
) -> Precond:
    """Makes a denoiser again.

    Args:
        model: `network`, with `class_path` and `init_args`; what `TrainedFor.of` reads; and, where
            the network does not know it, `row_shape`. As in a configuration.
        weights: every entry of the denoiser's state dict. A denoiser of ours uses these tensors
            themselves.
        trust_class: a class from outside this package, such as `mine.Net`, or several: one is
            imported and called if the network is one of its name.

    Returns:
        The denoiser on the CPU.

    Raises:
        ValueError: the network is not described, of a class that is not trusted, cannot be made,
            or is not that of the weights, or these are not finite float32.
    """
    network: Any = model.get("network")
    row_shape = row_shape_of(model)
    if not is_described(network):
        raise ValueError(_undescribed(network))
    class_path, init_args = network["class_path"], network.get("init_args", {})
    if model.get("preconditioning") is None:
        model["sigma_data"]  # without which it is no denoiser
    training = TrainedFor.of(model, trust_class)
    if (ours := named_among(OURS, class_path)) is not None:
        kind = SongUNet if ours in (ddpmpp, ncsnpp) else ours
        check_arguments(init_args, len(weights), {"channels", *inspect.signature(kind).parameters})
        denoiser = training.wrap(_without_memory(ours, init_args))
        check_weights(denoiser.state_dict(), weights)
        denoiser.load_state_dict(dict(weights), assign=True)
    else:
        names = [kind.__name__ for kind in OURS]
        foreign = import_trusted("network", class_path, names, trust_class)
        denoiser = _make_foreign(foreign, init_args, training, weights)
    denoiser.row_shape = denoiser.row_shape or row_shape
    return denoiser


def row_shape_of(model: Mapping[str, Any]) -> tuple[int, ...] | None:
    """Reads the shape of the rows that a network was trained on, if that is told.

    Raises:
        ValueError: it is no shape of a row.
    """
    if (shape := model.get("row_shape")) is None:
        return None
    whole = isinstance(shape, (list, tuple)) and all(type(n) is int and n > 0 for n in shape)
    if not whole or len(shape) not in (1, 3) or math.prod(shape) > _MOST_NUMBERS:
        raise ValueError(f"row_shape = {shape!r:.80}: must be (C, H, W) or (d,)")
    return tuple(shape)


def _undescribed(network: Any) -> str:
    why = network.get("undescribed") if isinstance(network, Mapping) else None
    return (
        f"describes no network by itself{f' ({why!s:.200})' if why else ''}; leave a run's "
        "checkpoint in the run's folder, or give CollapseModule.load_from_checkpoint the network"
    )


def _make_foreign(
    foreign: Callable[..., nn.Module],
    init_args: Mapping[str, Any],
    training: TrainedFor,
    weights: Mapping[str, Tensor],
) -> Precond:
    try:
        expected = training.wrap(_without_memory(foreign, init_args)).state_dict()
    except ValueError:
        pass  # There are constructors that need numbers, not only shapes.
    else:
        check_weights(expected, weights)
    with torch.random.fork_rng(devices=[]):
        denoiser = training.wrap(made("network", foreign, init_args))
    check_weights(denoiser.state_dict(), weights)
    denoiser.load_state_dict(dict(weights))
    return denoiser


def _without_memory(kind: Callable[..., nn.Module], init_args: Mapping[str, Any]) -> nn.Module:
    with torch.device("meta"):
        network: nn.Module = made("network", kind, init_args)
        return network
