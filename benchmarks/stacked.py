"""Times replicas of diffusion on points, trained together, against `fit` of one after another.

    OMP_NUM_THREADS=1 python benchmarks/stacked.py

Processor time of a training step, of one thread, per replica, side by side in one process: `fit`
from the end of one batch to that of the next, R replicas together, a loop of plain torch that does
no more than it must, and that loop's matrix products alone, which bound them all. *present* is the
network of `configs/points_replace.yaml` (width 128, batches of 256), *small* one of width 32 with
batches of 64. A ratio above 1 is faster than `fit`. Samples and measures are not in a step.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from pathlib import Path

import numpy as np
import torch
from pytorch_lightning import Callback

from lightning_collapse import EDMLoss, EDMPrecond, Mixture, Replace, Replicas, SigmaMLP, Training
from lightning_collapse.commands.quiet import quieten
from lightning_collapse.curators.curation import curated
from lightning_collapse.lit.assemble import assemble
from lightning_collapse.lit.data import PoolDataModule
from lightning_collapse.lit.loop import GenerationLoop
from lightning_collapse.lit.module import CollapseModule

ROWS = {"train_rows": 1000, "held_out_rows": 1000}
PRESETS = {"present": (128, 256), "small": (32, 64)}
DEPTH = 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=150, help="of a timed stretch of `fit`")
    parser.add_argument("--repeats", type=int, default=7, help="of everything, in turn")
    parser.add_argument("--replicas", type=int, nargs="+", default=[1, 8, 32])
    args = parser.parse_args()
    if os.environ.get("OMP_NUM_THREADS") != "1":
        parser.error("set OMP_NUM_THREADS=1")
    quieten()
    present = None
    for name, (width, batch) in PRESETS.items():
        print(f"\n{name}: width {width}, batches of {batch}; load {os.getloadavg()[0]:.1f}")
        times = timed(width, batch, args.steps, args.replicas, args.repeats)
        present = present or times["fit"]
        for what, own in times.items():
            ratios = "" if what == "fit" else f"; {quartiles(over(times['fit'], own))} x fit"
            if present is not times["fit"]:
                ratios += f"; {quartiles(over(present, own))} x fit of present"
            print(f"  {what:20s} {quartiles(own)} ms{ratios}", flush=True)


def timed(
    width: int, batch: int, steps: int, replicas: list[int], repeats: int
) -> dict[str, list[float]]:
    """Gives milliseconds a step and replica of every way."""
    ways: dict[str, Callable[[], float]] = {"fit": partial(fitted, width, batch, steps)}
    for r in replicas:
        # As many steps that each way takes about as long.
        some = max(16, 2 * steps // r)
        ways[f"{r} together"] = partial(together, width, batch, some, r)
    ways["a plain loop"] = partial(plain, width, batch, steps)
    ways["its matrix products"] = partial(products, width, batch, steps)
    times: dict[str, list[float]] = {name: [] for name in ways}
    for repeat in range(repeats + 1):
        # The order alternates, so that none always runs in another's wake.
        for name, way in list(ways.items())[:: -1 if repeat % 2 else 1]:
            times[name].append(1000 * way())
    return {name: told[1:] for name, told in times.items()}


class Clock(Callback):
    """The time at the end of the fifth step, and of the last."""

    def __init__(self, last: int):
        self.last, self.times = last, {}

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        # Asking costs as much as a small step where calls of the system are slow.
        if batch_idx + 1 in (5, self.last):
            self.times[batch_idx + 1] = time.process_time()


def fitted(width: int, batch: int, steps: int) -> float:
    clock = Clock(steps)
    with tempfile.TemporaryDirectory() as folder, open(os.devnull, "w") as nowhere:
        data = PoolDataModule(
            *(Mixture(2000), Replace()),
            **ROWS,
            images_per_round=steps * batch,
            batch_size=batch,
            run=Path(folder) / "run",
        )
        loop = GenerationLoop(default_measures=False, micro_batch=1000)
        with redirect_stdout(nowhere), redirect_stderr(nowhere):
            trainer = assemble(
                loop, max_epochs=1, accelerator="cpu", logger=False, callbacks=[clock]
            )
            trainer.fit(CollapseModule(SigmaMLP(2, width, DEPTH)), data)
    return (clock.times[steps] - clock.times[5]) / (steps - 5)


def together(width: int, batch: int, steps: int, replicas: int) -> float:
    how = Training(images_per_round=steps * batch, batch_size=batch)
    network = SigmaMLP(2, width, DEPTH)
    made = Replicas(
        *(Mixture(2000), Replace(), network, range(replicas)), training=how, **ROWS, measures=()
    )
    made._start(0)
    chosen = [curated(None, one.pool, made.regime, one.train, one.seed) for one in made._replicas]
    start = time.process_time()
    made._train(0, chosen)
    return (time.process_time() - start) / steps / replicas


def plain(width: int, batch: int, steps: int) -> float:
    """A step without keyed randomness, records or anything to go on from."""
    model, loss = EDMPrecond(SigmaMLP(2, width, DEPTH)), EDMLoss()
    average = [parameter.detach().clone() for parameter in model.parameters()]
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    rows = 0.5 * torch.randn(1000, 2)
    start = time.process_time()
    for _ in range(steps):
        x = rows[torch.randint(1000, (batch,))]
        optimizer.zero_grad()
        (loss(model, x, *loss.draw((batch, 2))).sum() / batch).backward()
        optimizer.step()
        with torch.no_grad():
            torch._foreach_lerp_(average, list(model.parameters()), 0.1)
    return (time.process_time() - start) / steps


def products(width: int, batch: int, steps: int) -> float:
    """Forward, and twice as much backward, of the layers that are as wide as the network."""
    x, weight = torch.randn(batch, width), torch.randn(width, width)
    start = time.process_time()
    for _ in range(steps):
        for _ in range(1 + 3 * DEPTH):
            x @ weight.T, x @ weight, x.T @ x
    return (time.process_time() - start) / steps


def over(a: list[float], b: list[float]) -> list[float]:
    return [one / other for one, other in zip(a, b, strict=True)]


def quartiles(values: list[float]) -> str:
    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
    return f"{middle:.3g} ({low:.3g} to {high:.3g})"


if __name__ == "__main__":
    torch.set_flush_denormal(True)
    main()
