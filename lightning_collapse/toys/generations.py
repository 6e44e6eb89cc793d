"""The recursive loop for toys, on one page: draw by the regime, fit, sample, measure, deposit.

The image route runs the same regimes and the same pool under Lightning (`lightning_collapse.lit`).
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from lightning_collapse.learners.learner import Learner
from lightning_collapse.metrics.measure import Measure
from lightning_collapse.pool import Pool
from lightning_collapse.regimes import Regime
from lightning_collapse.rows import Rows
from lightning_collapse.seeds import generator
from lightning_collapse.toys.measured import PointMeasures

__all__ = ["generations"]


def generations(
    learner: Learner,
    pool: Pool,
    regime: Regime,
    measures: Sequence[Measure] = (),
    *,
    held_out: Rows | None = None,
    rounds: int | None = None,
    samples_per_round: int | None = None,
    seed: int = 0,
) -> Iterator[dict[str, Any]]:
    """Trains round after round on what the regime draws, yielding one record a round.

    Args:
        learner: fitted anew in each round; it holds that round's fit when the record is yielded.
        pool: holds the N real rows (n, d), and the samples of the rounds it has been through; the
            loop goes on from there, and each round's samples are added.
        regime: which rows a round trains on.
        measures: taken of every round's samples, beside the N real rows.
        held_out: real rows never trained on, which give the measures' floors; None for none.
        rounds: how many, from round 0, at least 1; None goes on for as long as records are asked
            for.
        samples_per_round: rows sampled each round; None takes what the regime needs, or N where
            it needs none.
        seed: keys the sampling, together with the round.

    Yields:
        `round`, `n_real`, `n_synthetic`, and what measures tell, as in a run's record.

    Raises:
        ValueError: the regime cannot be satisfied, before anything is fitted.
    """
    n_real = pool.sizes[0]
    for name, value in [("rounds", rounds), ("samples_per_round", samples_per_round)]:
        if value is not None and value < 1:
            raise ValueError(f"{name} = {value}: must be at least 1")
    n_samples = samples_per_round or regime.samples_needed(n_real) or n_real
    regime.check(n_real, n_samples, 2 if rounds is None else rounds)
    real = pool[torch.arange(n_real)]
    measured = PointMeasures(measures, real, held_out, n_samples, seed)
    while rounds is None or pool.round < rounds:
        rows = pool.select(regime)
        learner.fit(pool[rows])
        samples = learner.sample(n_samples, generator(seed, "sample", pool.round))
        n_kept = int((rows < n_real).sum())
        counts = {"round": pool.round, "n_real": n_kept, "n_synthetic": len(rows) - n_kept}
        yield counts | measured(samples, pool.at(rows))
        pool.deposit(samples)
