"""Times the Gaussian toy against a Python loop over scikit-learn's GaussianMixture.

    OMP_NUM_THREADS=1 python benchmarks/toy_gaussian.py

Both fit and sample N = 1,000 points, one replica's round being the unit of work. scikit-learn's
loop runs some hundred rounds, ours 100 replicas x 3 λ x 5,000 rounds where means and scatters
suffice, and 100 x 3 x 1,000 where rows are drawn one by one; processor time a round of a replica
is compared, ours between two measurements of theirs.
"""

import time
from collections.abc import Callable

import numpy as np
from sklearn.mixture import GaussianMixture

from lightning_collapse.toys.conditions import conditions
from lightning_collapse.toys.gaussian import Truth, simulate

N, REPLICAS, LAMBDAS = 1000, 100, "0.1,0.9,1.0"


def main() -> None:
    print("scikit-learn's time over ours, a round of a replica:")
    for name, rounds in (
        ("Replace", 5000),
        ("Accumulate", 5000),
        ("Fresh", 5000),
        ("Turnover", 1000),
        ("AccumulateSubsample", 1000),
    ):
        before = theirs(name)
        own = ours(name, rounds)
        print(f"{name:20} {(before + theirs(name)) / 2 / own:8.0f}")
    early, late = (ours("Accumulate", rounds) for rounds in (2500, 5000))
    print(f"Accumulate, a round of 5,000 over one of 2,500: {late / early:.2f}")


def ours(name: str, rounds: int) -> float:
    wanted = conditions(name, LAMBDAS, N, rounds)
    seconds = timed(
        lambda: [simulate(one, rounds, REPLICAS, truth=Truth(), seed=0) for one in wanted]
    )
    return seconds / (len(wanted) * REPLICAS * rounds)


def theirs(name: str, rounds: int = 150) -> float:
    """Seconds of a round, over the three λ; the pool is small, which is to their advantage."""
    wanted = conditions(name, LAMBDAS, N, rounds)
    return timed(lambda: [loop(name, one.fraction, rounds) for one in wanted]) / 3 / rounds


def loop(name: str, fraction: float, rounds: int) -> None:
    chance = np.random.default_rng(0)
    real = pool = rows = chance.normal(5, 2**0.5, (N, 1))
    n = round(fraction * N)
    for r in range(rounds):
        model = GaussianMixture(1, reg_covar=0, random_state=r).fit(rows)
        samples = model.sample(n)[0]
        if name == "Turnover":
            rows = np.concatenate([chance.choice(rows, N - n, replace=False), samples])
        elif name == "AccumulateSubsample":
            pool = np.concatenate([pool, samples])
            rows = chance.choice(pool, N, replace=False)
        elif name == "Accumulate":
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
