"""Small studies that were never run, for what reports make of them."""

from dataclasses import asdict

import torch
from records import CONTROL, write_run

from lightning_collapse import Run, Sampling
from lightning_collapse.data.store.shards import write_rows
from lightning_collapse.seeds import generator

VERSIONS = {"lightning_collapse": "0.1.0", "torch": "2.14"}
ROUNDS = 4


def columns(slope: float, seed: int, fd: str = "fd_pixels") -> dict[str, list]:
    """Figures whose distance rises by `slope` a round, and by a little else a seed."""
    rounds = range(ROUNDS)
    return {
        fd: [0.6 + 0.01 * seed + slope * r * (1 + 0.05 * seed) for r in rounds],
        "val_loss": [1.0 + 0.1 * slope * r for r in rounds],
        "train_loss": [1.0] * ROUNDS,
        "mean": [0.1] * ROUNDS,
        "variance": [0.5] * ROUNDS,
        "total_variance": [36.0 - slope * r for r in rounds],
        "recall_pixels": [0.9 - 0.05 * slope * r for r in rounds],
        "recall_pixels_floor": [0.95] * ROUNDS,
        "effective_rank_pixels": [12.0 - r for r in rounds],
        "spectrum_pixels": [[4.0 - 0.1 * r, 2.0, 1.0] for r in rounds],
        "class_shares": [[0.5, 0.5 - 0.1 * r] for r in rounds],
        "collapsed": [None] * ROUNDS,
    }


def add_rows(run: Run, rounds: int = ROUNDS, shape=(1, 8, 8)) -> Run:
    """Adds real rows with two classes, and samples."""
    sampling = {**asdict(Sampling()), "S_max": None}

    def some(n, *path):
        rows = torch.randn(n, *shape, generator=generator(0, *path))
        return rows if len(shape) == 1 else (rows * 40 + 128).clamp(0, 255).to(torch.uint8)

    labels = torch.arange(1500) % 2
    write_rows(run.real, [(some(1500, "real"), labels)], dict)
    for r in range(rounds):
        write_rows(run.round(r), [(some(40, "round", r), None)], lambda: {"sampling": sampling})
    return run


def write_study(folder, seeds=(0, 1, 2), control=True, rows=True, only=None, **fixed):
    """Replace and Accumulate, and their control."""
    conditions = {
        "replace": (2.0, {}),
        "accumulate": (
            0.5,
            {"regime": "Accumulate", "regime_options": {"per_round": 1.0}, "n_real": 1000},
        ),
    }
    if control:
        conditions["control"] = (0.0, CONTROL)
    common = {"versions": VERSIONS, "device": "cpu", "processes": 1, "seconds_train": 2.0}
    for name, (slope, own) in conditions.items():
        for seed in seeds:
            told = {k: v for k, v in columns(slope, seed).items() if only is None or k in only}
            run = write_run(folder / f"{name}-{seed}", told, seed, **{**common, **own, **fixed})
            if rows and seed == seeds[0]:
                add_rows(run)
    return folder
