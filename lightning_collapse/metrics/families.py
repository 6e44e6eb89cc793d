"""Which measures a round has: always, and unless they are turned off."""

from lightning_collapse.metrics.coverage import Balls
from lightning_collapse.metrics.distance import SlicedWasserstein
from lightning_collapse.metrics.fd import Frechet
from lightning_collapse.metrics.measure import Measure
from lightning_collapse.metrics.spread import Collapsed, Spread

__all__ = ["ALWAYS", "DEFAULT"]

ALWAYS: tuple[Measure, ...] = (Spread(), Frechet(), Collapsed())
DEFAULT: tuple[Measure, ...] = (Balls(), SlicedWasserstein())
