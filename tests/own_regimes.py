"""Regimes that only tests have: what a user may come up with, and the package does not know."""

from dataclasses import dataclass

from lightning_collapse.regimes import REAL, Drawn, Fixed, Kept, Regime


@dataclass(frozen=True)
class Anchored(Regime):
    """All real rows, and as many drawn from the last two generations."""

    def blocks(self, n_real, r):
        born = range(max(1, r - 1), r + 1)
        return [Fixed(REAL, range(n_real)), Drawn(n_real if r else 0, born)]

    def samples_needed(self, n_real):
        return n_real


@dataclass(frozen=True)
class Ebbing(Regime):
    """Half of the rows of the round before, by chance, and a third as many as are real."""

    def blocks(self, n_real, r):
        if r == 0:
            return [Fixed(REAL, range(n_real))]
        size = n_real
        for _ in range(r - 1):
            size = size // 2 + n_real // 3
        return [Kept(size // 2), Fixed(range(r, r + 1), range(n_real // 3))]

    def samples_needed(self, n_real):
        return n_real // 3
