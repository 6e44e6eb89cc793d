"""Times what is ours to make fast against what people use, side by side, and writes one table.

    OMP_NUM_THREADS=1 python benchmarks/bench.py [-o FILE]          (or: make bench)

Each line is a ratio of this process's CPU time, theirs over ours, in turns whose order alternates;
its median and quartiles. Sizes are small, so that all takes minutes; the scripts beside this one
time the same at full size. The table is written line by line: what was stopped keeps its lines.
"""

import argparse
import os
import statistics
import tempfile
import time
import warnings
import zipfile
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path

import frechet
import moments
import numpy as np
import pool_reads
import torch
import toy_gaussian
import toy_gmm
from PIL import Image

from lightning_collapse.metrics.frechet import FrechetReference, frechet_distance

Work = Callable[[], object]
Line = tuple[str, str, list[float]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--out", type=Path, default=Path("runs/bench.md"))
    out = parser.parse_args().out
    if os.environ.get("OMP_NUM_THREADS") != "1":
        parser.error("set OMP_NUM_THREADS=1")
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    before = os.getloadavg()[0]
    out.parent.mkdir(parents=True, exist_ok=True)
    lines = ["| work | against | times faster: median [quartiles] |", "|---|---|---|"]
    for work, against, ratios in chain(reads(), mixture(), sums(), distance(), gaussian()):
        low, middle, high = statistics.quantiles(ratios, n=4)
        lines.append(f"| {work} | {against} | {middle:.3g} [{low:.3g}, {high:.3g}] |")
        print(lines[-1], flush=True)
        out.write_text("\n".join(lines) + "\n")
    after = os.getloadavg()[0]
    lines += ["", f"{os.cpu_count()} cores; load {before:.1f} before, {after:.1f} after."]
    print(lines[-1])
    out.write_text("\n".join(lines) + "\n")


def in_turn(theirs: Callable[[], float], ours: Callable[[], float], turns: int) -> list[float]:
    """Gives theirs over ours of turns whose order alternates; a first turn only warms up."""
    ratios = []
    for turn in range(turns + 1):
        first, second = (theirs, ours) if turn % 2 else (ours, theirs)
        a, b = first(), second()
        ratios.append(a / b if turn % 2 else b / a)
    return ratios[1:]


def seconds(work: Work) -> Callable[[], float]:
    return lambda: toy_gaussian.timed(work)


def gaussian() -> Iterator[Line]:
    for name in ("Replace", "Turnover", "AccumulateSubsample"):
        ratios = in_turn(
            lambda name=name: toy_gaussian.theirs(name, 20),
            lambda name=name: toy_gaussian.ours(name, 500),
            3,
        )
        yield f"Gaussian toy, {name}, a round of a replica", "scikit-learn", ratios


def mixture() -> Iterator[Line]:
    for replicas in (8, 16):
        real = toy_gmm.real_rows(1000, replicas)
        for init in ("kmeans", "warm"):
            theirs = lambda real=real: toy_gmm.their_loop(real[0], 10)  # noqa: E731
            ours = lambda real=real, init=init: toy_gmm.our_loop(real, 10, init)  # noqa: E731
            ratios = toy_gmm.compare(theirs, ours, 1 / replicas, 5)
            yield f"mixture toy, {init}, {replicas} replicas together", "scikit-learn", ratios


def distance() -> Iterator[Line]:
    a, b = frechet.features(3000, 2048, 1), frechet.features(4000, 2048, 2)
    reference = FrechetReference(b.mu, b.sigma)
    four = (a.mu, a.sigma, b.mu, b.sigma)
    works: list[Work] = [
        lambda: frechet.by_matrix_root(*four),
        lambda: frechet_distance(*four),
        lambda: reference.distance(a.mu, a.sigma),
    ]
    # The usual root takes most of this script's time: once a turn, for both, and never to warm up.
    for work in works[1:]:
        work()
    taken = []
    for turn in range(3):
        order = (0, 1, 2) if turn % 2 else (2, 1, 0)
        times = {i: toy_gaussian.timed(works[i]) for i in order}
        taken.append([times[i] for i in range(3)])
    for i, name in ((1, "anew"), (2, "kept")):
        yield f"Fréchet, d = 2,048, root {name}", "scipy sqrtm", [t[0] / t[i] for t in taken]


def sums() -> Iterator[Line]:
    rows = [torch.randn(3000, 2048)]
    ratios = in_turn(
        seconds(lambda: moments.sums(rows)), seconds(lambda: moments.moments(rows)), 4
    )
    yield "features' sums, d = 2,048", "one matrix product", ratios


def reads() -> Iterator[Line]:
    shape = (pool_reads.ROWS, 3, pool_reads.SIDE, pool_reads.SIDE)
    images = torch.randint(0, 256, shape, dtype=torch.uint8)
    with tempfile.TemporaryDirectory() as folder:
        ours = pool_reads.write_store(Path(folder), images)
        archive = zipfile.ZipFile(pool_reads.write_zip(Path(folder), images))
        names, ratios = archive.namelist(), []
        for seed in range(40):
            random = torch.Generator().manual_seed(seed)
            rows = torch.randint(len(images), (pool_reads.BATCH,), generator=random)
            start = time.process_time()
            ours[rows]
            middle = time.process_time()
            np.stack([_png(archive, names[i]) for i in rows.tolist()])
            ratios.append((time.process_time() - middle) / (middle - start))
        archive.close()
    yield "pool reads, 64x64 colour", "PNGs in a zip", ratios[5:]


def _png(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    with archive.open(name) as file:
        return np.array(Image.open(file)).transpose(2, 0, 1)


if __name__ == "__main__":
    main()
