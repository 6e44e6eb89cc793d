"""The measures of this package, and which of them a round has."""

from collections.abc import Sequence

from lightning_collapse.metrics.classes import Classes
from lightning_collapse.metrics.copying import Copying, DataCopying
from lightning_collapse.metrics.coverage import Balls
from lightning_collapse.metrics.discrepancy import MMD, Energy
from lightning_collapse.metrics.dispersion import Dispersion
from lightning_collapse.metrics.distance import SlicedWasserstein
from lightning_collapse.metrics.diversity import Entropy, KolmogorovSmirnov, Vendi
from lightning_collapse.metrics.fd import Frechet, FrechetInfinity
from lightning_collapse.metrics.feature_moments import FeatureMoments
from lightning_collapse.metrics.features import Features
from lightning_collapse.metrics.kernel import KernelDistance
from lightning_collapse.metrics.measure import Measure
from lightning_collapse.metrics.measuring import Measuring
from lightning_collapse.metrics.modes import Modes
from lightning_collapse.metrics.real import RealData
from lightning_collapse.metrics.spread import Collapsed, Spread
from lightning_collapse.metrics.torch_metrics import TorchMetric

__all__ = ["ALWAYS", "COMPARED", "DEFAULT", "NAMES", "is_own", "joined", "reserved"]

ALWAYS: tuple[Measure, ...] = (Spread(), Frechet(), Collapsed())
"""What every record has."""
DEFAULT: tuple[Measure, ...] = (
    Dispersion(),
    Balls(),
    SlicedWasserstein(),
    MMD(),
    DataCopying(),
    Modes(),
    Classes(),
)
"""What a record has unless it is turned off."""
COMPARED: tuple[Measure, ...] = (
    Frechet(),
    KernelDistance(),
    Balls(),
    SlicedWasserstein(),
    FeatureMoments(),
)
"""What samples of no run are compared with a reference by."""

_KINDS: tuple[type[Measure], ...] = (
    Balls,
    Classes,
    Copying,
    DataCopying,
    Dispersion,
    Energy,
    Entropy,
    FeatureMoments,
    Frechet,
    FrechetInfinity,
    KernelDistance,
    KolmogorovSmirnov,
    MMD,
    Modes,
    SlicedWasserstein,
    TorchMetric,
    Vendi,
)
NAMES = [kind.__name__ for kind in _KINDS]
"""What `measures` may name without a module."""


def reserved(features: Features, real: RealData) -> set[str]:
    """Gives the names of figures that measures of this package tell in a space, and beside it.

    They are told by a few real rows, held-out ones among them.
    """
    known = joined(ALWAYS, [kind() for kind in _KINDS if kind is not TorchMetric])
    return set(Measuring(known, real, features, real.held_out_rows, summed=2).names(known))


def is_own(measure: Measure) -> bool:
    """Whether a measure's figures are named by a class of a user's own."""
    ours = {*_KINDS, *map(type, ALWAYS)} - {TorchMetric}
    return type(measure) not in ours


def joined(usual: Sequence[Measure], named: Sequence[Measure]) -> list[Measure]:
    """Usual measures, then named ones, which stand for usual ones of their class and space."""
    taken = {_kind(measure) for measure in named}
    return [*(measure for measure in usual if _kind(measure) not in taken), *named]


def _kind(measure: Measure) -> tuple[type[Measure], str | None]:
    return type(measure), None if measure.features is None else measure.features.name
