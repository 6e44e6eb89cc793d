"""CPU time of `Moments.update` against torchmetrics' accumulation, on the same rows.

    OMP_NUM_THREADS=1 python benchmarks/moments.py
    OMP_NUM_THREADS=2 python benchmarks/moments.py --threads 2

torchmetrics keeps, of Inception's features, the sum and the sum of outer products in float64
(`torchmetrics.image.fid`), without regard to the mean. The two take turns; a ratio above 1 means
that ours takes longer. Rows come as float32, all at once and in the batches that a network gives.
The variance alone, which images are measured by, is timed for comparison with other revisions.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from lightning_collapse.metrics.moments import Moments
from lightning_collapse.seeds import generator


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dim", type=int, default=2048, help="features of a row")
    parser.add_argument("--rows", type=int, default=3000, help="rows")
    parser.add_argument("--batch", type=int, default=250, help="rows of a batch")
    parser.add_argument("--repeats", type=int, default=15, help="timings of each")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    rows = torch.randn(args.rows, args.dim, generator=generator(0, "rows"))
    print(
        f"n = {args.rows}, d = {args.dim}, {args.threads} threads; CPU seconds, median [quartiles]"
    )
    for batch in (args.rows, args.batch):
        ours, theirs = alternate(args.repeats, rows.split(batch), moments, sums)
        ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
        print(
            f"batches of {batch}: ours {told(ours)}, torchmetrics' {told(theirs)}, "
            f"ratio {told(ratios)}"
        )
    (alone,) = alternate(args.repeats, [rows], diagonal)
    print(f"variances alone: {told(alone)}")


def moments(batches: list[Tensor]) -> Tensor:
    seen = Moments(batches[0].shape[1])
    for batch in batches:
        seen.update(batch)
    return seen.scatter


def sums(batches: list[Tensor]) -> Tensor:
    """Accumulates as `FrechetInceptionDistance.update` does."""
    d = batches[0].shape[1]
    total = torch.zeros(d, dtype=torch.float64)
    products = torch.zeros(d, d, dtype=torch.float64)
    for batch in batches:
        features = batch.double()
        total += features.sum(dim=0)
        products += features.t().mm(features)
    return products


def diagonal(batches: list[Tensor]) -> Tensor:
    seen = Moments(batches[0].shape[1], full=False)
    for batch in batches:
        seen.update(batch)
    return seen.scatter


def alternate(
    repeats: int, batches: list[Tensor], *accumulate: Callable[[list[Tensor]], Tensor]
) -> list[list[float]]:
    """Gives this process's CPU seconds of each, in turn; a first turn only warms up."""
    seconds: list[list[float]] = [[] for _ in accumulate]
    for turn in range(repeats + 1):
        for spent, function in zip(seconds, accumulate, strict=True):
            start = time.process_time()
            function(batches)
            if turn:
                spent.append(time.process_time() - start)
    return seconds


def told(values: list[float]) -> str:
    low, median, high = statistics.quantiles(values, n=4)
    return f"{median:.3g} [{low:.3g}, {high:.3g}]"


if __name__ == "__main__":
    main()
