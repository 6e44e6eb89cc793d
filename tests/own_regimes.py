"""Regimes that only tests have: what a user may come up with, and the package does not know."""

from dataclasses import dataclass

from lightning_collapse.regimes import REAL, Drawn, Fixed, Regime


@dataclass(frozen=True)
class Ramp(Regime):
    """Ever fewer of the same first real rows, and ever more of the newest samples."""

    step: float

    def blocks(self, n_real, r):
        n = round(min(1.0, self.step * r) * n_real)
        return [Fixed(REAL, range(n_real - n)), Fixed(range(r, r + 1), range(n))]

    def samples_needed(self, n_real):
        return n_real


@dataclass(frozen=True)
class Window(Regime):
    """The last few generations, of which real rows are the first."""

    generations: int

    def blocks(self, n_real, r):
        return [Fixed(range(max(0, r + 1 - self.generations), r + 1), range(n_real))]

    def samples_needed(self, n_real):
        return n_real


@dataclass(frozen=True)
class Anchored(Regime):
    """All real rows, and as many drawn from the last two generations."""

    def blocks(self, n_real, r):
        born = range(max(1, r - 1), r + 1)
        return [Fixed(REAL, range(n_real)), Drawn(n_real if r else 0, born)]

    def samples_needed(self, n_real):
        return n_real
