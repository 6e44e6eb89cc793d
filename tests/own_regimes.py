"""Regimes that only tests have: what a user may come up with, and the package does not know."""

from dataclasses import dataclass

from lightning_collapse.regimes import REAL, Drawn, Fixed, Regime


@dataclass(frozen=True)
class Anchored(Regime):
    """All real rows, and as many drawn from the last two generations."""

    def blocks(self, n_real, r):
        born = range(max(1, r - 1), r + 1)
        return [Fixed(REAL, range(n_real)), Drawn(n_real if r else 0, born)]

    def samples_needed(self, n_real):
        return n_real
