"""Ridge regression on a mixture of real and synthetic rows, as it is and on random projections.

x ~ N(0, I) in d dimensions, label x·w + noise; the labels of synthetic rows are by w + δ, with
w ~ N(0, I/d) and δ ~ N(0, quality · I/d), so that `quality` is the mean squared error of a
synthetic label. Errors are E|fit - w|^2, on real data and without the noise of its labels. The
model's size is the width: the number of random projections that ridge regression sees.

A mixture is compared with real rows alone, at the same inputs and noise; what it adds is ζ.
Source: Dohmatob et al. 2024 (2410.04840); forms and their limits in `theory.regression`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from lightning_collapse.chance import replica_generators
from lightning_collapse.regimes import Replace
from lightning_collapse.theory.regression import MixtureError, ridge_error
from lightning_collapse.toys.spreads import HALF_WIDTH, aligned

__all__ = ["Mixture", "Sweep", "ridge", "simulate_sweep", "summarise_sweep", "sweep_table"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Mixture:
    """What is regressed, and how."""

    dim: int
    quality: float
    noise: float
    """Variance of the labels' noise, real and synthetic."""
    penalty: float
    """Weight of |w|^2 beside the mean squared error of the labels."""
    replicas: int
    seed: int


@dataclass(frozen=True)
class Sweep:
    """Settings that are run one after another: numbers of rows, and of projections."""

    rows: Sequence[int]
    widths: Sequence[int] | None = None
    """As many as `rows`; None regresses on the inputs themselves."""

    def settings(self) -> list[tuple[int, int | None]]:
        """Rows and width of each."""
        widths = [None] * len(self.rows) if self.widths is None else self.widths
        return list(zip(self.rows, widths, strict=True))


def simulate_sweep(sweep: Sweep, fractions: Sequence[float], mixture: Mixture) -> Array:
    """Gives errors (settings, 1 + shares, R): with real rows alone, then with each share.

    The settings of a replica share inputs, noise and projections.
    """
    errors = np.empty((len(sweep.rows), 1 + len(fractions), mixture.replicas))
    generators = replica_generators(mixture.seed, "strong collapse", range(mixture.replicas))
    for i, chance in enumerate(tqdm(generators, "replicas", leave=False, disable=None)):
        truth = chance.standard_normal(mixture.dim) / mixture.dim**0.5
        shift = chance.standard_normal(mixture.dim) * (mixture.quality / mixture.dim) ** 0.5
        inputs = chance.standard_normal((max(sweep.rows), mixture.dim))
        noise = chance.standard_normal(max(sweep.rows)) * mixture.noise**0.5
        projections = chance.standard_normal((max(sweep.widths or [0]), mixture.dim))
        for j, (rows, width) in enumerate(sweep.settings()):
            x = inputs[:rows]
            labels = _labels(x @ truth + noise[:rows], x @ shift, fractions)
            if width is None:
                fits = ridge(x, labels, mixture.penalty)
            else:
                some = projections[:width] / width**0.5
                fits = some.T @ ridge(x @ some.T, labels, mixture.penalty)
            errors[j, :, i] = np.square(fits - truth[:, None]).sum(0)
    return errors


def _labels(real: Array, shift: Array, fractions: Sequence[float]) -> Array:
    """Labels (n, 1 + shares): real ones, then with a share of them shifted."""
    labels = np.repeat(real[:, None], 1 + len(fractions), 1)
    for column, fraction in enumerate(fractions, start=1):
        k = _synthetic_rows(fraction, len(real))
        labels[:k, column] += shift[:k]
    return labels


def _synthetic_rows(fraction: float, rows: int) -> int:
    return Replace(fraction).samples_needed(rows)


def ridge(x: Array, labels: Array, penalty: float) -> Array:
    """Gives the weights (d, k) that minimise |x w - labels|²/n + penalty |w|².

    Args:
        x: inputs (n, d).
        labels: (n, k).
        penalty: beside the mean squared error.
    """
    # Through the smaller of the two Gram matrices.
    n, d = x.shape
    if d <= n:
        return np.asarray(np.linalg.solve(x.T @ x + n * penalty * np.eye(d), x.T @ labels))
    return np.asarray(x.T @ np.linalg.solve(x @ x.T + n * penalty * np.eye(n), labels))


def summarise_sweep(
    sweep: Sweep, fraction: float, real: Array, mixed: Array, mixture: Mixture
) -> dict[str, Any]:
    """Gives a condition of `summary.json`: errors of one synthetic share along a sweep.

    `zeta_mean` is the mean of the difference to real rows alone, replica by replica, and
    `zeta_error` its standard error.

    Args:
        sweep: the settings.
        fraction: the synthetic share.
        real: errors with real rows alone (settings, R).
        mixed: errors of the mixture, likewise.
        mixture: the rest.
    """
    zeta = mixed - real
    q05, median, q95 = np.quantile(mixed, [0.05, 0.5, 0.95], axis=1)
    return {
        "model": "ridge" if sweep.widths is None else "projections",
        "lambda": fraction,
        "dim": mixture.dim,
        "quality": mixture.quality,
        "noise": mixture.noise,
        "penalty": mixture.penalty,
        "replicas": mixture.replicas,
        "n": list(sweep.rows),
        **({} if sweep.widths is None else {"width": list(sweep.widths)}),
        "error_mean": mixed.mean(1),
        "error_median": median,
        "error_q05": q05,
        "error_q95": q95,
        "real_error_mean": real.mean(1),
        "zeta_mean": zeta.mean(1),
        "zeta_error": zeta.std(1) / mixture.replicas**0.5,
        "theory": _predicted(sweep, fraction, mixture),
    }


def _predicted(sweep: Sweep, fraction: float, mixture: Mixture) -> dict[str, list[float]]:
    """Theory's lists along a sweep: `bias` is B, `variance` V, and their sum with ζ the error."""
    parts = [_parts(rows, width, fraction, mixture) for rows, width in sweep.settings()]
    return {
        "error_mean": [part.total for part in parts],
        "real_error_mean": [part.bias + part.variance for part in parts],
        "zeta_mean": [part.zeta for part in parts],
        "bias": [part.bias for part in parts],
        "variance": [part.variance for part in parts],
    }


def _parts(rows: int, width: int | None, fraction: float, mixture: Mixture) -> MixtureError:
    ones = np.ones(mixture.dim)
    spectra = (ones, ones / mixture.dim, mixture.quality * ones / mixture.dim)
    share = _synthetic_rows(fraction, rows) / rows
    return ridge_error(
        *spectra,
        rows=rows,
        synthetic_fraction=share,
        penalty=mixture.penalty,
        noise=mixture.noise,
        width=np.inf if width is None else width,
    )


def sweep_table(summaries: Sequence[Mapping[str, Any]]) -> list[str]:
    """Gives lines of a table: share, a sweep's last error, ζ with its 95 % interval, theory."""
    lines = [("model", "synthetic share", "rows, width", "error", "ζ", "95 % interval", "theory")]
    for one in summaries:
        zeta, half = one["zeta_mean"][-1], HALF_WIDTH * one["zeta_error"][-1]
        expected = one["theory"]
        lines.append(
            (
                one["model"],
                f"{one['lambda']:g}",
                ", ".join(f"{one[key][-1]:,}" for key in ("n", "width") if key in one),
                f"{one['error_mean'][-1]:.4g}",
                f"{zeta:.3g}",
                f"{zeta - half:.3g} to {zeta + half:.3g}",
                f"{expected['error_mean'][-1] - expected['real_error_mean'][-1]:.3g}",
            )
        )
    return aligned(lines)
