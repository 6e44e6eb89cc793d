"""Selection by density: the most or least likely samples, or random ones as the control."""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from lightning_collapse.curators.curator import KeepsShare, Offer, best, features_of
from lightning_collapse.metrics.features import Features
from lightning_collapse.metrics.neighbours import all_distances
from lightning_collapse.seeds import generator

__all__ = ["ByDensity"]

_ROWS_AT_ONCE = 1024


@dataclass(frozen=True)
class ByDensity(KeepsShare):
    """Keeps a share of the samples by the likelihood that a kernel density estimate gives them.

    The estimate has a Gaussian kernel on every row, of Scott's width: the root mean variance of
    the rows, times m^(-1/(d + 4)) for m rows of d features. A sample's own kernel tells nothing of
    it and adds the same to all.

    Attributes:
        keep: share of the samples, in (0, 1].
        order: `top` for the most likely ones, `bottom` for the least, `random` for either.
        of: whose density: of the `samples`, which is the model's, or of the `real` rows.
        features: in which rows are compared; default: pixels in network units, points as they are.

    Raises:
        ValueError: the share is not in (0, 1].
    """

    keep: float = 0.5
    order: Literal["top", "bottom", "random"] = "bottom"
    of: Literal["samples", "real"] = "samples"
    features: Features | None = None

    def weights(self, offer: Offer) -> Tensor:
        n = len(offer.samples)
        if self.order == "random":
            scores = torch.rand(n, generator=generator(offer.seed, "random"))
        else:
            samples = features_of(offer.samples, self.features)
            rows = samples if self.of == "samples" else features_of(offer.real, self.features)
            scores = log_density(samples, rows)
            scores = -scores if self.order == "bottom" else scores
        return best(scores, self.keeps(n), offer.seed)


def log_density(points: Tensor, rows: Tensor) -> Tensor:
    """Gives the log density (n,) at points (n, d) of kernels on rows (m, d), but for a constant.

    It is rounded to 9 decimals, so that what is equally likely is equal, in whatever order its
    rows were summed.
    """
    m, d = rows.shape
    width = float(rows.var(0, unbiased=False).mean()) * m ** (-2 / (d + 4))
    if width == 0:  # all rows are the same
        width = 1.0
    blocks = [
        torch.logsumexp(-all_distances(block, rows).double().square() / (2 * width), 1)
        for block in torch.split(points, _ROWS_AT_ONCE)
    ]
    return torch.round(torch.cat(blocks) - math.log(m), decimals=9)
