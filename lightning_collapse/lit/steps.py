"""A round's training steps: what is remembered of them, and those that cannot be made.

A loss that is not finite on one process must keep all from the step: it becomes gradients of NaN,
which the average over processes spreads. Whether a step can be made is then read off the
gradients, and all processes read the same.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from pytorch_lightning import Trainer
from torch import Tensor, nn

from lightning_collapse.sampling.solvers import state_dtype

__all__ = [
    "RoundProgress",
    "bad_gradient",
    "fuse_on_cpu",
    "poisoned",
    "seeks_scale",
]


@dataclass(eq=False)
class RoundProgress:
    """What a process must remember of a round until its end, across interruptions.

    Attributes:
        start: the average's weights at the start of the round.
        steps: batches of the optimizer's steps that were made.
        seconds: spent in training.
        loss_sum: losses of the batches that count as `steps`.
        steps_skipped: the optimizer's steps that were left out.
    """

    start: dict[str, Tensor] = field(default_factory=dict)
    steps: int = 0
    seconds: float = 0.0
    loss_sum: Tensor | float = 0.0
    steps_skipped: int = 0
    # Of the step at hand; empty whenever a checkpoint is saved.
    _losses: list[Tensor] = field(default_factory=list, init=False)

    def add_loss(self, loss: Tensor) -> None:
        """Adds a batch's loss, on its device: reading it would make the CPU wait."""
        self._losses.append(loss.to(state_dtype(loss.device)))

    def has_finite_losses(self) -> bool:
        """Whether all losses of the step at hand are finite in this process."""
        return bool(torch.stack(self._losses).isfinite().all())

    def end_step(self, made: bool) -> None:
        """Ends the optimizer's step at hand; the losses of one that was left out do not count."""
        if made:
            self.loss_sum = sum(self._losses, self.loss_sum)
            self.steps += len(self._losses)
        self._losses = []

    def state_dict(self) -> dict[str, Any]:
        return {
            "start": self.start,
            "steps": self.steps,
            "seconds": self.seconds,
            "steps_skipped": self.steps_skipped,
        }


def poisoned(loss: Tensor) -> Tensor:
    """Gives the loss () as it is; one that is not finite will have gradients of NaN.

    An infinite loss may have finite ones.
    """
    return loss * torch.where(loss.isfinite(), 1.0, torch.nan)


def bad_gradient(parameters: Iterable[tuple[str, nn.Parameter]]) -> str | None:
    """Names the first of some parameters whose gradient's norm is not finite, if there is one."""
    named = [(name, p.grad) for name, p in parameters if p.grad is not None]
    if not named:
        return None
    norms = torch.stack(torch._foreach_norm([gradient for _, gradient in named]))
    # Read once: the CPU waits for the device here.
    finite = norms.isfinite()
    return None if finite.all() else named[int(finite.int().argmin())][0]


def fuse_on_cpu(optimizer: torch.optim.Optimizer) -> None:
    """Has Adam and AdamW step over all weights in one call, where they are float32 on a CPU.

    Torch does so by itself on no device; on a CPU its usual loop over weights takes a tenth of a
    small network's training step. Whoever has chosen `fused`, `foreach` or another variant in the
    configuration keeps it.
    """
    if type(optimizer) not in (torch.optim.Adam, torch.optim.AdamW):
        return
    for group in optimizer.param_groups:
        chosen = group["fused"] is not None or group["foreach"] is not None
        if chosen or group["capturable"] or group["differentiable"]:
            continue
        if all(p.device.type == "cpu" and p.dtype == torch.float32 for p in group["params"]):
            group["fused"] = True


def seeks_scale(trainer: Trainer) -> bool:
    """Whether 16-bit training is still looking for a factor at which gradients do not overflow.

    Its scaler starts high, leaves out steps by itself, and halves the factor at each.
    """
    scaler = getattr(trainer.precision_plugin, "scaler", None)
    return scaler is not None and scaler.get_scale() > 1
