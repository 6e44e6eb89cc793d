"""How far features spread, and in how many directions, beside real ones."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from lightning_collapse.metrics.measure import Figure, Measure, RealRows, Sample
from lightning_collapse.metrics.statistics import Statistics

__all__ = ["Dispersion", "effective_rank", "participation_ratio"]

_NOTES = {
    "effective_rank": "biased downward: compare at equal n",
    "participation": "biased downward: compare at equal n",
    "trace_ratio": "unbiased, but for the real rows' own trace",
    "feature_mean": "biased upward, by 1/n + 1/N of its square: compare at equal n",
    "covariance_shift": "biased upward: compare at equal n",
    "spectrum": "its first biased upward: compare at equal n",
}
_LEADING = 16


@dataclass(frozen=True)
class Dispersion(Measure):
    """Mean and covariance of the first n samples beside those of *all* real training rows.

    Figures, each ending in `_<space>`, with mean m and covariance S of samples, and M and R of
    real rows: `effective_rank` and `participation` of S, see `effective_rank` and
    `participation_ratio`; `trace_ratio`, tr S / tr R; `feature_mean`, |m - M| / (tr R)^1/2;
    `covariance_shift`, ‖S - R‖ / ‖R‖ in the Frobenius norm; `spectrum`, the largest eigenvalues of
    S, 16 at most, from the first on. The three of R are null where real rows do not vary, and the
    first two where samples do not.
    """

    needs_rows: ClassVar[bool] = False
    has_step: ClassVar[bool] = False

    def figures(self, samples: Sample, real: RealRows) -> dict[str, Figure]:
        mine, theirs = samples.first, real.statistics
        spectrum = torch.linalg.eigvalsh(mine.sigma).clamp(min=0)
        told: dict[str, Figure] = {
            "effective_rank": effective_rank(spectrum),
            "participation": participation_ratio(spectrum),
            **_beside(mine, theirs),
            "spectrum": spectrum.flip(0)[:_LEADING].tolist(),
        }
        return {f"{name}_{samples.space}": value for name, value in told.items()}

    def caution(self, figure: str, n: int) -> str:
        return next(note for name, note in _NOTES.items() if figure.startswith(f"{name}_"))

    def doubts(self, figures: Mapping[str, Figure], samples: Sample) -> dict[str, str]:
        n, d = len(samples), samples.features.shape[1]
        few = f"of {n} rows in {d} dimensions: at most {n - 1}"
        ranks = [f"{name}_{samples.space}" for name in ("effective_rank", "participation")]
        return {name: few for name in ranks if n <= d and figures[name] is not None}


def effective_rank(eigenvalues: Tensor) -> float | None:
    """Gives the exponential of the entropy of eigenvalues (d,) as shares; None where all are 0.

    Between 1 and d. Source: Roy & Vetterli 2007, The effective rank.
    """
    total = eigenvalues.sum()
    if not total > 0:
        return None
    return float(torch.special.entr(eigenvalues / total).sum().exp())


def participation_ratio(eigenvalues: Tensor) -> float | None:
    """Gives the squared sum of eigenvalues (d,) over the sum of their squares, between 1 and d."""
    squares = eigenvalues.square().sum()
    return float(eigenvalues.sum().square() / squares) if squares > 0 else None


def _beside(mine: Statistics, theirs: Statistics) -> dict[str, float | None]:
    trace = float(theirs.sigma.trace())
    if not trace > 0:
        return dict.fromkeys(("trace_ratio", "feature_mean", "covariance_shift"))
    return {
        "trace_ratio": float(mine.sigma.trace()) / trace,
        "feature_mean": float((mine.mu - theirs.mu).norm()) / trace**0.5,
        "covariance_shift": float((mine.sigma - theirs.sigma).norm() / theirs.sigma.norm()),
    }
