"""Resident memory while an accumulating pool of 64x64 colour images grows tenfold.

python benchmarks/pool_memory.py
"""

import resource
import tempfile
from pathlib import Path

import torch

from lightning_collapse.data.store.shards import (
    StoredRows,
    commit,
    shard_path,
    write_shard,
)
from lightning_collapse.pool import Pool, batch_order
from lightning_collapse.regimes import Accumulate

N, ROUNDS, BATCH, BATCHES = 4096, 10, 256, 40


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        pool = Pool(generation(Path(folder) / "real"))
        for r in range(ROUNDS):
            selection = pool.select(Accumulate())
            for step in range(BATCHES):
                pool[selection[batch_order(len(selection), BATCH, step, (0, r))]]
            print(f"{len(selection):6d} rows in the pool: {resident_mib():6.1f} MiB resident")
            pool.deposit(generation(Path(folder) / f"{r:04d}"))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"the pool holds {len(pool) * 3 * 64 * 64 / 2**20:.0f} MiB; peak {peak:.1f} MiB")


def generation(folder: Path) -> StoredRows:
    folder.mkdir()
    rows = torch.randint(0, 256, (N, 3, 64, 64), dtype=torch.uint8)
    shards = [write_shard(shard_path(folder, 0), rows)]
    commit(folder, shards, shape=(3, 64, 64), dtype="uint8", recipe={})
    return StoredRows(folder)


def resident_mib() -> float:
    """Reads /proc, which only Linux has."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


if __name__ == "__main__":
    main()
