"""Whether a checkpoint is one that a run can go on from, found out before anything is taken over.

Damage shows by the seal (`runs.checkpoints`). This is about files that are well sealed and yet
wrong: of another network, of a run that diverged, or made to do harm.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lightning_collapse.networks.trained_for import TrainedFor
from lightning_collapse.runs.weights import forms, not_finite

__all__ = ["check_checkpoint", "check_training", "check_weights"]


def check_checkpoint(checkpoint: Mapping[str, Any], module: nn.Module) -> None:
    """Raises ValueError where a checkpoint does not fit the module, or a weight is not finite."""
    with _told("ckpt_path"):
        _check_tensors("state_dict", checkpoint["state_dict"], module.state_dict())
        _check(checkpoint, module)


def check_training(checkpoint: Mapping[str, Any], training: TrainedFor) -> None:
    """Raises ValueError where a network was trained for something else than it is to be now.

    A configuration tells too, but for one that is older than these options.
    """
    before = checkpoint.get("model")
    if not isinstance(before, dict):
        return
    now = training.described()
    was = {name: before[name] for name in before if name not in ("network", "row_shape")}
    if was != now:
        told = [
            str({k: v for k, v in a.items() if b.get(k) != v}) for a, b in [(now, was), (was, now)]
        ]
        raise ValueError(
            f"model = {told[0]:.300}: the run was started with {told[1]:.300}; restore it, or "
            "choose another --run"
        )


def check_weights(checkpoint: Mapping[str, Any], module: nn.Module, path: Path) -> None:
    """Raises ValueError where a file's weights do not fit the module, or one is not finite."""
    with _told(path):
        _check_tensors("state_dict", checkpoint["state_dict"], module.state_dict())


@contextmanager
def _told(named: object) -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{named}: {error}") from error
    except (LookupError, TypeError, AttributeError, RuntimeError) as error:
        raise ValueError(f"{named}: is no checkpoint of this run ({error!r:.80})") from error


def _check(checkpoint: Mapping[str, Any], module: nn.Module) -> None:
    parameters = dict(module.named_parameters())
    progress = checkpoint["round_progress"]
    if start := progress["start"]:
        averages = {name.removeprefix("ema."): value for name, value in parameters.items()}
        _check_tensors("round_progress.start", start, {n: averages[n] for n in start})
    sizes = {(), *(tuple(value.shape) for value in parameters.values())}
    for value in _leaves(checkpoint["optimizer_states"]):
        if isinstance(value, Tensor) and tuple(value.shape) not in sizes:
            raise ValueError(f"optimizer_states holds a tensor of {list(value.shape)}")
    counts = [progress[name] for name in ("steps", "steps_skipped")]
    counts += [checkpoint[name] for name in ("epoch", "global_step")]
    for value in [*counts, *_leaves(checkpoint["loops"])]:
        if isinstance(value, Tensor) or (isinstance(value, int) and not 0 <= value < 2**63):
            raise ValueError(f"{value!r:.60} is no count of steps or rounds")
    sums = [progress["seconds"], *progress["loss_sums"]]
    if not all(isinstance(value, float) for value in sums):
        raise ValueError("round_progress holds no sums of losses and seconds")


def _check_tensors(what: str, found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    if wrong := forms(found).items() ^ forms(expected).items():
        name, form = min(wrong)
        raise ValueError(
            f"{what} does not fit the network, such as {name} ({form}); go on with the "
            "network that it was trained with"
        )
    if any(value.layout is not torch.strided for value in found.values()):
        raise ValueError(f"{what} holds what is no plain tensor")
    if bad := not_finite(found):
        raise ValueError(
            f"{what}.{bad} is not finite: training diverged; go on from an earlier "
            "checkpoint, or start again with a lower learning rate"
        )


def _leaves(tree: Any) -> Iterator[Any]:
    if not isinstance(tree, (Mapping, list, tuple)):
        yield tree
        return
    for part in tree.values() if isinstance(tree, Mapping) else tree:
        yield from _leaves(part)
