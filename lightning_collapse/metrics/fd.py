"""The Fréchet distance as a measure: FID in Inception features."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from lightning_collapse.metrics.frechet import (
    FrechetReference,
    expected_bias,
    frechet_distance_of_rows,
)
from lightning_collapse.metrics.measure import Figure, Measure, RealRows, Sample
from lightning_collapse.metrics.statistics import Statistics
from lightning_collapse.seeds import generator

__all__ = ["Frechet", "FrechetInfinity", "frechet_reference"]

_SPLITS = 4


@dataclass(frozen=True)
class Frechet(Measure):
    """The Fréchet distance of the first `fd_n` samples to *all* real training rows.

    Figures: `fd_<space>`, or `fid`, biased upward, and its two terms: `…_mean`, the squared
    distance of the means, and `…_cov`, that of the covariances; and what the bias comes to. In a
    run this is
    `fd_<space>_floor`, the distance of as many held-out rows. Beyond the number of held-out rows,
    h, the floor is extrapolated from h and h/2, and `fd_floor_extrapolated` says so: the bias
    falls as 1/n (Chong & Forsyth 2020, https://arxiv.org/abs/1911.07023). Beside a reference
    without held-out rows it is the mean distance of `fd_<space>_floor_n` of its rows, drawn at
    random, to its other rows; beside mean and covariance alone it is `fd_<space>_bias`, what n
    draws of that Gaussian are expected to be distant, told from n = 4 d on. In a space of its own,
    not the run's, the measure calls `fd_n` and `fd_floor_extrapolated` after the distance.
    """

    needs_rows: ClassVar[bool] = False
    has_floor: ClassVar[bool] = False
    has_step: ClassVar[bool] = False

    def figures(self, samples: Sample, real: RealRows) -> dict[str, Figure]:
        name, n = samples.distance, samples.n_known
        distance, apart = _distance(samples, real), _apart(samples, real)
        told: dict[str, Figure] = {name: distance}
        told |= {f"{name}_mean": apart, f"{name}_cov": max(0.0, distance - apart)}
        if real.all_held_out is not None:
            floor, extrapolated = _floor(n, real.all_held_out, real)
            prefix = "fd" if self.features is None else name
            told |= {f"{name}_floor": floor}
            return told | {f"{prefix}_n": n, f"{prefix}_floor_extrapolated": extrapolated}
        if real.all_features is not None:
            size = min(n, len(real.all_features) // 2)
            return told | {f"{name}_floor": _split(size, real), f"{name}_floor_n": size}
        return told | {f"{name}_bias": _bias(n, real)}

    def caution(self, figure: str, n: int) -> str:
        if figure.endswith("_floor"):
            return "the same of real rows"
        if figure.endswith("_n"):
            return "rows of it"
        if figure.endswith("_bias"):
            return "of as many real rows, if Gaussian; told from 4 rows a dimension on"
        return "biased upward: compare at equal n"

    def doubts(self, figures: Mapping[str, Figure], samples: Sample) -> dict[str, str]:
        n, d = samples.n_known, samples.features.shape[1]
        few = f"of {n} rows in {d} dimensions: mostly bias"
        return {samples.distance: few} if n < d else {}


def frechet_reference(real: RealRows) -> FrechetReference:
    """The real rows' mean and covariance, with its root, made once.

    Raises:
        ValueError: they are those of no rows.
    """
    return real.once(
        "Frechet.reference",
        lambda rows: FrechetReference(rows.statistics.mu, rows.statistics.sigma),
    )


def _distance(samples: Sample, real: RealRows) -> float:
    if samples.summed is None and (real.summed is None or real.all_features is not None):
        return frechet_distance_of_rows(samples.known, real.known)
    return _to_all(samples.statistics, real)


def _to_all(statistics: Statistics, real: RealRows) -> float:
    """The distance of mean and covariance to those of all real rows."""
    return frechet_reference(real).distance(statistics.mu, statistics.sigma)


def _apart(samples: Sample, real: RealRows) -> float:
    """The squared distance of the means."""
    mine = samples.known.double().mean(0) if samples.summed is None else samples.summed.mu
    theirs = real.known.double().mean(0) if real.summed is None else real.summed.mu
    return float((mine - theirs).square().sum())


def _split(size: int, real: RealRows) -> float | None:
    """The mean distance of `size` of the reference's rows, drawn at random, to its others."""

    def mean_distance(rows: RealRows) -> float | None:
        known, apart = rows.known, []
        if size < 2:
            return None
        for i in range(_SPLITS):
            order = torch.randperm(len(known), generator=generator(0, "Frechet.floor", i))
            apart.append(frechet_distance_of_rows(known[order[:size]], known[order[size:]]))
        return sum(apart) / len(apart)

    return real.once(f"Frechet.split {size}", mean_distance)


def _bias(n: int, real: RealRows) -> float | None:
    sizes = [n] if real.statistics.n is None else [n, real.statistics.n]
    # The expansion in 1/n is wrong below, by any factor.
    if min(sizes) < 4 * len(real.statistics.mu):
        return None
    spectrum = real.once(
        "Frechet.spectrum", lambda rows: torch.linalg.eigvalsh(rows.statistics.sigma)
    )
    return sum(expected_bias(spectrum, size) for size in sizes)


def _floor(n: int, held_out: Tensor, real: RealRows) -> tuple[float, bool]:
    """The floor at n, and whether it is extrapolated."""
    h = len(held_out)
    if n <= h:
        return _measured(n, held_out, real), False
    whole, half = _measured(h, held_out, real), _measured(h // 2, held_out, real)
    slope = (half - whole) / (1 / (h // 2) - 1 / h)
    return max(0.0, whole + slope * (1 / n - 1 / h)), True


def _measured(n: int, held_out: Tensor, real: RealRows) -> float:
    return real.once(f"Frechet.floor {n}", lambda rows: _to_all(Statistics.of(held_out[:n]), rows))


@dataclass(frozen=True)
class FrechetInfinity(Measure):
    """The Fréchet distance to all real training rows, extrapolated to infinitely many samples.

    Figure: `fd_<space>_infinity`, or `fid_infinity`: where a straight line in 1/n, through the
    distances of random parts of the first n samples, meets 1/n = 0; below 0 by chance where there
    is none. The law holds from n of about 4 d on. Source: Chong & Forsyth 2020,
    https://arxiv.org/abs/1911.07023.

    Attributes:
        parts: sizes, evenly spaced from n/4 to n, at least 2.
        seed: keys the parts.
    """

    parts: int = 15
    seed: int = 0

    has_step: ClassVar[bool] = False
    _least: ClassVar[Mapping[str, int]] = {"parts": 2}

    def figures(self, samples: Sample, real: RealRows) -> dict[str, Figure]:
        name, (n, d) = f"{samples.distance}_infinity", samples.features.shape
        if n < 4 * d:
            return {name: None}
        sizes = torch.linspace(n / 4, n, self.parts, dtype=torch.float64).long()
        distances = []
        for size in sizes.tolist():
            order = torch.randperm(n, generator=generator(self.seed, "Frechet.part", size))
            distances.append(_to_all(Statistics.of(samples.features[order[:size]]), real))
        x = torch.stack([torch.ones(self.parts), 1 / sizes], 1).double()
        line = torch.linalg.lstsq(x, torch.tensor(distances, dtype=torch.float64)[:, None])
        return {name: float(line.solution[0])}

    def caution(self, figure: str, n: int) -> str:
        return "told from 4 rows a dimension on; unbiased in samples, but not in real rows"
