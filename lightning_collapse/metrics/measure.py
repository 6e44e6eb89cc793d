"""The seam for measures: figures of a set of samples beside real rows.

A measure is one frozen dataclass with one method, `figures`. What is around it is the framework's:
which rows and features it gets, the same figures of held-out real rows (`…_floor`) and against the
samples of the round before (`…_step`), the record, and who computes what
(`lightning_collapse.metrics.measuring`).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor

from lightning_collapse.metrics.features import Features
from lightning_collapse.metrics.neighbours import all_distances
from lightning_collapse.metrics.statistics import Statistics
from lightning_collapse.metrics.sums import Sums
from lightning_collapse.rows import Rows

__all__ = ["MEASURED_ROWS", "Figure", "Measure", "RealRows", "Sample"]

MEASURED_ROWS = 5_000
"""Rows of either set that a measure takes unless told otherwise."""

Figure = float | int | bool | str | list[float] | None
"""A figure: a number, several of one kind, or null where it cannot be told."""

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Sample:
    """Rows of one set, on the CPU, as a measure sees them.

    Attributes:
        rows: the first n rows (n, *) as stored: images uint8 (n, C, H, W), points float32 (n, d).
        features: of these rows (n, d), in the measure's feature space.
        space: the name of that space, such as `pixels`: the end of a figure's name.
        distance: the name of the Fréchet distance in that space: `fid` or `fd_<space>`.
        labels: class of each row (n,), int64; None where there are none.
        trained_on: what the round trained on, any rows of which can be read; None where that is
            not known.
        shares_latents: whether samples in `trained_on` have the latents of these rows, one by one.
        sums: over all rows of the set, of which `rows` may be the first; None where not summed.
        summed: mean and covariance of the features of the first rows, n or more, where summed.
        all_features: the features of *all* rows of the set (N, d), where they are at hand.
    """

    rows: Tensor
    features: Tensor
    space: str
    distance: str
    labels: Tensor | None = None
    trained_on: Rows | None = None
    shares_latents: bool = False
    sums: Sums | None = None
    summed: Statistics | None = None
    all_features: Tensor | None = None
    kept: dict["Sample", Tensor] = field(default_factory=dict, init=False, repr=False)

    @cached_property
    def statistics(self) -> Statistics:
        """Mean and covariance of the features, of as many rows as there are."""
        return Statistics.of(self.known) if self.summed is None else self.summed

    @cached_property
    def first(self) -> Statistics:
        """Mean and covariance of the features of the first n rows alone."""
        if self.summed is not None and self.summed.n == len(self.features):
            return self.summed
        return Statistics.of(self.features)

    @property
    def known(self) -> Tensor:
        """The features of as many rows as there are: of all, or of the first n."""
        return self.features if self.all_features is None else self.all_features

    @property
    def n_known(self) -> int:
        """How many rows mean and covariance are of."""
        summed = None if self.summed is None else self.summed.n
        return len(self.known) if summed is None else summed

    @classmethod
    def of_first(
        cls, rows: Rows, features: Tensor, space: Features, n: int, **known: Any
    ) -> "Sample":
        """The first n of rows, and of their features, with their classes where they have any."""
        labels = getattr(rows, "labels", None)
        return cls(
            rows=rows[torch.arange(n)],
            features=features[:n],
            space=space.name,
            distance=space.distance,
            labels=None if labels is None else labels[:n],
            **known,
        )

    def distances(self, other: "Sample") -> Tensor:
        """How far features are from another sample's (n, m), or this one's; computed once."""
        if other not in self.kept:
            self.kept[other] = all_distances(self.features, other.features)
        return self.kept[other]

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True, eq=False)
class RealRows:
    """What samples are compared with: real training rows; for a step, the samples before.

    Attributes:
        sample: the first n training rows; None where only mean and covariance are known.
        held_out: n real rows never trained on; None where there are none.
        summed: mean and covariance of the features of *all* training rows, where summed.
        all_features: the features of *all* training rows (N, d), where they are at hand.
        all_held_out: the features of all held-out rows (h, d), or of the first that any measure
            is taken from.
        kept: what `once` has made.
        anchor: the real rows, where these stand in for them; None for the real rows themselves.
    """

    sample: Sample | None
    held_out: Sample | None
    summed: Statistics | None = None
    all_features: Tensor | None = None
    all_held_out: Tensor | None = None
    kept: dict[str, Any] = field(default_factory=dict)
    anchor: "RealRows | None" = None

    @cached_property
    def statistics(self) -> Statistics:
        """Mean and covariance of the features of all training rows."""
        return Statistics.of(self.known) if self.summed is None else self.summed

    @property
    def known(self) -> Tensor:
        """The features of as many training rows as there are: of all, or of the first n."""
        return self.features if self.all_features is None else self.all_features

    @property
    def rows(self) -> Tensor:
        """The first n training rows (n, *), as stored."""
        return self.first.rows

    @property
    def features(self) -> Tensor:
        """Their features (n, d)."""
        return self.first.features

    @property
    def labels(self) -> Tensor | None:
        """Their classes (n,); None where there are none."""
        return self.first.labels

    @property
    def sums(self) -> Sums | None:
        """Sums over all training rows."""
        return None if self.sample is None else self.sample.sums

    @property
    def first(self) -> Sample:
        """The first n training rows, where they are known."""
        if self.sample is None:
            raise LookupError("only mean and covariance of the reference are known")
        return self.sample

    def once(self, key: str, make: Callable[["RealRows"], T]) -> T:
        """What `make(real)` makes of the real rows, once a run, such as a fitted classifier.

        Args:
            key: its name, the same in every call; begin it with the measure's.
            make: makes it of the real rows, also where these are the samples of a round before.
        """
        if key not in self.kept:
            self.kept[key] = make(self.anchor or self)
        made: T = self.kept[key]
        return made


@dataclass(frozen=True)
class Measure(ABC):
    """Figures of a set of samples beside real rows: subclass it, and write `figures`.

    Attributes:
        features: the space it is taken in; None for the run's.
        rows: samples it is taken from, the first ones, at least 1; real rows likewise. It gets
            fewer where there are fewer of any.
    """

    features: Features | None = None
    rows: int = MEASURED_ROWS

    needs_rows: ClassVar[bool] = True
    """Whether it needs the reference's rows; if not, mean and covariance will do."""
    has_floor: ClassVar[bool] = True
    """Whether held-out real rows in place of samples tell something."""
    has_step: ClassVar[bool] = True
    """Whether it compares two sets: the samples of the round before may stand for real rows."""
    splits_held_out: ClassVar[bool] = False
    """Whether it uses held-out rows itself: its floor then takes a half of them for samples."""
    needs_fresh_latents: ClassVar[bool] = False
    """Whether it says nothing of samples that share latents with those that a round trained on."""
    _least: ClassVar[Mapping[str, int]] = {}
    """The least value of options besides `rows`, by their names."""

    def __post_init__(self) -> None:
        for name, least in {"rows": 1, **self._least}.items():
            if getattr(self, name) < least:
                raise ValueError(f"{name} = {getattr(self, name)}: must be at least {least}")

    @abstractmethod
    def figures(self, samples: Sample, real: RealRows) -> dict[str, Figure]:
        """Figures by name.

        A figure of a feature space ends in its name: f"radius_{samples.space}".

        Args:
            samples: n samples; or held-out real rows, for the floor.
            real: n training rows; or the samples of the round before, for the step.

        Returns:
            Numbers, lists of numbers, or None where there is nothing to tell.
        """

    def caution(self, figure: str, n: int) -> str:
        """A few words on what a figure of n samples is worth, or on why there is none."""
        return ""

    def doubts(self, figures: Mapping[str, Figure], samples: Sample) -> dict[str, str]:
        """Why figures that are told are worth little, by their names."""
        return {}
