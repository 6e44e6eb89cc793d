"""Several `SigmaMLP`s as one network, which costs less than each by itself."""

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lightning_collapse.networks.mlp import SigmaMLP

__all__ = ["StackedMLP"]


class StackedMLP(nn.Module):
    """R networks of one shape, each with weights and rows of its own: layers are `torch.bmm`.

    It is a `Network` on R · B rows, of which the first B are the first network's, and so on: what
    preconditions a network, or samples with it, need not know that there are several.

    Args:
        networks: R of one shape, without classes; their weights are copied.

    Attributes:
        layers: weight (R, in, out) and bias (R, 1, out) of each layer in turn, in the order of
            `SigmaMLP`'s parameters.
    """

    def __init__(self, networks: Sequence[SigmaMLP]) -> None:
        super().__init__()
        first = networks[0]
        if first.label_dim:
            raise ValueError(
                f"network.label_dim = {first.label_dim}: must be 0, as networks that are trained "
                "together know no classes"
            )
        self.row_shape, self.depth, self.map_noise = first.row_shape, first.depth, first.map_noise
        self.layers = nn.ParameterList(_stacked(networks))

    def __len__(self) -> int:
        return len(self.layers[0])

    @torch.no_grad()
    def copy_to(self, i: int, network: SigmaMLP) -> None:
        """Gives a network of the same shape the weights of the i-th of these."""
        for together, own in zip(self.layers, network.parameters(), strict=True):
            own.copy_(together[i].mT if own.ndim == 2 else together[i, 0])

    def forward(
        self,
        x: Tensor,
        c_noise: Tensor,
        class_labels: Tensor | None = None,
        augment_labels: Tensor | None = None,
    ) -> Tensor:
        """Gives the raw predictions (R · B, dim).

        Args:
            x: scaled noisy points (R · B, dim).
            c_noise: condition on the noise level (R · B,).
            class_labels: ignored, as there are no classes.
            augment_labels: ignored, as points are not augmented.
        """
        layers = iter(self.layers)
        emb = self._apart(self.map_noise(100 * c_noise))
        emb = F.silu(_linear(layers, emb))
        h = _linear(layers, self._apart(x))
        for _ in range(self.depth):
            inner = _linear(layers, emb) + _linear(layers, F.silu(h))
            h = h + _linear(layers, F.silu(inner))
        return _linear(layers, F.silu(h)).flatten(0, 1)

    def _apart(self, rows: Tensor) -> Tensor:
        return rows.reshape(len(self), -1, rows.shape[1])


def _stacked(networks: Sequence[SigmaMLP]) -> Iterator[nn.Parameter]:
    for parameters in zip(*(network.parameters() for network in networks), strict=True):
        together = torch.stack([parameter.detach() for parameter in parameters])
        weight = together.ndim == 3
        yield nn.Parameter(together.mT.contiguous() if weight else together.unsqueeze(1))


def _linear(layers: Iterator[Tensor], x: Tensor) -> Tensor:
    weight, bias = next(layers), next(layers)
    return torch.baddbmm(bias, x, weight)
