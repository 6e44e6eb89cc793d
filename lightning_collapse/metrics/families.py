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
from lightning_collapse.metrics.kernel import KernelDistance
from lightning_collapse.metrics.measure import Measure
from lightning_collapse.metrics.modes import Modes
from lightning_collapse.metrics.spread import Collapsed, Spread
from lightning_collapse.metrics.torch_metrics import TorchMetric

__all__ = ["ALWAYS", "COMPARED", "DEFAULT", "NAMES", "joined"]

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

NAMES = [
    kind.__name__
    for kind in (
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
]
"""What `measures` may name without a module."""


def joined(usual: Sequence[Measure], named: Sequence[Measure]) -> list[Measure]:
    """Usual measures, then named ones, which stand for usual ones of their class and space."""
    taken = {_kind(measure) for measure in named}
    return [*(measure for measure in usual if _kind(measure) not in taken), *named]


def _kind(measure: Measure) -> tuple[type[Measure], str | None]:
    return type(measure), None if measure.features is None else measure.features.name
