"""CPU time of the Fréchet distance against the usual matrix root, at Inception's 2,048 features.

    OMP_NUM_THREADS=1 python benchmarks/frechet.py

Both have the same statistics, of features with a spectrum that falls off as real ones do. Ours is
timed with the reference's root computed anew, and with the root that a reference keeps. A ratio
above 1 means that ours is faster. --rows below --dim makes the samples' covariance rank-deficient,
--reference-rows the reference's.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np
import scipy.linalg
import torch

from lightning_collapse.metrics.frechet import FrechetReference, frechet_distance
from lightning_collapse.metrics.statistics import Statistics
from lightning_collapse.seeds import generator


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dim", type=int, default=2048, help="features of a row")
    parser.add_argument("--rows", type=int, default=5000, help="samples")
    parser.add_argument("--reference-rows", type=int, default=10_000, help="real rows")
    parser.add_argument(
        "--repeats", type=int, default=3, help="timings of ours; the median counts"
    )
    args = parser.parse_args()
    samples, real = features(args.rows, args.dim, 1), features(args.reference_rows, args.dim, 2)
    ours, theirs = (samples.mu, samples.sigma), (real.mu, real.sigma)
    reference = FrechetReference(*theirs)
    usual, usual_time = timed(lambda: by_matrix_root(*ours, *theirs), 1)
    print(f"d = {args.dim}, {torch.get_num_threads()} threads; scipy.linalg.sqrtm: {usual:.10g}")
    for name, distance in {
        "root computed anew": lambda: frechet_distance(*ours, *theirs),
        "root kept": lambda: reference.distance(*ours),
    }.items():
        value, spent = timed(distance, args.repeats)
        difference = abs(value - usual) / usual
        print(f"{name}: {usual_time / spent:.1f} x less CPU, relative difference {difference:.1e}")


def features(n: int, dim: int, seed: int) -> Statistics:
    """Gives statistics of n rows whose standard deviations fall off over three decades."""
    random = generator(seed, "features")
    axes = torch.linalg.qr(torch.randn(dim, dim, generator=generator(seed, "axes")))[0]
    scales = torch.logspace(0, -3, dim) * (1 + 0.1 * seed)
    return Statistics.of((torch.randn(n, dim, generator=random) * scales) @ axes + 0.01 * seed)


def by_matrix_root(mu: torch.Tensor, sigma: torch.Tensor, mu_ref, sigma_ref) -> float:
    root = scipy.linalg.sqrtm((sigma @ sigma_ref).numpy())
    shift = (mu - mu_ref).square().sum()
    return float(shift + sigma.trace() + sigma_ref.trace() - 2 * np.trace(root).real)


def timed(compute: Callable[[], float], repeats: int) -> tuple[float, float]:
    """Gives the value, and the median of this process's CPU seconds."""
    seconds = []
    for _ in range(repeats):
        start = time.process_time()
        value = compute()
        seconds.append(time.process_time() - start)
    return value, sorted(seconds)[len(seconds) // 2]


if __name__ == "__main__":
    main()
