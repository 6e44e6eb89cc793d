"""What completion by replacement does to a loop by itself, without any network.

    python benchmarks/completion_bias.py RUN/pool/real [RESAMPLES]

The exact denoiser of a Gaussian for each class, fitted to 599 of the rows, completes the right
half of 599 others; from then on it is fitted to the composites of the round before.
"""

import sys
from pathlib import Path

import torch

from lightning_collapse import Inpainting, Sampling
from lightning_collapse.data.store.shards import StoredRows
from lightning_collapse.rows import network_units
from lightning_collapse.sampling.oracles import mixture_denoiser

_N, _ROUNDS = 599, 8


def main(path: str, resamples: str = "10") -> None:
    stored = StoredRows(Path(path))
    rows = network_units(stored[torch.arange(2 * _N)].flatten(1), torch.float64)
    train, given = rows.split(_N)
    labels, of_given = stored.labels[: 2 * _N].split(_N)
    completed = Inpainting(resamples=int(resamples))
    sigmas = Sampling(solver="heun", schedule="karras", num_steps=18).sigmas
    chance = torch.Generator().manual_seed(0)

    def normal(like: torch.Tensor) -> torch.Tensor:
        return torch.randn(like.shape, generator=chance, dtype=torch.float64)

    known = given.reshape(_N, *stored.shape)
    for r in range(_ROUNDS):
        groups = [train[labels == k] for k in labels.unique()]
        exact = mixture_denoiser(
            torch.stack([group.mean(0) for group in groups]),
            torch.stack([torch.cov(group.T, correction=0) for group in groups]),
            torch.tensor([len(group) / _N for group in groups], dtype=torch.float64),
        )
        composites = completed(
            lambda x, sigma, exact=exact: exact(x.flatten(1), sigma).reshape(x.shape),
            normal(known),
            known,
            sigmas,
            normal,
        )
        train, labels = composites.flatten(1), of_given
        kept = train.var(0, correction=0).sum() / given.var(0, correction=0).sum()
        print(f"round {r}: total variance {kept - 1:+.1%}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
