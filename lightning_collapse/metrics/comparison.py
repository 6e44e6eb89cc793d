"""Samples that belong to no run, beside a reference: the same measures, without floor or step."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from lightning_collapse.metrics.extraction import feature_blocks
from lightning_collapse.metrics.fd import frechet_reference
from lightning_collapse.metrics.features import Features
from lightning_collapse.metrics.figures import figures_of
from lightning_collapse.metrics.measure import Measure, RealRows, Sample
from lightning_collapse.metrics.measuring import Measured, refuse_doubles, told
from lightning_collapse.metrics.statistics import Statistics
from lightning_collapse.rows import Rows

__all__ = ["Comparison"]

# Enough for any measure to name its figures.
_FEW = 16


class Comparison:
    """A reference, and what measures tell of samples beside it.

    Attributes:
        n_reference: its rows, or None where that is not known.
        dim: features of a row, d, in the default space.
    """

    def __init__(
        self, reference: Rows | Statistics, features: Features, latents: object = None
    ) -> None:
        """Reads the reference.

        Args:
            reference: all its rows (m, *), at least 2; or mean and covariance in `features`,
                beside which measures that need rows tell nothing.
            features: of measures that name none.
            latents: what its samples' latents are keyed by, such as seed and round; samples of the
                same latents are compared by no measure that needs rows. None for none.

        Raises:
            ValueError: the statistics are those of no rows.
        """
        self._default, self._latents = features, latents
        self._rows = None if isinstance(reference, Statistics) else reference
        self._kept: dict[str, RealRows] = {}
        if isinstance(reference, Statistics):
            self._kept[features.name] = RealRows(None, None, summed=reference)
            frechet_reference(self._kept[features.name])
            self.n_reference, self.dim = reference.n, len(reference.mu)
        else:
            self.n_reference, self.dim = len(reference), self._all_features(features).shape[1]

    def statistics(self) -> Statistics:
        """Mean and covariance of the reference in the default space."""
        return self._kept[self._default.name].statistics

    def measured(
        self, measures: Sequence[Measure], samples: Rows, n: int, latents: object = None
    ) -> list[Measured]:
        """What measures tell of the first n samples (N, *), in order.

        Those that need no rows of the reference are taken from all n and all of the reference's
        rows; others from the first ones of either, as many as `measure.rows` if there are so many.

        Raises:
            ValueError: two measures give a figure of the same name.
        """
        same = latents is not None and latents == self._latents
        features: dict[str, Tensor] = {}
        all_told = []
        for measure in measures:
            space = measure.features or self._default
            if space.name not in features:
                blocks = feature_blocks(samples, space, n, keep=False, bar=True)
                features[space.name] = torch.cat(list(blocks))
            all_told.append(self._measured(measure, space, samples, features[space.name], same))
        refuse_doubles([name for part in all_told for name in part.figures])
        return all_told

    def _measured(
        self, measure: Measure, space: Features, samples: Rows, features: Tensor, same: bool
    ) -> Measured:
        n = min(measure.rows, len(features if self._rows is None else self._rows), len(features))
        sample = Sample.of_first(samples, features, space, n, all_features=features)
        summed = not measure.needs_rows and (self._rows is not None or space.name in self._kept)
        if summed or (self._rows is not None and not same):
            figures = figures_of(measure, sample, self._real(space, n))
            doubts = measure.doubts(figures, sample)
            taken = n if measure.has_floor or measure.has_step else 0
            return told(measure, taken, figures, doubts=doubts)
        few = features[:_FEW]
        some = Sample.of_first(samples, few, space, min(n, _FEW), all_features=few)
        names = figures_of(measure, some, RealRows(some, None))
        reason = (
            "shares latents with the reference: one seed, one round or the same for all"
            if same
            else "needs the reference's rows"
        )
        return Measured(
            type(measure).__name__, n, dict.fromkeys(names), dict.fromkeys(names, reason)
        )

    def _real(self, space: Features, n: int) -> RealRows:
        if self._rows is None:
            return self._kept[space.name]
        known = self._all_features(space)
        sample = Sample.of_first(self._rows, known, space, n, all_features=known)
        return replace(self._kept[space.name], sample=sample)

    def _all_features(self, space: Features) -> Tensor:
        assert self._rows is not None
        if space.name not in self._kept:
            known = torch.cat(list(feature_blocks(self._rows, space, bar=True)))
            self._kept[space.name] = RealRows(None, None, all_features=known)
        return self._kept[space.name].all_features  # type: ignore[return-value]
