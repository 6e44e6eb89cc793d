"""Runs that were never made: folders with a table of rounds, as the analyses read them."""

import json
from pathlib import Path

from lightning_collapse import Run


def write_run(folder: Path, columns: dict[str, list], seed: int = 0, **fixed) -> Run:
    """Writes a run whose records have these columns, one value a round."""
    rounds = len(next(iter(columns.values())))
    common = {
        "regime": "Replace",
        "regime_options": {"synthetic_fraction": 1.0},
        "n_train": 1000,
        "n_held_out": 500,
        "n_samples": 1000,
        "restart": "scratch",
        "real_data_in_init": False,
        "seed": seed,
        "fd_pixels_floor": 0.4,
        "fd_n": 500,
        "real_total_variance": 36.0,
    }
    run = Run(folder)
    run.pool.mkdir(parents=True)
    records = [
        {"round": r, "n_real": 0 if r else 1000, "n_synthetic": 1000 if r else 0}
        | common
        | fixed
        | {name: values[r] for name, values in columns.items()}
        for r in range(rounds)
    ]
    run.table.write_text("".join(json.dumps(record) + "\n" for record in records))
    return run


CONTROL = {"regime_options": {"synthetic_fraction": 0.0}, "n_real": 1000, "n_synthetic": 0}


def write_samples(run: Run, real, rounds: list) -> Run:
    """Adds the stores of real rows, and of every round's samples, tensors (n, *)."""
    from lightning_collapse.data.store.shards import write_rows

    for folder, rows in [(run.real, real), *((run.round(r), s) for r, s in enumerate(rounds))]:
        write_rows(folder, [(part, None) for part in rows.split(4000)], dict)
    return run
