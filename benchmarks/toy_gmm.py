"""Times the mixture toy against the seed's way: a Python loop over scikit-learn's GaussianMixture.

    OMP_NUM_THREADS=1 python benchmarks/toy_gmm.py

The same work per replica and round: three modes in the plane, fit the N samples of the round
before by EM from k-means (one initialisation, tol 1e-3, at most 100 iterations), draw N samples.
Processor time of one thread, the two in turn; a ratio above 1 means that ours is faster. Warm
starts, which the loop over scikit-learn does not have, are reported apart; so is the sliced
Wasserstein distance, against POT with as many directions.
"""

import argparse
import os
import statistics
import time
import warnings
from collections.abc import Callable

import numpy as np

from lightning_collapse.learners.mixtures import Start, refit, sample_mixtures
from lightning_collapse.metrics.distance import (
    directions,
    sliced_wasserstein,
    sorted_projections,
)
from lightning_collapse.seeds import generator, key
from lightning_collapse.toys.gmm import Protocol, replica_seed

Array = np.ndarray


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=1000, help="rows of a replica")
    parser.add_argument("--rounds", type=int, default=30, help="rounds of each timed loop")
    parser.add_argument("--replicas", type=int, default=16, help="ours, computed together")
    parser.add_argument("--repeats", type=int, default=7, help="timed pairs")
    args = parser.parse_args()
    if os.environ.get("OMP_NUM_THREADS") != "1":
        parser.error("set OMP_NUM_THREADS=1")
    real = real_rows(args.n, args.replicas)
    ours = {
        init: (lambda init=init: our_loop(real, args.rounds, init)) for init in ("kmeans", "warm")
    }
    theirs = lambda: their_loop(real[0], args.rounds)  # noqa: E731
    print(f"N = {args.n}, {args.rounds} rounds, {args.replicas} replicas together")
    for init, loop in ours.items():
        ratios = compare(theirs, loop, 1 / args.replicas, args.repeats)
        print(f"{init:7s} start: {summarize(ratios)} times scikit-learn's loop, per replica")
    distances(args.n, args.replicas, args.repeats)


def real_rows(n: int, replicas: int) -> Array:
    protocol = Protocol(1, replicas)
    return np.stack([protocol.real_rows(n, replica_seed(0, r)) for r in range(replicas)])


def our_loop(rows: Array, rounds: int, init: Start) -> None:
    replicas, n, _ = rows.shape
    fit = None
    for r in range(rounds):
        seeds = [replica_seed(0, replica) for replica in range(replicas)]
        keyed = [key(seed, "kmeans", r) for seed in seeds]
        fit = refit(rows, 3, fit, keyed, init=init, reg_covar=1e-6)
        rows, _ = sample_mixtures(fit, n, [generator(seed, "sample", r) for seed in seeds])


def their_loop(rows: Array, rounds: int) -> None:
    from sklearn.mixture import GaussianMixture

    for r in range(rounds):
        # Its defaults are ours: k-means once, tol 1e-3, 100 iterations; it cannot do reg_covar 0.
        model = GaussianMixture(3, random_state=r).fit(rows)
        rows, _ = model.sample(len(rows))


def distances(n: int, replicas: int, repeats: int) -> None:
    import ot

    a, unit = real_rows(n, replicas), directions(2, 50, seed=0)
    real = a[0] + 1
    reference = sorted_projections(real, unit)
    ratios = compare(
        lambda: ot.sliced_wasserstein_distance(a[1], real, projections=unit.T),
        lambda: sliced_wasserstein(sorted_projections(a, unit), reference),
        1 / replicas,
        repeats,
    )
    print(f"sliced Wasserstein: {summarize(ratios)} times POT's")


def compare(
    a: Callable[[], object], b: Callable[[], object], share: float, repeats: int
) -> list[float]:
    """Gives the processor time of `a` over that of `share` of `b`, run in turn."""
    ratios = []
    for repeat in range(repeats + 1):
        times = [0.0, 0.0]
        # The order alternates, so that neither always runs in the other's wake.
        for index in (0, 1) if repeat % 2 else (1, 0):
            start = time.process_time()
            (a, b)[index]()
            times[index] = time.process_time() - start
        ratios.append(times[0] / (times[1] * share))
    return ratios[1:]


def summarize(ratios: list[float]) -> str:
    low, high = min(ratios), max(ratios)
    return f"{statistics.median(ratios):.1f} ({low:.1f} to {high:.1f})"


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
