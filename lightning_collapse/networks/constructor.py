"""Building a network from constructor arguments and tensors that nobody vouches for.

Arguments are checked one by one, then against the tensors, before any memory is taken: a network
whose names and shapes are those of the tensors at hand is no larger than they are.
"""

import inspect
import math
from collections.abc import Callable, Collection, Mapping
from typing import Any

import torch
from torch import Tensor

from lightning_collapse.networks.edm import EDMPrecond
from lightning_collapse.networks.unet import SongUNet, nvidia_network

__all__ = ["build_denoiser", "check_arguments", "check_weights"]


def build_denoiser(init_kwargs: Mapping[str, Any], weights: Mapping[str, Tensor]) -> EDMPrecond:
    """Gives the denoiser that constructor arguments of NVIDIA's and tensors make, for inference.

    Args:
        init_kwargs: what `nvidia_network` takes.
        weights: every entry of the state dict; the denoiser uses these tensors themselves.

    Returns:
        The denoiser on the CPU, in eval mode, none of its parameters learning.

    Raises:
        ValueError: an argument is unknown or out of range, or the tensors are not finite float32
            of the network's names and shapes.
    """
    check_arguments(init_kwargs, len(weights), _NVIDIA)
    for name in ("img_resolution", "img_channels", "model_type"):
        if name not in init_kwargs:
            raise ValueError(f"network.{name}: missing; NVIDIA's SongUNet networks name it")
    try:
        with torch.device("meta"):
            denoiser = nvidia_network(**init_kwargs)
    except (ValueError, TypeError) as error:
        raise ValueError(f"network: these arguments build none ({error})") from error
    check_weights(denoiser.state_dict(), weights)
    denoiser.load_state_dict(dict(weights), assign=True)
    return denoiser.eval().requires_grad_(False)


def check_arguments(
    arguments: Mapping[str, Any], tensors: int, known: Collection[str] | None = None
) -> None:
    """Checks constructor arguments of our networks, which must come from so many tensors.

    Args:
        arguments: by name.
        tensors: how many are at hand: what would take long to build, even without memory for
            them, has more.
        known: names that there are; default: all of which anything is known.

    Raises:
        ValueError: an argument is unknown or out of range.
    """
    known = [name for name in _RULES if known is None or name in known]
    for name, value in arguments.items():
        if name not in known:
            raise ValueError(
                f"network.{_short(name)}: unknown argument; known are {', '.join(known)}"
            )
        must, holds = _RULES[name]
        if not holds(value):
            raise ValueError(f"network.{name} = {_short(value)}: must be {must}")
    levels = len(arguments.get("channel_mult", (1, 2, 2, 2)))
    blocks = {
        "num_blocks": levels * arguments.get("num_blocks", 0),
        "depth": arguments.get("depth", 0),
    }
    for name, n in blocks.items():
        if n > tensors:
            raise ValueError(
                f"network.{name}: {n} blocks cannot come from the {tensors} tensors at hand"
            )


def check_weights(expected: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> None:
    """Checks weights that are to be a network's.

    Args:
        expected: the network's own, of which shapes and types count.
        weights: the tensors at hand.

    Raises:
        ValueError: they are not of these names, shapes and types, or not finite.
    """
    for name in [*expected, *weights]:
        wanted, given = _kind(expected.get(name)), _kind(weights.get(name))
        if wanted != given:
            raise ValueError(
                f"tensor {_short(name)} = {given}: must be {wanted}, by the network's arguments"
            )
    for name, tensor in weights.items():
        if not tensor.isfinite().all():
            raise ValueError(f"tensor {name}: must be finite; the file is damaged")


def _kind(tensor: Tensor | None) -> str:
    return "absent" if tensor is None else f"{tuple(tensor.shape)} {tensor.dtype}"


def _short(value: object) -> str:
    """Writes a scalar, or a list of a few; names the type of anything that may be large."""
    if isinstance(value, (list, tuple)):
        few = ", ".join(map(_short, value[:4]))
        return f"[{few}]" if len(value) <= 4 else f"[{few}, ...] of {len(value)}"
    if isinstance(value, (str, bytes)):
        return ascii(value[:60])
    if isinstance(value, int) and abs(value) >= 2**63:
        return f"a number of {value.bit_length()} bits"
    return str(value) if isinstance(value, (int, float, type(None))) else type(value).__name__


_Rule = tuple[str, Callable[[Any], bool]]


def _whole(low: int, high: int) -> _Rule:
    return f"a whole number in {low}..{high}", lambda v: type(v) is int and low <= v <= high


def _number(must: str, holds: Callable[[float], bool]) -> _Rule:
    return must, lambda v: _is_number(v) and holds(v)


def _is_number(value: Any) -> bool:
    # Python's whole numbers may be larger than any float.
    return type(value) is float or (type(value) is int and abs(value) < 2**63)


def _several(rule: _Rule, least: int = 1) -> _Rule:
    must, holds = rule
    return (
        f"{least} to 16 values, each {must}",
        lambda v: isinstance(v, (list, tuple)) and least <= len(v) <= 16 and all(map(holds, v)),
    )


def _one_of(*allowed: Any) -> _Rule:
    must = " or ".join(map(str, allowed))
    return must, lambda v: type(v) is type(allowed[0]) and v in allowed


_SHARE = _number("a number in 0..1", lambda v: 0 <= v <= 1)

# Ranges are wide, and such that no product of them overflows 64 bits.
_RULES: dict[str, _Rule] = {
    "img_resolution": _whole(1, 4096),
    "img_channels": _whole(1, 256),
    "channels": _whole(1, 256),
    "in_channels": _whole(1, 256),
    "out_channels": _whole(1, 256),
    "label_dim": _whole(0, 2**20),
    "use_fp16": _one_of(False, True),
    "sigma_min": _number("a number of at least 0", lambda v: 0 <= v < math.inf),
    "sigma_max": _number("a number above 0", lambda v: v > 0),
    "sigma_data": _number("a number above 0", lambda v: 0 < v < math.inf),
    "P_mean": _number("a finite number", math.isfinite),
    "P_std": _number("a number of at least 0", lambda v: 0 <= v < math.inf),
    "model_type": _one_of("SongUNet"),
    "augment_dim": _whole(0, 4096),
    "model_channels": (
        "an even number in 4..4096",
        lambda v: type(v) is int and 4 <= v <= 4096 and v % 2 == 0,
    ),
    "channel_mult": _several(_whole(1, 64)),
    "channel_mult_emb": _whole(1, 64),
    "num_blocks": _whole(1, 256),
    "attn_resolutions": _several(_whole(1, 4096), least=0),
    "dropout": _SHARE,
    "label_dropout": _SHARE,
    "embedding_type": _one_of("positional", "fourier"),
    "channel_mult_noise": _whole(1, 64),
    "encoder_type": _one_of("standard", "residual"),
    "decoder_type": _one_of("standard"),
    "resample_filter": _several(_number("a number in 0.001..1000", lambda v: 1e-3 <= v <= 1e3)),
    "dim": _whole(1, 2**24),
    "width": _whole(1, 2**20),
    "depth": _whole(0, 2**16),
    "patch_size": _whole(1, 4096),
    "num_heads": _whole(1, 2**20),
    "mlp_ratio": _whole(1, 64),
}

_NVIDIA = {*inspect.signature(nvidia_network).parameters, *inspect.signature(SongUNet).parameters}
_NVIDIA -= {"unet", "in_channels", "out_channels"}
