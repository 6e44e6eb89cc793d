"""Whether samples are copies of training rows, by how far they are from the nearest ones."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from lightning_collapse.metrics.features import features_of
from lightning_collapse.metrics.measure import Figure, Measure, RealRows, Sample
from lightning_collapse.metrics.neighbours import all_distances, nearest_others
from lightning_collapse.rows import Rows
from lightning_collapse.seeds import generator

__all__ = ["Copying", "DataCopying", "mann_whitney_z"]


@dataclass(frozen=True)
class DataCopying(Measure):
    """The data-copying statistic C_T in one cell, beside held-out real rows.

    Figure: `ct_<space>`, the Mann-Whitney z of samples' distances to the nearest of n real
    training rows, against those of held-out rows. Far below 0: copies; far above: samples lie
    off the data. Source: Meehan et al. 2020, https://arxiv.org/abs/2004.05675, section 3.
    """

    has_step: ClassVar[bool] = False
    splits_held_out: ClassVar[bool] = True

    def figures(self, samples: Sample, real: RealRows) -> dict[str, Figure]:
        name = f"ct_{samples.space}"
        held_out = real.held_out
        if held_out is None or not len(held_out):
            return {name: None}
        near = [part.distances(real.first).min(1).values for part in (samples, held_out)]
        return {name: mann_whitney_z(*near)}

    def caution(self, figure: str, n: int) -> str:
        return "needs held-out rows; grows as n^1/2: compare at equal n"


def mann_whitney_z(x: Tensor, y: Tensor) -> float:
    """Gives the z of how often x (n,) is above y (m,), ties counting half.

    As by Meehan et al.: with a continuity correction of 1/2, and no correction for ties.
    """
    n, m = len(x), len(y)
    ordered = y.sort().values.contiguous()
    below = torch.searchsorted(ordered, x) + torch.searchsorted(ordered, x, right=True)
    u = float(below.sum()) / 2
    return float((u - (n * m / 2 - 0.5)) / (n * m * (n + m + 1) / 12) ** 0.5)


@dataclass(frozen=True)
class Copying(Measure):
    """Distances of samples to what the round trained on, and whether they are too near.

    Of random training rows one half is what samples are compared with; the other half says what
    rows of the training distribution, that are no copies, would come to (`…_rest`). Figures:
    `authenticity_<space>`, the share of samples that are further from the nearest training row
    than that is from its own nearest (AuthPct of Alaa et al. 2022,
    https://arxiv.org/abs/2102.08921); `generalisation_<space>`, the mean distance to the nearest
    training row (Shi et al. 2025), in feature units. Where it is not known what the round trained
    on, real training rows stand for it. Null in feature spaces of a user's own, unless this
    measure names them; and, but for `…_rest`, where the round trained on samples that share their
    latents with its own, each of which is near one by that alone.

    Attributes:
        seed: keys the halves.
    """

    seed: int = 0

    has_step: ClassVar[bool] = False
    needs_fresh_latents: ClassVar[bool] = True

    def figures(self, samples: Sample, real: RealRows) -> dict[str, Figure]:
        names = [f"{name}_{samples.space}" for name in ("authenticity", "generalisation")]
        told: dict[str, Figure] = dict.fromkeys([*names, *(f"{name}_rest" for name in names)])
        trained = self._trained_on(samples, real)
        if trained is None or len(trained) < 4:
            return told
        used, rest = trained[: len(trained) // 2], trained[len(trained) // 2 :]
        gaps = nearest_others(all_distances(used, used))
        own = [] if samples.shares_latents else [(samples.features, "")]
        for rows, ending in (*own, (rest, "_rest")):
            apart = all_distances(rows, used)
            near, which = apart.min(1)
            told[f"{names[0]}{ending}"] = float((near > gaps[which]).double().mean())
            told[f"{names[1]}{ending}"] = float(near.double().mean())
        return told

    def doubts(self, figures: Mapping[str, Figure], samples: Sample) -> dict[str, str]:
        if samples.trained_on is None:
            return dict.fromkeys(
                figures, "beside real training rows; what was trained on is unknown"
            )
        if not samples.shares_latents:
            return {}
        own = [name for name in figures if not name.endswith("_rest")]
        return dict.fromkeys(own, "shares latents with samples that the round trained on")

    def caution(self, figure: str, n: int) -> str:
        return "needs 4 training rows, in a space known by its name; biased: compare at equal n"

    def _trained_on(self, samples: Sample, real: RealRows) -> Tensor | None:
        """Features of random rows, at most 2n, that the round trained on."""
        rows: Rows = real.rows if samples.trained_on is None else samples.trained_on
        space = self.features or features_of(samples.distance)
        if space is None:
            return None
        order = torch.randperm(len(rows), generator=generator(self.seed, "copying"))
        return space(rows[order[: 2 * len(samples)]]).cpu()
