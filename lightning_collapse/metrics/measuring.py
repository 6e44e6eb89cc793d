"""What becomes of a set of samples: one pass over its rows, then the figures of every measure.

The pass sums over all rows and keeps the first ones, with their features once a space. Processes
make it over rows of their own; sums and first rows are then put together in all of them, and each
takes some of the measures.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from lightning_collapse.metrics.features import Features
from lightning_collapse.metrics.figures import figures_of
from lightning_collapse.metrics.measure import Figure, Measure, RealRows, Sample
from lightning_collapse.metrics.moments import Moments
from lightning_collapse.metrics.real import RealData, Team
from lightning_collapse.metrics.statistics import Statistics
from lightning_collapse.metrics.sums import Sums
from lightning_collapse.rows import ReadRows, Rows
from lightning_collapse.seeds import generator

__all__ = ["Measured", "Measuring", "Seen", "record_of", "refuse_doubles", "told"]

_SHARED = "shares latents with the round before"


@dataclass
class _First:
    """The first rows of a set in one space: a piece by where it starts, and sums of more."""

    pieces: dict[int, Tensor] = field(default_factory=dict)
    moments: Moments | None = None


class Seen:
    """What a pass over a set's rows leaves."""

    def __init__(self, sums: Sums, spaces: Mapping[Features, tuple[int, int]], rows: int) -> None:
        """Starts empty.

        Args:
            sums: over all rows, empty.
            spaces: the feature spaces; of how many rows, the first ones, each keeps the features,
                and of how many it sums them.
            rows: how many rows are kept, the first ones.
        """
        self.sums = sums
        self._spaces, self._rows = dict(spaces), rows
        self._pieces: dict[int, Tensor] = {}
        self._first = {space.name: _First() for space in self._spaces}

    def update(self, start: int, rows: Tensor) -> None:
        """Adds rows (n, *), the first of which is the set's number `start`."""
        self.sums.update(rows)
        if start < self._rows:
            self._pieces[start] = rows[: self._rows - start]
        for space, (kept, summed) in self._spaces.items():
            some = rows[: max(0, max(kept, summed) - start)]
            if not len(some):
                continue
            first, features = self._first[space.name], space(some).cpu()
            if start < kept:
                first.pieces[start] = features[: kept - start]
            if start < summed:
                first.moments = first.moments or Moments(features.shape[1])
                first.moments.update(features[: summed - start])

    def merge(self, other: "Seen") -> None:
        """Adds what another process has seen."""
        self.sums.merge(other.sums)
        self._pieces |= other._pieces
        for name, first in other._first.items():
            mine = self._first[name]
            mine.pieces |= first.pieces
            if mine.moments is None:
                mine.moments = first.moments
            elif first.moments is not None:
                mine.moments.merge(first.moments)

    def sample(self, features: Features, n: int, labels: Tensor | None, **known: Any) -> Sample:
        """The first n rows, or fewer if there are fewer, as a measure in a space sees them."""
        first, rows = self._first[features.name], _in_order(self._pieces)
        return Sample.of_first(
            ReadRows(rows, labels),
            _in_order(first.pieces),
            features,
            min(n, len(rows)),
            sums=self.sums,
            summed=None if first.moments is None else Statistics.summed(first.moments),
            **known,
        )


def _in_order(pieces: Mapping[int, Tensor]) -> Tensor:
    return torch.cat([pieces[start] for start in sorted(pieces)])


@dataclass(frozen=True)
class Measured:
    """What one measure has told of a set.

    Attributes:
        name: of the measure's class.
        rows: that it was taken from, n; 0 for sums over all rows.
        figures: by name, floors and steps included.
        cautions: why a figure is null or worth little, by its name.
    """

    name: str
    rows: int
    figures: dict[str, Figure]
    cautions: dict[str, str]


class Measuring:
    """The measures of a run's rounds, with their floors and steps."""

    def __init__(
        self,
        measures: Sequence[Measure],
        real: RealData,
        features: Features,
        n_samples: int,
        *,
        summed: int,
        seed: int = 0,
    ) -> None:
        """Measures the floors, with held-out rows in the place of samples.

        Args:
            measures: in the order of the record's columns.
            real: what samples are compared with.
            features: of measures that name none.
            n_samples: how many samples a round makes.
            summed: samples, the first ones, whose features are summed.
            seed: keys the halves of held-out rows.

        Raises:
            ValueError: two measures give a figure of the same name.
            MeasureError: a measure of a user's own fails, or tells what no record can keep.
        """
        self._real, self._default, self._seed = real, features, seed
        self._n_samples, self._summed = n_samples, min(summed, n_samples)
        self._measures = list(measures)
        self._floors = [self._floor(measure) for measure in self._measures]
        refuse_doubles(self.names(self._measures))

    def names(self, measures: Sequence[Measure]) -> list[str]:
        """The names of what is known of some of the measures, floors and steps included."""
        told: list[str] = []
        for measure, floor in zip(self._measures, self._floors, strict=True):
            if any(measure is one for one in measures):
                beside = ("_floor", measure.has_floor), ("_step", measure.has_step)
                told += floor
                told += [f"{name}{end}" for end, has in beside if has for name in floor]
        return told

    def seen(self) -> Seen:
        """An empty pass, to be filled with a set's rows."""
        spaces: dict[Features, tuple[int, int]] = {}
        for measure in self._measures:
            kept, summed = spaces.get(space := self._space(measure), (0, 0))
            # What needs no rows is taken from sums.
            more = 0 if measure.needs_rows else self._summed
            spaces[space] = max(kept, self._n(measure)), max(summed, more)
        return Seen(Sums(self._real.pixels), spaces, self.first_rows)

    @property
    def first_rows(self) -> int:
        """How many of a set's rows, the first ones, a comparison with it needs."""
        return max(self._n(measure) for measure in self._measures)

    @property
    def wants_step(self) -> bool:
        """Whether any measure compares samples with those of the round before."""
        return any(measure.has_step for measure in self._measures)

    def figures(
        self,
        seen: Seen,
        before: Seen | None,
        *,
        labels: Tensor | None = None,
        labels_before: Tensor | None = None,
        trained_on: Rows | None = None,
        latents_of_before: bool = False,
        latents_of_training: bool = False,
    ) -> Iterator[Measured]:
        """Yields what each measure tells, in order; all processes must go on together.

        Args:
            seen: the samples, of all processes.
            before: those of the round before; None for round 0.
            labels: class of every sample (n,), if there are classes.
            labels_before: the same of the round before.
            trained_on: what the round trained on.
            latents_of_before: whether the samples share latents, one by one, with those of the
                round before. Sets of the same latents say nothing of sets: steps are then null.
            latents_of_training: whether they do with samples in `trained_on`.
        """
        team: Team = self._real.team
        known = {"trained_on": trained_on, "shares_latents": latents_of_training}
        sampled: dict[tuple[Features, int], Sample] = {}
        for first in range(0, len(self._measures), team.size):
            mine = first + team.rank
            told = None
            if mine < len(self._measures):
                measure = self._measures[mine]
                n, space = self._n(measure), self._space(measure)
                # The same one for all, as it keeps its distances.
                if (space, n) not in sampled:
                    sampled[space, n] = seen.sample(space, n, labels, **known)
                earlier = None
                if measure.has_step and before is not None and not latents_of_before:
                    # Its sums may be of some rows only, where the round was read again.
                    earlier = replace(
                        before.sample(space, n, labels_before), sums=None, summed=None
                    )
                told = self._told(mine, sampled[space, n], earlier, latents_of_before)
            yield from (part for part in team.gather(told) if part is not None)

    def _told(
        self, which: int, samples: Sample, before: Sample | None, latents_of_before: bool
    ) -> Measured:
        """Figures of samples, with floors, and steps from the samples before."""
        measure, floor = self._measures[which], self._floors[which]
        n = self._n(measure)
        real = self._real.compared(self._space(measure), n)
        figures = figures_of(measure, samples, real)
        step: dict[str, Figure] = {}
        if measure.has_step:
            apart: Mapping[str, Figure] = {}
            if before is not None:
                stand_in = RealRows(before, real.held_out, kept=real.kept, anchor=real)
                apart = figures_of(measure, samples, stand_in)
            step = {f"{name}_step": apart.get(name) for name in figures}
        doubts = measure.doubts(figures, samples)
        if latents_of_before:
            doubts = {**doubts, **dict.fromkeys(step, _SHARED)}
        if measure.has_floor and floor:
            step = {f"{name}_floor": floor.get(name) for name in figures} | step
        taken = n if measure.has_floor or measure.has_step else 0
        return told(measure, taken, figures, step, doubts)

    def _floor(self, measure: Measure) -> dict[str, Figure]:
        """What the measure tells of held-out real rows; all its figures' names."""
        n = self._n(measure)
        real = self._real.compared(self._space(measure), n)
        if real.held_out is None:
            return {}
        if not measure.splits_held_out:
            return figures_of(measure, real.held_out, real)
        order = torch.randperm(n, generator=generator(self._seed, "halves"))
        half, rest = (_some(real.held_out, part) for part in (order[: n // 2], order[n // 2 :]))
        return figures_of(measure, half, replace(real, held_out=rest))

    def _space(self, measure: Measure) -> Features:
        return measure.features or self._default

    def _n(self, measure: Measure) -> int:
        return self._real.most(measure.rows, self._n_samples)


def _some(sample: Sample, which: Tensor) -> Sample:
    labels = sample.labels
    return replace(
        sample,
        rows=sample.rows[which],
        features=sample.features[which],
        labels=None if labels is None else labels[which],
    )


def told(
    measure: Measure,
    n: int,
    figures: Mapping[str, Figure],
    beside: Mapping[str, Figure] | None = None,
    doubts: Mapping[str, str] | None = None,
) -> Measured:
    """What a measure tells of n rows (0 for sums over all), and its reasons for what is null.

    With floors and steps `beside` its own figures, and doubts why some are worth little.
    """
    reasons = {name: measure.caution(name, n) for name, v in figures.items() if v is None}
    cautions = {name: reason for name, reason in reasons.items() if reason}
    for name, v in figures.items():
        if isinstance(v, float) and not math.isfinite(v):  # null in a record
            cautions[name] = f"is {v}"
    cautions |= doubts or {}
    return Measured(type(measure).__name__, n, {**figures, **(beside or {})}, cautions)


def refuse_doubles(names: Sequence[str]) -> None:
    """Raises ValueError where a figure comes twice."""
    if twice := {name for name in names if names.count(name) > 1}:
        raise ValueError(
            f"measures: {min(twice)} is a figure of two of them; name each measure once"
        )


def record_of(measured: Sequence[Measured]) -> dict[str, Any]:
    """A record's fields of what measures have told.

    Raises:
        ValueError: a figure comes twice.
    """
    # Names may depend on the set.
    refuse_doubles([name for told in measured for name in told.figures])
    fields: dict[str, Any] = {}
    for told in measured:
        fields |= told.figures
    fields["measured_rows"] = {told.name: told.rows for told in measured if told.rows}
    fields["cautions"] = {name: why for told in measured for name, why in told.cautions.items()}
    return fields
