"""The Inception-v3 network of the FID, of 2015-12-05, and the two ways of showing it images.

Szegedy et al. 2015 (https://arxiv.org/abs/1512.00567); its 2,048 numbers after the last pooling
are the features of Heusel et al. 2017 (https://arxiv.org/abs/1706.08500). torchvision has the
network with other poolings. How images are enlarged to 299 x 299 is a convention, which moves the
FID:

    nvidia        pixel j is taken at j · W / 299, as TensorFlow 1 did; (x - 128) / 128 of 0..255
    pytorch-fid   bilinear between the centres of pixels; 2 x - 1 of 0..1
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.inception import Inception3, InceptionE

from lightning_collapse.metrics.inception_weights import load_weights

__all__ = ["CONVENTIONS", "inception_features"]

_SIDE = 299
_IMAGES_AT_ONCE = 32


@torch.no_grad()
def inception_features(images: Tensor, convention: str, weights: Path) -> Tensor:
    """Gives the features (N, 2048), float32, of images (N, 1 or 3, H, W), float, in 0..255.

    Works on an accelerator where there is one, which then has them, always in float32; with one
    of `CONVENTIONS`, and a file that `find_weights` gave.
    """
    device = torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
    network = _network(weights, device)
    with torch.autocast(device.type, enabled=False), _full_precision(device):
        blocks = [
            network(CONVENTIONS[convention](block.to(device).expand(-1, 3, -1, -1)))
            for block in torch.split(images, _IMAGES_AT_ONCE)
        ]
    return torch.cat(blocks)


def _as_nvidia(images: Tensor) -> Tensor:
    rows, columns = (_corner_aligned(size).to(images) for size in images.shape[-2:])
    return (rows @ images @ columns.mT - 128) / 128


def _as_pytorch_fid(images: Tensor) -> Tensor:
    enlarged = F.interpolate(images / 255, (_SIDE, _SIDE), mode="bilinear", align_corners=False)
    return 2 * enlarged - 1


CONVENTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "nvidia": _as_nvidia,
    "pytorch-fid": _as_pytorch_fid,
}


@lru_cache
def _corner_aligned(size: int) -> Tensor:
    """Gives the weights (299, size) of linear interpolation at j · size / 299."""
    position = torch.arange(_SIDE, dtype=torch.float64) * size / _SIDE
    below = position.long()
    share = position - below
    weights = torch.zeros(_SIDE, size, dtype=torch.float64)
    weights.scatter_add_(1, below[:, None], 1 - share[:, None])
    return weights.scatter_add_(1, (below + 1).clamp(max=size - 1)[:, None], share[:, None])


@lru_cache
def _network(weights: Path, device: torch.device) -> Inception3:
    network = Inception3(aux_logits=False, init_weights=False)
    network.Mixed_7c = _MaxPooled(2048)
    for name, block in network.named_children():
        if hasattr(block, "branch_pool") and name != "Mixed_7c":
            block.branch_pool.register_forward_pre_hook(_leave_out_padding)
    network.dropout, network.fc = nn.Identity(), nn.Identity()
    load_weights(network, weights)
    return network.eval().requires_grad_(False).to(device)


class _MaxPooled(InceptionE):  # type: ignore[misc] # torchvision has no types
    """The last block, whose fourth branch starts with a maximum instead of an average."""

    def _forward(self, x: Tensor) -> list[Tensor]:
        *branches, _ = super()._forward(x)
        return [*branches, self.branch_pool(F.max_pool2d(x, 3, stride=1, padding=1))]


def _leave_out_padding(module: nn.Module, inputs: tuple[Tensor]) -> Tensor:
    """Undoes that torchvision's 3x3 average counts the zeros around the image."""
    (average,) = inputs
    inside = F.avg_pool2d(torch.ones_like(average[:1, :1]), 3, stride=1, padding=1)
    return average / inside


@contextmanager
def _full_precision(device: torch.device) -> Iterator[None]:
    """Keeps cuDNN from rounding float32 to TF32, which the field's figures are free of."""
    if device.type != "cuda":
        yield
        return
    # Not `cudnn.flags`, which would reset what the trainer may have asked for.
    allowed = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = allowed
