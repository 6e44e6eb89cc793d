"""How often the verdict errs, and tells, on simulated series: the numbers of its docstring."""

import sys

import numpy as np

from lightning_collapse.analysis.verdict import power, verdict

ROUNDS, MARGIN, AUTOCORRELATION = 12, 0.1, 0.8


def simulated(rng, seeds, excess, spread=0.05):
    """Series of runs and of their controls, whose excess in the last third has that mean.

    Its standard deviation over seeds is `spread`: half of its variance is of the pair, half is
    noise of rounds, an AR(1) process.
    """
    last = -(-ROUNDS // 3)
    lags = np.abs(np.subtract.outer(np.arange(last), np.arange(last)))
    of_mean = (AUTOCORRELATION**lags).mean()
    noise = np.empty((2, seeds, ROUNDS))
    noise[..., 0] = rng.standard_normal((2, seeds))
    fresh = rng.standard_normal((2, seeds, ROUNDS)) * (1 - AUTOCORRELATION**2) ** 0.5
    for r in range(1, ROUNDS):
        noise[..., r] = AUTOCORRELATION * noise[..., r - 1] + fresh[..., r]
    noise *= (spread**2 / 2 / 2 / of_mean) ** 0.5
    course = np.minimum(np.arange(ROUNDS) / (ROUNDS - last), 1)
    offset = rng.standard_normal((seeds, 1)) * spread / 2**0.5
    base = 0.5 + rng.standard_normal((seeds, 1))
    runs, control = base + noise[0] + course * (excess + offset), base + noise[1]
    return dict(enumerate(runs)), dict(enumerate(control))


def shares(seeds, excess, times, seed=0):
    """Shares of simulated studies that are called collapses, and stable."""
    rng = np.random.default_rng(seed)
    words = [verdict(*simulated(rng, seeds, excess), MARGIN).word for _ in range(times)]
    return words.count("collapses") / times, words.count("stable") / times


def main():
    times = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    print(
        "seeds  at the margin: collapses, stable   2 sd above: collapses (exact)   below: stable"
    )
    for seeds in (3, 5, 8):
        false = shares(seeds, MARGIN, times)
        above, below = shares(seeds, MARGIN + 0.1, times)[0], shares(seeds, MARGIN - 0.1, times)[1]
        told = f"{above:.4f} ({power(2, seeds):.4f})   {below:.4f}"
        print(f"{seeds:5}  {false[0]:.4f} {false[1]:.4f}   {told}")


if __name__ == "__main__":
    main()
