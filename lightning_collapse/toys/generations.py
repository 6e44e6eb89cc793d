"""The recursive loop for toys, on one page: draw by the regime, fit, sample, measure, deposit.

The image route runs the same regimes and the same pool under Lightning (`lightning_collapse.lit`).
"""

from collections.abc import Callable, Iterator, Mapping

from torch import Tensor

from lightning_collapse.learners.learner import Learner
from lightning_collapse.pool import Pool
from lightning_collapse.regimes import Regime
from lightning_collapse.seeds import generator

__all__ = ["generations"]

Metric = Callable[[Tensor], float]


def generations(
    learner: Learner,
    pool: Pool,
    regime: Regime,
    metrics: Mapping[str, Metric] | None = None,
    *,
    rounds: int | None = None,
    samples_per_round: int | None = None,
    seed: int = 0,
) -> Iterator[dict[str, float]]:
    """Trains round after round on what the regime draws, yielding one record a round.

    Args:
        learner: fitted anew in each round; it holds that round's fit when the record is yielded.
        pool: holds the N real rows (n, d), and the samples of the rounds it has been through; the
            loop goes on from there, and each round's samples are added.
        regime: which rows a round trains on.
        metrics: name -> function of the round's samples (n, d).
        rounds: how many, from round 0, at least 1; None goes on for as long as records are asked
            for.
        samples_per_round: rows sampled each round; None takes what the regime needs, or N where
            it needs none.
        seed: keys the sampling, together with the round.

    Yields:
        `round`, `n_real`, `n_synthetic`, and every metric.

    Raises:
        ValueError: the regime cannot be satisfied, before anything is fitted.
    """
    n_real = pool.sizes[0]
    for name, value in [("rounds", rounds), ("samples_per_round", samples_per_round)]:
        if value is not None and value < 1:
            raise ValueError(f"{name} = {value}: must be at least 1")
    n_samples = samples_per_round or regime.samples_needed(n_real) or n_real
    regime.check(n_real, n_samples, 2 if rounds is None else rounds)
    while rounds is None or pool.round < rounds:
        rows = pool.select(regime)
        learner.fit(pool[rows])
        samples = learner.sample(n_samples, generator(seed, "sample", pool.round))
        n_kept = int((rows < n_real).sum())
        record: dict[str, float] = {
            "round": pool.round,
            "n_real": n_kept,
            "n_synthetic": len(rows) - n_kept,
        }
        yield record | {name: metric(samples) for name, metric in (metrics or {}).items()}
        pool.deposit(samples)
