"""Random weights that are a function of a seed."""

import copy
from collections.abc import Callable

import torch
from torch import nn

__all__ = ["randomise"]


def randomise(model: nn.Module, seed: int) -> None:
    """Draws all weights anew, in place: the optimizer and DDP hold on to the parameters.

    Args:
        model: layers with weights of their own need `reset_parameters`, as torch's have.
        seed: of torch's generator on the CPU, whose state is given back.

    Raises:
        ValueError: a layer has weights but no `reset_parameters`.
    """
    # On the CPU: other devices draw other numbers, and round 0 is drawn before the move to one.
    fresh = copy.deepcopy(model).cpu()
    resets = [_reset_of(layer) for layer in fresh.modules()]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for reset in resets:
            reset()
    model.load_state_dict(fresh.state_dict())


def _reset_of(layer: nn.Module) -> Callable[[], object]:
    """Gives what draws a layer's own weights anew; nothing for a layer that has none."""
    reset: Callable[[], object] | None = getattr(layer, "reset_parameters", None)
    if reset is None and next(layer.parameters(recurse=False), None) is not None:
        raise ValueError(
            f"model.network: {type(layer).__name__} has parameters but no method "
            "reset_parameters, as torch's layers have, to draw them anew"
        )
    return reset or (lambda: None)
