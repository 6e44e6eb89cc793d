"""All figures of one round's samples, beside those of the real data, from mergeable sums."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from lightning_collapse.metrics.collapse import Levels, find_collapse
from lightning_collapse.metrics.extraction import feature_blocks, row_blocks
from lightning_collapse.metrics.features import Features
from lightning_collapse.metrics.frechet import FrechetReference
from lightning_collapse.metrics.moments import Moments, mass_center, mass_tails
from lightning_collapse.rows import Rows, network_units

__all__ = ["RealStatistics", "SampleStatistics"]


class RealStatistics:
    """What samples are compared with: the N real training rows; held-out rows give the floor."""

    def __init__(self, train: Rows, held_out: Rows, features: Features, bar: bool = False) -> None:
        """Reads the real rows, block by block.

        Args:
            train: the N real rows (n, *) that may be trained on.
            held_out: real rows (n, *) never trained on; at least 2.
            features: space of the Fréchet distance.
            bar: show the progress of features that are slow.
        """
        self.features = features
        pixels = Moments(train[torch.arange(1)].numel(), full=False)
        for block in row_blocks(train):
            pixels.update(network_units(block.flatten(1), torch.float64))
        self.mean, self.std = pixels.mean, pixels.variance().sqrt()
        self.reference_moments = _moments(feature_blocks(train, features, bar=bar))
        self.reference = FrechetReference(
            self.reference_moments.mean, self.reference_moments.covariance()
        )
        self._held_out = held_out
        self._floors: dict[int, float] = {}
        summary = SampleStatistics(self, fd_rows=0)
        for block in row_blocks(train):
            summary.update(block, 0)
        self.levels = summary.levels
        self.record = {f"real_{name}": value for name, value in summary.moments_record().items()}

    @property
    def held_out_rows(self) -> int:
        """Real rows never trained on."""
        return len(self._held_out)

    def floor(self, n: int) -> float:
        """Gives the distance that n real rows have from the training rows.

        Beyond the number of held-out rows, h, it is extrapolated from h and h/2: the bias of a
        Fréchet distance falls as 1/n (Chong & Forsyth 2020, https://arxiv.org/abs/1911.07023).
        """
        h = self.held_out_rows
        if n <= h:
            return self._measured_floor(n)
        slope = (self._measured_floor(h // 2) - self._measured_floor(h)) / (1 / (h // 2) - 1 / h)
        return max(0.0, self._measured_floor(h) + slope * (1 / n - 1 / h))

    def _measured_floor(self, n: int) -> float:
        if n not in self._floors:
            moments = _moments(feature_blocks(self._held_out, self.features, n))
            self._floors[n] = self.reference.distance(moments.mean, moments.covariance())
        return self._floors[n]


class SampleStatistics:
    """Sums over a round's samples, to be filled block by block and merged over processes.

    Attributes:
        n_nonfinite: samples that were not finite, to be counted by whoever made them: rows are.
    """

    def __init__(self, real: RealStatistics, fd_rows: int) -> None:
        """Starts empty.

        Args:
            real: what the samples are compared with.
            fd_rows: how many samples, the first ones, the Fréchet distance is taken from.
        """
        self._real, self.fd_rows = real, fd_rows
        self.pixels = Moments(len(real.mean), full=False)
        self.feature_moments = Moments(len(real.reference_moments.mean))
        self._center, self._tails = 0.0, 0.0
        self.levels, self.n_nonfinite = Levels(), 0

    def __getstate__(self) -> dict[str, Any]:
        # Other processes have the real data's statistics, which may be large.
        return {name: value for name, value in vars(self).items() if name != "_real"}

    def update(self, rows: Tensor, start: int) -> None:
        """Adds samples (n, *), the first of which is the round's sample number `start`."""
        self.pixels.update(network_units(rows.flatten(1), torch.float64))
        self._center += len(rows) * mass_center(rows, self._real.mean, self._real.std)
        self._tails += len(rows) * mass_tails(rows, self._real.mean, self._real.std)
        self.levels.update(rows)
        kept = rows[: max(0, self.fd_rows - start)]
        if len(kept):
            self.feature_moments.update(self._real.features(kept))

    def merge(self, other: "SampleStatistics") -> None:
        """Adds what another process has seen."""
        self.pixels.merge(other.pixels)
        self.feature_moments.merge(other.feature_moments)
        self._center += other._center
        self._tails += other._tails
        self.levels.merge(other.levels)
        self.n_nonfinite += other.n_nonfinite

    def moments_record(self) -> dict[str, float]:
        """Gives mean, variance and where the mass lies, in network units."""
        n, per_dim = self.pixels.count, self.pixels.mean
        within = float(self.pixels.scatter.mean()) / n
        return {
            "mean": float(per_dim.mean()),
            "variance": within + float(per_dim.var(correction=0)),
            "total_variance": float(self.pixels.variance().sum()),
            "mass_center": self._center / n,
            "mass_tails": self._tails / n,
        }

    def record(self) -> dict[str, float | bool]:
        """Gives all figures, real ones included."""
        real, moments = self._real, self.feature_moments
        name, n = real.features.distance, moments.count
        return {
            **self.moments_record(),
            **real.record,
            name: real.reference.distance(moments.mean, moments.covariance()),
            f"{name}_floor": real.floor(n),
            "fd_n": n,
            "fd_floor_extrapolated": n > real.held_out_rows,
        }

    def collapse_record(self) -> dict[str, int | str | None]:
        """Gives how many samples were not finite, and how all have collapsed, if they have."""
        own, real = self.moments_record(), self._real
        collapsed = find_collapse(
            self.levels,
            real.levels,
            relative_variance=own["total_variance"] / real.record["real_total_variance"],
            n_nonfinite=self.n_nonfinite,
        )
        return {"n_nonfinite": self.n_nonfinite, "collapsed": collapsed}


def _moments(blocks: Iterator[Tensor]) -> Moments:
    """Sums blocks of features (b, d), of which there is at least one."""
    first = next(blocks)
    moments = Moments(first.shape[1])
    for block in (first, *blocks):
        moments.update(block)
    return moments
