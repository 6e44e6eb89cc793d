"""The Fréchet distance as a measure: FID in Inception features."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from lightning_collapse.metrics.frechet import FrechetReference, frechet_distance_of_rows
from lightning_collapse.metrics.measure import Figure, Measure, RealRows, Sample
from lightning_collapse.metrics.statistics import Statistics

__all__ = ["Frechet"]


@dataclass(frozen=True)
class Frechet(Measure):
    """The Fréchet distance of the first `fd_n` samples to *all* real training rows.

    Figures: `fd_<space>`, or `fid`, biased upward by what `fd_<space>_floor` tells: the distance
    of as many held-out rows. Beyond the number of held-out rows, h, the floor is extrapolated
    from h and h/2, and `fd_floor_extrapolated` says so: the bias falls as 1/n (Chong & Forsyth
    2020, https://arxiv.org/abs/1911.07023).
    """

    needs_rows: ClassVar[bool] = False
    has_floor: ClassVar[bool] = False
    has_step: ClassVar[bool] = False

    def figures(self, samples: Sample, real: RealRows) -> dict[str, Figure]:
        n = samples.statistics.n or len(samples)
        told: dict[str, Figure] = {samples.distance: _distance(samples, real)}
        held_out = real.all_held_out
        if held_out is not None:
            floor, extrapolated = _floor(n, held_out, real)
            told |= {f"{samples.distance}_floor": floor}
            told |= {"fd_n": n, "fd_floor_extrapolated": extrapolated}
        return told

    def caution(self, figure: str, n: int) -> str:
        if figure.endswith("_floor"):
            return "the same of real rows"
        return "biased upward, by about the floor: compare at equal n"


def _distance(samples: Sample, real: RealRows) -> float:
    if real.all_features is not None and samples.summed is None:
        return frechet_distance_of_rows(samples.features, real.all_features)
    statistics = samples.statistics
    return _reference(real).distance(statistics.mu, statistics.sigma)


def _reference(real: RealRows) -> FrechetReference:
    return real.once(
        "Frechet.reference",
        lambda rows: FrechetReference(rows.statistics.mu, rows.statistics.sigma),
    )


def _floor(n: int, held_out: Tensor, real: RealRows) -> tuple[float, bool]:
    """The floor at n, and whether it is extrapolated."""
    h = len(held_out)
    if n <= h:
        return _measured(n, held_out, real), False
    whole, half = _measured(h, held_out, real), _measured(h // 2, held_out, real)
    slope = (half - whole) / (1 / (h // 2) - 1 / h)
    return max(0.0, whole + slope * (1 / n - 1 / h)), True


def _measured(n: int, held_out: Tensor, real: RealRows) -> float:
    def distance(rows: RealRows) -> float:
        statistics = Statistics.of(held_out[:n])
        return _reference(rows).distance(statistics.mu, statistics.sigma)

    return real.once(f"Frechet.floor {n}", distance)
