"""Whether network and data fit, found out before anything is computed."""

import torch

from lightning_collapse.lit.data import PoolDataModule
from lightning_collapse.lit.module import CollapseModule
from lightning_collapse.samples.memory import ran_out

__all__ = ["check_network"]


@torch.no_grad()
def check_network(module: CollapseModule, data: PoolDataModule) -> None:
    """Tries the network on two rows: it must take and give rows of the data's shape.

    Raises:
        ValueError: it does not, or its classes are not the data's.
    """
    shape = data.row_shape
    if module.label_dim:
        _check_labels(module.label_dim, data)
    # A U-Net takes images of any side, but is made for one.
    fits = module.model.row_shape in (None, shape)
    # Where the weights are: in `setup`, `module.device` is where they will go.
    two = torch.zeros(2, *shape, device=next(module.ema.parameters()).device)
    try:
        fits = fits and module.ema(two, two.new_ones(2)).shape[1:] == shape
    except RuntimeError as error:
        if ran_out(error):
            raise
        fits = False
    if not fits:
        raise ValueError(
            f"model.network: does not take rows of shape {shape}, which {data.source} gives; "
            "set its resolution and channels, or its dim, to that shape"
        )
    # For its checkpoints, of a network that does not tell.
    module.model.row_shape = module.ema.row_shape = shape


def _check_labels(label_dim: int, data: PoolDataModule) -> None:
    labels = data.train.labels
    if labels is None:
        raise ValueError(
            f"model.network: is conditioned on {label_dim} classes, but the rows of "
            f"{data.source} have no labels; set label_dim to 0 or choose another data.source"
        )
    if labels.max() >= label_dim:
        raise ValueError(
            f"model.network: label_dim = {label_dim}, but the rows of {data.source} have labels "
            f"up to {int(labels.max())}; set label_dim to {int(labels.max()) + 1}"
        )
