"""Reads of random batches: our shards against NVIDIA's reader of a zip of PNGs.

    python benchmarks/pool_reads.py --edm PATH

PATH is a checkout of github.com/NVlabs/edm (non-commercial licence), whose reader is imported from
there. Both read the same 64x64 colour images in the same batches, one after the other; the ratio
is NVIDIA's time over ours, batch by batch. Images are noise, which PNG stores without packing it.
"""

import argparse
import io
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from lightning_collapse.data.store.shards import (
    StoredRows,
    commit,
    shard_path,
    write_shard,
)

ROWS, SIDE, BATCH, BATCHES = 8192, 64, 256, 40


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--edm", type=Path, required=True, help="checkout of NVlabs/edm")
    sys.path.insert(0, str(parser.parse_args().edm))
    from training.dataset import ImageFolderDataset

    images = torch.randint(0, 256, (ROWS, 3, SIDE, SIDE), dtype=torch.uint8)
    with tempfile.TemporaryDirectory() as folder:
        ours = write_store(Path(folder), images)
        theirs = ImageFolderDataset(path=str(write_zip(Path(folder), images)))
        ratios = [compare(ours, theirs, images, seed) for seed in range(BATCHES)][5:]
    low, middle, high = np.percentile(ratios, [5, 50, 95])
    print(f"NVIDIA's time / ours: median {middle:.1f} (5-95 %: {low:.1f} to {high:.1f})")


def write_store(folder: Path, images: torch.Tensor) -> StoredRows:
    shards = []
    for i, part in enumerate(torch.split(images, 4096)):
        shards.append(write_shard(shard_path(folder, i), part))
    commit(folder, shards, shape=images.shape[1:], dtype="uint8", recipe={})
    return StoredRows(folder)


def write_zip(folder: Path, images: torch.Tensor) -> Path:
    path = folder / "images.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for i, image in enumerate(images):
            png = io.BytesIO()
            pixels = image.permute(1, 2, 0).numpy()
            Image.fromarray(pixels).save(png, format="png", compress_level=0)
            archive.writestr(f"{i // 1000:05d}/img{i:08d}.png", png.getvalue())
    return path


def compare(ours: StoredRows, theirs: object, images: torch.Tensor, seed: int) -> float:
    indices = torch.randint(ROWS, (BATCH,), generator=torch.Generator().manual_seed(seed))
    start = time.perf_counter()
    rows = ours[indices]
    middle = time.perf_counter()
    pixels = np.stack([theirs[i][0] for i in indices.tolist()])
    end = time.perf_counter()
    assert torch.equal(rows, images[indices]) and np.array_equal(pixels, rows.numpy())
    return (end - middle) / (middle - start)


if __name__ == "__main__":
    main()
