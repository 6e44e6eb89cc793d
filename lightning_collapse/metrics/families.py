"""The measures of this package, and which of them a round has."""

from lightning_collapse.metrics.coverage import Balls
from lightning_collapse.metrics.distance import SlicedWasserstein
from lightning_collapse.metrics.fd import Frechet
from lightning_collapse.metrics.feature_moments import FeatureMoments
from lightning_collapse.metrics.kernel import KernelDistance
from lightning_collapse.metrics.measure import Measure
from lightning_collapse.metrics.modes import Modes
from lightning_collapse.metrics.spread import Collapsed, Spread
from lightning_collapse.metrics.torch_metrics import TorchMetric

__all__ = ["ALWAYS", "COMPARED", "DEFAULT", "NAMES"]

ALWAYS: tuple[Measure, ...] = (Spread(), Frechet(), Collapsed())
"""What every record has."""
DEFAULT: tuple[Measure, ...] = (Balls(), SlicedWasserstein())
"""What a record has unless it is turned off."""
COMPARED: tuple[Measure, ...] = (Frechet(), KernelDistance(), *DEFAULT, FeatureMoments())
"""What samples of no run are compared with a reference by."""

NAMES = [
    kind.__name__
    for kind in (Balls, FeatureMoments, Frechet, KernelDistance, Modes, SlicedWasserstein)
] + [TorchMetric.__name__]
"""What `measures` may name without a module."""
