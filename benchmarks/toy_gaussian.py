"""Times the Gaussian toy against a Python loop over scikit-learn's GaussianMixture.

    OMP_NUM_THREADS=1 python benchmarks/toy_gaussian.py

Both fit and sample N = 1,000 points, one replica's round being the unit of work. scikit-learn's
loop runs some hundred rounds of one replica, ours 100 replicas x 3 λ x 5,000 rounds; processor
time a round of a replica is compared, ours between two measurements of theirs.
"""

import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from sklearn.mixture import GaussianMixture

from lightning_collapse.toys.conditions import conditions
from lightning_collapse.toys.gaussian import simulate
from lightning_collapse.toys.gaussian_fits import Truth

N, REPLICAS, LAMBDAS, ROUNDS = 1000, 100, "0.1,0.9,1.0", 5000

Rows = NDArray[np.float64]


def main() -> None:
    print("scikit-learn's time over ours, a round of a replica:")
    for name in ("Replace", "Accumulate", "Fresh", "Turnover", "AccumulateSubsample"):
        before = theirs(name)
        own = ours(name, ROUNDS)
        print(f"{name:20} {(before + theirs(name)) / 2 / own:8.0f}")
    early, late = (ours("Accumulate", rounds) for rounds in (ROUNDS // 2, ROUNDS))
    print(f"Accumulate, a round of 5,000 over one of 2,500: {late / early:.2f}")


def ours(name: str, rounds: int) -> float:
    wanted = conditions(name, LAMBDAS, N, rounds)
    seconds = timed(
        lambda: [simulate(one, rounds, REPLICAS, truth=Truth(), seed=0) for one in wanted]
    )
    return seconds / (len(wanted) * REPLICAS * rounds)


def theirs(name: str, rounds: int = 150) -> float:
    """Seconds of a round, over the three λ; what is accumulated is that of half of all rounds."""
    counts = [round(one.fraction * N) for one in conditions(name, LAMBDAS, N, rounds)]
    half = [N + n * (ROUNDS // 2) for n in counts]
    # With room for what is to come: the pool need not be copied to grow.
    sizes = [(size + n * rounds, 1) for n, size in zip(counts, half, strict=True)]
    pools = [np.random.default_rng(1).normal(5, 2**0.5, shape) for shape in sizes]
    work = list(zip(counts, pools, half, strict=True))
    return timed(lambda: [loop(name, *one, rounds) for one in work]) / 3 / rounds


def loop(name: str, n: int, pool: Rows, size: int, rounds: int) -> None:
    """Runs one replica with n samples a round; `pool` holds `size` rows, and room for more."""
    chance = np.random.default_rng(0)
    real = rows = chance.normal(5, 2**0.5, (N, 1))
    for r in range(rounds):
        model = GaussianMixture(1, reg_covar=0, random_state=r).fit(rows)
        samples = model.sample(n)[0]
        if name == "Turnover":
            rows = np.concatenate([chance.choice(rows, N - n, replace=False), samples])
        elif name == "AccumulateSubsample":
            pool[size : size + n] = samples
            size += n
            rows = pool[chance.choice(size, N, replace=False)]
        elif name == "Accumulate":
            # All of the pool would be theirs to fit; a few generations are to their advantage.
            rows = np.concatenate([rows, samples]) if r < 5 else rows
        elif name == "Fresh":
            rows = np.concatenate([chance.normal(5, 2**0.5, (N - n, 1)), samples])
        else:
            rows = np.concatenate([real[: N - n], samples])


def timed(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


if __name__ == "__main__":
    main()
