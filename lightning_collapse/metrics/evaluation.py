"""All figures of a set of features beside a reference, and what each is worth at its n."""

import torch
from torch import Tensor

from lightning_collapse.metrics.coverage import coverage_figures
from lightning_collapse.metrics.frechet import (
    FrechetReference,
    expected_bias,
    frechet_distance_of_rows,
)
from lightning_collapse.metrics.kernel import kernel_distance
from lightning_collapse.metrics.statistics import Statistics

__all__ = ["Figures", "Reference"]

Figures = dict[str, float | None]

_NEIGHBOURS = 3
_BALLS = ["precision", "recall", "density", "coverage"]
_NOTES = {
    "mean_distance": "of feature means; biased upward: compare at equal n",
    "feature_mean": "mean of the feature means",
    "feature_spread": "standard deviation of the feature means",
    "covariance_trace": "unbiased",
    "covariance_logdet": "biased downward; told only of a covariance of full rank",
    "covariance_frobenius": "biased upward: compare at equal n",
}


class Reference:
    """What samples are compared with: features (m, d) of real rows, or only their statistics.

    Attributes:
        n: rows behind it, m, or None where that is not known.
        dim: features of a row, d.
        figures: its own moments.
    """

    def __init__(self, known: Tensor | Statistics) -> None:
        """Takes features, or statistics.

        Raises:
            ValueError: the statistics are not those of any rows.
        """
        self._rows = known if isinstance(known, Tensor) else None
        if isinstance(known, Statistics):
            self.n, self._mu = known.n, known.mu
            self._frechet = FrechetReference(known.mu, known.sigma)
            self._spectrum = _positive(torch.linalg.eigvalsh(known.sigma))
        else:
            self.n, self._mu = len(known), known.double().mean(0)
            self._spectrum = _spectrum(known)
        self.dim = len(self._mu)
        self.figures = _moments(self._mu, self._spectrum)

    def compare(self, x: Tensor, distance: str, seed: int) -> Figures:
        """Gives the figures of samples; null where they cannot be told.

        Args:
            x: features (n, d).
            distance: the Fréchet distance's name, `fid` or `fd_pixels`; the kernel distance's is
                then `kid` or `kd_pixels`.
            seed: keys the kernel distance's subsets.
        """
        mu = x.double().mean(0)
        return {
            distance: self._distance(x),
            f"{distance}_bias": self.bias(len(x)),
            **self._figures_of_rows(x, f"k{distance[1:]}", seed),
            "mean_distance": float((mu - self._mu).norm()),
            **_moments(mu, _spectrum(x)),
        }

    def bias(self, n: int) -> float:
        """Gives the distance to expect of n real rows, were their features Gaussian."""
        sizes = [n] if self.n is None else [n, self.n]
        return sum(expected_bias(self._spectrum, size) for size in sizes)

    def caution(self, figure: str, n: int) -> str:
        """Says in a line what a figure, by its name in `compare`, is worth for n samples."""
        if figure in _NOTES:
            note = _NOTES[figure]
        elif self._rows is None and not figure.startswith("f"):
            note = "needs the reference's rows, of which the npz has only mean and covariance"
        elif figure in _BALLS:
            note = f"biased; {_NEIGHBOURS} neighbours: compare at equal n"
        elif figure.endswith("_bias"):
            note = "the distance to expect of n real rows, were their features Gaussian"
        elif figure.endswith("_sd"):
            note = "over 100 subsets of 1,000 rows, or of half the smaller set"
        elif figure.startswith("k"):
            note = "unbiased, so that it may be negative"
        else:
            note = f"biased upward, by about {self.bias(n):.4g}: compare at equal n"
        against = "" if self.n is None else f" against {self.n:,}"
        return f"n = {n:,}{against} in {self.dim:,} dimensions: {note}"

    def _distance(self, x: Tensor) -> float:
        if self._rows is not None:
            return frechet_distance_of_rows(x, self._rows)
        statistics = Statistics.of(x)
        return self._frechet.distance(statistics.mu, statistics.sigma)

    def _figures_of_rows(self, x: Tensor, kernel: str, seed: int) -> Figures:
        names = [kernel, f"{kernel}_sd", *_BALLS]
        if self._rows is None or min(len(x), len(self._rows)) <= _NEIGHBOURS:
            return dict.fromkeys(names)
        mean, deviation = kernel_distance(x, self._rows, seed=seed)
        balls = coverage_figures(x, self._rows, _NEIGHBOURS)
        return {kernel: mean, f"{kernel}_sd": deviation, **balls}


def _moments(mu: Tensor, spectrum: Tensor) -> Figures:
    full_rank = len(spectrum) == len(mu)
    return {
        "feature_mean": float(mu.mean()),
        "feature_spread": float(mu.std(correction=0)),
        "covariance_trace": float(spectrum.sum()),
        "covariance_logdet": float(spectrum.log().sum()) if full_rank else None,
        "covariance_frobenius": float(spectrum.norm()),
    }


def _spectrum(x: Tensor) -> Tensor:
    """Gives the eigenvalues above 0 of the features' covariance, from the smaller Gram matrix."""
    centred = x.double() - x.double().mean(0)
    gram = centred.mT @ centred if len(x) > x.shape[1] else centred @ centred.mT
    return _positive(torch.linalg.eigvalsh(gram / max(1, len(x) - 1)))


def _positive(eigenvalues: Tensor) -> Tensor:
    rounding = len(eigenvalues) * torch.finfo(torch.float64).eps * eigenvalues.max()
    return eigenvalues[eigenvalues > rounding]
