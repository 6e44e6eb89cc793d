"""Moments of features: where they lie, and how far they spread."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from lightning_collapse.metrics.measure import Figure, Measure, RealRows, Sample
from lightning_collapse.metrics.statistics import Statistics

__all__ = ["FeatureMoments"]

_NOTES = {
    "mean_distance": "biased upward: compare at equal n",
    "grand_mean": "mean of the feature means",
    "feature_spread": "standard deviation of the feature means",
    "covariance_trace": "unbiased",
    "covariance_logdet": "biased downward; told of a covariance of full rank",
    "covariance_frobenius": "biased upward: compare at equal n",
}


@dataclass(frozen=True)
class FeatureMoments(Measure):
    """Moments of the features, of the rows that the Fréchet distance is taken from.

    Figures, each ending in `_<space>`: `mean_distance`, the Euclidean distance of the feature
    means; mean (`grand_mean`) and standard deviation (`feature_spread`) of the d feature means;
    of the unbiased covariance the trace, the logarithm of the determinant, null where that is 0,
    and the Frobenius norm (`covariance_…`). Real rows' figures are called `real_…`.
    """

    needs_rows: ClassVar[bool] = False
    has_floor: ClassVar[bool] = False
    has_step: ClassVar[bool] = False

    def figures(self, samples: Sample, real: RealRows) -> dict[str, Figure]:
        mine = _moments(samples.summed or samples.known)
        theirs = real.once(
            f"FeatureMoments {samples.space}", lambda rows: _moments(rows.summed or rows.known)
        )
        told: dict[str, Figure] = {"mean_distance": float((mine[0] - theirs[0]).norm())}
        told |= mine[1] | {f"real_{name}": value for name, value in theirs[1].items()}
        return {f"{name}_{samples.space}": value for name, value in told.items()}

    def caution(self, figure: str, n: int) -> str:
        name = figure.removeprefix("real_")
        return next(note for known, note in _NOTES.items() if name.startswith(f"{known}_"))


def _moments(known: Tensor | Statistics) -> tuple[Tensor, dict[str, float | None]]:
    """The mean of features (n, d), or of their statistics, and figures of mean and covariance."""
    if isinstance(known, Statistics):
        mu, spectrum = known.mu, _positive(torch.linalg.eigvalsh(known.sigma))
    else:
        mu, spectrum = known.double().mean(0), _spectrum(known)
    return mu, {
        "grand_mean": float(mu.mean()),
        "feature_spread": float(mu.std(correction=0)),
        "covariance_trace": float(spectrum.sum()),
        "covariance_logdet": float(spectrum.log().sum()) if len(spectrum) == len(mu) else None,
        "covariance_frobenius": float(spectrum.norm()),
    }


def _spectrum(x: Tensor) -> Tensor:
    """The eigenvalues above 0 of the features' covariance, from the smaller Gram matrix."""
    centred = x.double() - x.double().mean(0)
    gram = centred.mT @ centred if len(x) > x.shape[1] else centred @ centred.mT
    return _positive(torch.linalg.eigvalsh(gram / max(1, len(x) - 1)))


def _positive(eigenvalues: Tensor) -> Tensor:
    rounding = len(eigenvalues) * torch.finfo(torch.float64).eps * eigenvalues.max()
    return eigenvalues[eigenvalues > rounding]
