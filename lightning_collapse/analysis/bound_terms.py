"""What can be computed of a bound on the generalisation of recursive training, term by term.

The bound of 2502.18865 adds a cumulative shift, of how far the first generation is from the data,
to terms of stability and of the number of rows. Its constants are not known here, nor is its sum
told: each term stands alone. All are of one run, and of its copies with a row exchanged.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from lightning_collapse.analysis.bias_variance import Batch, common_batch, output_errors
from lightning_collapse.analysis.conditions import conditions
from lightning_collapse.analysis.intervals import Interval, t_interval
from lightning_collapse.analysis.sets import feature_space, featured
from lightning_collapse.networks.edm import Precond
from lightning_collapse.pool import Pool
from lightning_collapse.rows import network_units
from lightning_collapse.runs.layout import Run
from lightning_collapse.runs.measuring import recorded_regime
from lightning_collapse.runs.split import recorded_split
from lightning_collapse.seeds import generator

__all__ = ["Terms", "cumulative", "runs_terms", "total_variation"]

Array = NDArray[np.float64]

_CLASSIFIED = 1_000
_FOLDS = 5


@dataclass(frozen=True)
class Terms:
    """The terms at one number of rows.

    Attributes:
        n: N, training rows of round 0.
        gap: of each round, held-out loss on real rows minus the loss on rows that the round has
            trained on, with the same noise; its interval is over rows. None where the regime is
            the user's own.
        variation: total variation between real rows and round 0's samples, at least: 2 a - 1 for
            the balanced accuracy a of a classifier; its interval is over rows.
        shift: `variation` times (1 - (1 - α)^i) / α (K,), α being the share of real rows, or
            times i without any; None where α is not the same in all rounds.
        beta: of each round, how much one row's exchange changes the loss of a held-out row, the
            mean over rows and swaps (K,).
        largest: the largest such change, a lower bound of the supremum (K,).
        loss: largest loss of a held-out row (K,), M.
        per_root: M / √N (K,).
    """

    n: int
    gap: list[Interval] | None
    variation: Interval
    shift: Array | None
    beta: Array
    largest: Array
    loss: Array
    per_root: Array


def runs_terms(base: Run, swapped: Sequence[Run], trust_class: str | None = None) -> Terms:
    """Computes the terms of finished runs.

    Args:
        base: the run.
        swapped: the run with one row exchanged, each another one.
        trust_class: the network's class, if it is not of this package: it is then imported.

    Raises:
        OSError: rows or checkpoints cannot be read.
        ValueError: the feature space is one of the user's own.
    """
    (condition,) = conditions([base])
    records, batch = base.records, common_batch(condition)
    rounds = min(run.rounds for run in (base, *swapped))
    trained = _trained(base, batch, rounds)
    gap: list[Interval] = []
    held, changes = [], []
    for r in range(rounds):
        denoiser = base.denoiser(r, trust_class)
        held.append(_losses(denoiser, batch))
        if trained is not None:
            own = _losses(denoiser, trained[r])
            # Both have the noise of the same draws, row by row.
            gap.append(t_interval(held[-1][: len(own)] - own))
        others = [_losses(run.denoiser(r, trust_class), batch) for run in swapped]
        changes.append([np.abs(other - held[-1]) for other in others])
    n, loss = int(records[0]["n_train"]), np.array([row.max() for row in held])
    _, _, held_out = recorded_split(base, records[0])
    features = feature_space(base)
    rows = min(_CLASSIFIED, len(held_out), len(base.samples(0)))
    variation = total_variation(
        *(featured(of, features, rows).double().numpy() for of in (held_out, base.samples(0)))
    )
    real = [int(one["n_real"]) for one in records]
    all_rows = [m + int(one["n_synthetic"]) for m, one in zip(real, records, strict=True)]
    factor = cumulative(real, all_rows)
    return Terms(
        n,
        gap if trained is not None else None,
        variation,
        None if factor is None else max(variation.mean, 0.0) * factor[:rounds],
        np.array([np.mean(change) for change in changes]),
        np.array([np.max(change) for change in changes]),
        loss,
        loss / n**0.5,
    )


def cumulative(n_real: Sequence[int], rows: Sequence[int]) -> Array | None:
    """Gives (1 - (1 - α)^i) / α for each round i from 0 (K,); i for α = 0.

    Args:
        n_real: real rows that each round trains on.
        rows: all rows that it trains on.

    Returns:
        None where α = n_real / rows is not the same in all rounds but round 0.
    """
    shares = {real / all for real, all in zip(n_real[1:], rows[1:], strict=True)}
    if len(shares) > 1:
        return None
    alpha = shares.pop() if shares else 1.0
    # The sum of (1 - α)^j for j < i.
    return np.concatenate([[0.0], np.cumsum((1 - alpha) ** np.arange(len(rows) - 1))])


def total_variation(real: Array, other: Array) -> Interval:
    """Bounds the total variation of two sets of features (n, d) from below, by a classifier.

    A random forest is fitted to four fifths of the rows and tells the others apart: whatever the
    classifier, 2 a - 1 is at most the total variation in expectation, a its balanced accuracy.
    """
    x, of = np.concatenate([real, other]), np.repeat([0, 1], [len(real), len(other)])
    forest = RandomForestClassifier(200, min_samples_leaf=5, random_state=0)
    folds = StratifiedKFold(min(_FOLDS, len(real)), shuffle=True, random_state=0)
    right = cross_val_predict(forest, x, of, cv=folds) == of
    # Both sets are of one size: the accuracy is balanced.
    return t_interval(2.0 * right - 1)


def _losses(denoiser: Precond, batch: Batch) -> Array:
    """EDM's loss of each row (B,), the mean over its numbers."""
    errors = output_errors(denoiser, batch)
    return np.asarray(np.square(errors).reshape(len(batch.clean), -1).sum(1) * len(batch.clean))


def _trained(run: Run, batch: Batch, rounds: int) -> list[Batch] | None:
    """Rows that each round has trained on, with the noise of the batch."""
    seed, train, _ = recorded_split(run, run.records[0])
    pool, found = Pool(train, seed), []
    for r, record in enumerate(run.records[:rounds]):
        if (regime := recorded_regime(record)) is None:
            return None
        positions = pool.select(regime)
        order = torch.randperm(len(positions), generator=generator(seed, "gap", r))
        some = positions[order[: len(batch.clean)]]
        labels = None if pool.labels is None else pool.labels[some]
        found.append(
            Batch(
                network_units(pool[some]),
                batch.sigma[: len(some)],
                batch.noise[: len(some)],
                labels,
                False,
            )
        )
        pool.deposit(run.samples(r), record.get("n_trainable"))
    return found
