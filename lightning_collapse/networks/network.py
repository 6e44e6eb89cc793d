"""What a network is here, and how one is described so that it can be made again."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from torch import Tensor

__all__ = ["Network", "describe", "is_described", "made", "named_among"]


class Network(Protocol):
    """A raw network F, which `Precond` makes a denoiser of: any module with this forward.

    Attributes that it may have, and what is taken where it has none:

        label_dim      number of classes that it is conditioned on; 0
        label_dropout  share of rows that it trains on without their class; 0
        augment_dim    width of the augmentation labels that it takes; 0
        row_shape      of a row: (C, H, W), or (d,) for points; None, that of its training rows

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
        """Predicts the training target that its preconditioning makes.

        Args:
            x: scaled noisy rows (B, *).
            c_noise: condition on the noise level (B,); ln(sigma) / 4 with EDM's preconditioning.
            class_labels: class indices (B,) or vectors (B, label_dim); None is "no class".
            augment_labels: what was done to each row (B, augment_dim); None is "nothing".

        Returns:
            The prediction (B, *), of the shape of `x`.
        """
        ...


def describe(network: object) -> dict[str, Any]:
    """Describes a network, or what goes with it, in plain values by which it can be made again.

    Returns:
        `class_path`, and `init_args` read from attributes of their names; or, where an argument
        is not found there, `undescribed`, which says so.
    """
    kind = type(network)
    class_path = f"{kind.__module__}.{kind.__qualname__}"
    arguments = {}
    for name, parameter in inspect.signature(kind).parameters.items():
        named = parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        value = getattr(network, name, parameter.empty)
        if not named or not _is_plain(value):
            why = f"{kind.__name__} keeps its argument {parameter.name} in no plain attribute"
            return {"class_path": class_path, "undescribed": why}
        arguments[name] = value
    return {"class_path": class_path, "init_args": arguments}


def is_described(network: Any) -> bool:
    """Whether this describes a network, as `describe` or a configuration does."""
    told = network.keys() if isinstance(network, Mapping) else ()
    return "class_path" in told and "undescribed" not in told


def named_among(
    ours: Sequence[Callable[..., Any]], class_path: object
) -> Callable[..., Any] | None:
    """Finds a class of this package by a path; None for a path to anything else."""
    # By the last part: modules have moved since older runs.
    package, _, name = str(class_path).rpartition(".")
    named = {kind.__name__: kind for kind in ours}
    return named.get(name) if package.partition(".")[0] == "lightning_collapse" else None


def made(what: str, kind: Callable[..., Any], init_args: Mapping[str, Any]) -> Any:
    """Calls a class, which may be anyone's, with arguments from a file.

    Raises:
        ValueError: it cannot be made, for whatever reason.
    """
    try:
        return kind(**init_args)
    except Exception as error:  # of any kind, in a class of the user's
        raise ValueError(
            f"{what}: {kind.__name__} cannot be made with these arguments ({error!r:.200})"
        ) from error


def _is_plain(value: Any) -> bool:
    if type(value) in (list, tuple):
        return all(map(_is_plain, value))
    if type(value) is dict:
        return all(type(key) is str for key in value) and all(map(_is_plain, value.values()))
    return type(value) in (type(None), bool, int, float, str)
