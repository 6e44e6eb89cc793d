"""What a network is here, and how one is described so that it can be made again."""

import inspect
from collections.abc import Mapping
from typing import Any, Protocol

from torch import Tensor, nn

__all__ = ["Network", "describe"]


class Network(Protocol):
    """A raw network F, which `EDMPrecond` makes a denoiser of: any module with this forward.

    Attributes that it may have, and what is taken where it has none:

        label_dim    number of classes that it is conditioned on; 0
        augment_dim  width of the augmentation labels that it takes; 0
        row_shape    of a row: (C, H, W), or (d,) for points; None, that of the rows it trained on

    Layers with parameters of their own need `reset_parameters`, as torch's have. A network that
    keeps its constructor's arguments, plain values, as attributes of the same names is described
    by its checkpoints, from which it is then made again.
    """

    def __call__(
        self,
        x: Tensor,
        c_noise: Tensor,
        class_labels: Tensor | None = None,
        augment_labels: Tensor | None = None,
    ) -> Tensor:
        """Predicts EDM's training target.

        Args:
            x: scaled noisy rows (B, *).
            c_noise: condition on the noise level (B,), ln(sigma) / 4.
            class_labels: class indices (B,) or vectors (B, label_dim); None is "no class".
            augment_labels: what was done to each row (B, augment_dim); None is "nothing".

        Returns:
            The prediction (B, *), of the shape of `x`.
        """
        ...


def describe(network: nn.Module) -> dict[str, Any]:
    """Describes a network: `class_path`, and `init_args` read from attributes of their names.

    Raises:
        ValueError: an argument is kept in no attribute, or is no plain value.
    """
    kind = type(network)
    arguments = {}
    for name, parameter in inspect.signature(kind).parameters.items():
        value = getattr(network, name, inspect.Parameter.empty)
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise ValueError(f"{kind.__name__} takes arguments without a name, {parameter}")
        if not _is_plain(value):
            raise ValueError(
                f"{kind.__name__} keeps its argument {name} in no attribute of that name, or it "
                "is no number, text, or list of these"
            )
        arguments[name] = value
    return {"class_path": f"{kind.__module__}.{kind.__qualname__}", "init_args": arguments}


def _is_plain(value: Any) -> bool:
    if type(value) in (list, tuple):
        return all(map(_is_plain, value))
    if type(value) is dict:
        return all(type(key) is str for key in value) and all(map(_is_plain, value.values()))
    return type(value) in (type(None), bool, int, float, str)


def is_described(network: Any) -> bool:
    """Whether this is a description that names the network's arguments, as `describe` does."""
    return isinstance(network, Mapping) and isinstance(network.get("init_args"), Mapping)
