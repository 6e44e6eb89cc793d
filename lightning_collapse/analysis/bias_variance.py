"""Bias and variance of a condition's runs, round by round: denoisers' outputs, and samples.

*Outputs*: θ is the average denoiser's output D(x + σn, σ) on a noisy batch that all runs share,
about the clean x, weighted as in EDM's loss: the error is that loss, per element.
*Samples*: θ is the mean embedding of the samples under the kernel of the kernel distance,
(x·y/d + 1)³, about that of real rows: the error is the squared maximum mean discrepancy.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from lightning_collapse.analysis.conditions import Condition
from lightning_collapse.analysis.decompose import Crossed, Decomposition, Errors, crossed
from lightning_collapse.analysis.sets import feature_space
from lightning_collapse.metrics.kernel import polynomial_kernel
from lightning_collapse.networks.edm import EDMLoss, Precond
from lightning_collapse.networks.preconditioning import EDM
from lightning_collapse.rows import network_units
from lightning_collapse.runs.split import recorded_split
from lightning_collapse.seeds import generator

__all__ = [
    "Batch",
    "RunsSplit",
    "common_batch",
    "is_crossed",
    "output_errors",
    "split_runs",
    "varied",
]

Array = NDArray[np.float64]

_BATCH = 256
_EMBEDDED = 1_000
_AT_ONCE = 64


@dataclass(frozen=True)
class Batch:
    """Noisy rows that all runs of a condition denoise.

    Attributes:
        clean: rows (B, *) in network units.
        sigma: noise levels (B,), as EDM trains with.
        noise: unit normal (B, *).
        labels: classes (B,); None where there are none.
        unseen: whether no run trained on any of them.
    """

    clean: Tensor
    sigma: Tensor
    noise: Tensor
    labels: Tensor | None
    unseen: bool


@dataclass(frozen=True)
class RunsSplit:
    """Bias and variance in one space.

    Attributes:
        space: `outputs` or `samples`.
        rounds: one split a round; None for rounds that are not kept.
        crossed: parts by data and by chance; None where runs do not cross them.
        why: why a round has none; "" where all have.
    """

    space: str
    rounds: list[Decomposition | None]
    crossed: list[Crossed | None]
    why: str


def varied(condition: Condition) -> str:
    """Says what differs between the runs of a condition: `chance`, `data and chance` or `data`."""
    seeds = {replica.seed for replica in condition.runs}
    splits = {replica.split for replica in condition.runs}
    return " and ".join(
        name for name, some in (("data", splits), ("chance", seeds)) if len(some) > 1
    )


def is_crossed(condition: Condition) -> bool:
    """Whether some of the runs share real rows and others share nothing, so that both vary."""
    pairs = list(itertools.combinations(condition.runs, 2))
    return any(a.split == b.split for a, b in pairs) and any(
        a.split != b.split and a.seed != b.seed for a, b in pairs
    )


def common_batch(condition: Condition, rows: int = _BATCH) -> Batch:
    """Draws a noisy batch of real rows for all runs.

    Of rows that every run holds out, where there are half as many as wanted; else of all: a run
    has trained on some of them, and its error is lower there. Where each run has drawn real rows
    of its own, as of `Mixture`, these are the first run's held-out rows.

    Raises:
        OSError: real rows cannot be read.
    """
    stores = [run.real_rows for run in condition.runs.values()]
    real, chance = stores[0], generator(0, "bias and variance")
    shared = len({tuple(shard.sha256 for shard in store.shards) for store in stores}) == 1
    held_out = [
        set(recorded_split(run, records[0])[2].order.tolist())
        for run, records in zip(condition.runs.values(), condition.records.values(), strict=True)
    ]
    unseen = set.intersection(*held_out) if shared else held_out[0]
    enough = len(unseen) >= min(rows, len(held_out[0])) // 2
    pool = torch.tensor(sorted(unseen)) if enough else torch.arange(len(real))
    chosen = pool[torch.randperm(len(pool), generator=chance)[:rows]]
    clean = network_units(real[chosen])
    sigma, noise = EDMLoss().draw(tuple(clean.shape), chance)
    labels = None if real.labels is None else real.labels[chosen]
    return Batch(clean, sigma, noise, labels, enough)


def split_runs(
    condition: Condition, batch: Batch, trust_class: str | None = None
) -> list[RunsSplit]:
    """Splits the error of two or more runs, in outputs and in samples.

    Args:
        condition: of the runs.
        batch: what their denoisers are given.
        trust_class: the network's class, if it is not of this package: it is then imported.

    Raises:
        ValueError: there is one run.
    """
    if len(condition.runs) < 2:
        raise ValueError(f"runs: {condition.name} has one run, and variance needs at least 2")
    runs = list(condition.runs.values())
    splits = [replica.split for replica in condition.runs]
    seeds = [replica.seed for replica in condition.runs]
    real = runs[0].real_rows
    features = feature_space(runs[0])
    order = torch.randperm(len(real), generator=generator(0, "embedded"))
    truth = features(real[order[:_EMBEDDED]]).double()

    def outputs(r: int) -> tuple[Array, Errors]:
        errors = np.stack([output_errors(run.denoiser(r, trust_class), batch) for run in runs])
        return errors @ errors.T, Errors.of_vectors(errors, 0.0)

    def samples(r: int) -> tuple[Array, Errors]:
        rows = [run.samples(r) for run in runs]
        some = (one[torch.arange(min(_EMBEDDED, len(one)))] for one in rows)
        return embedding_errors([features(one).double() for one in some], truth)

    told = []
    for space, make in (("outputs", outputs), ("samples", samples)):
        rounds: list[Decomposition | None] = []
        both: list[Crossed | None] = []
        why = ""
        for r in tqdm(range(condition.rounds), space, leave=False, disable=None):
            try:
                products, errors = make(r)
            except OSError as error:
                why = why or str(error)
                rounds.append(None)
                both.append(None)
                continue
            both.append(crossed(products, splits, seeds))
            rounds.append(errors.decompose().of_crossed(both[-1], errors))
        told.append(RunsSplit(space, rounds, both, why))
    return told


@torch.no_grad()
def output_errors(denoiser: Precond, batch: Batch) -> Array:
    """Gives weighted errors of the outputs (B · numbers in a row,): squared, they sum to the loss.

    Args:
        denoiser: on the CPU, in eval mode.
        batch: what it is given.
    """
    level = batch.sigma.reshape(-1, *[1] * (batch.clean.ndim - 1))
    noisy = batch.clean + level * batch.noise
    labels = batch.labels if denoiser.label_dim else None
    parts = torch.split(torch.arange(len(noisy)), _AT_ONCE)
    outputs = torch.cat(
        [
            denoiser(noisy[some], batch.sigma[some], None if labels is None else labels[some])
            for some in parts
        ]
    )
    # The measure of errors is EDM's, whatever they were trained by.
    std = getattr(denoiser.preconditioning, "sigma_data", EDM.sigma_data)
    weight = (level.square() + std**2).sqrt() / (level * std)
    errors = (weight * (outputs - batch.clean)).double().flatten() / batch.clean.numel() ** 0.5
    return np.asarray(errors.numpy())


def embedding_errors(sets: Sequence[Tensor], truth: Tensor) -> tuple[Array, Errors]:
    """Gives inner products (R, R) of the errors of mean embeddings, and what is made of them.

    Args:
        sets: features (n, d) of each run's samples, float64.
        truth: those of real rows (m, d).
    """
    means = np.array([[float(polynomial_kernel(a, b).mean()) for b in sets] for a in sets])
    cross = np.array([float(polynomial_kernel(a, truth).mean()) for a in sets])
    own, own_noise = _self_products(truth)
    products = means - cross[:, None] - cross + own
    noise = np.array([_self_products(a)[1] for a in sets])
    # Of the truth there is as much in every product, the squares among them.
    return products, Errors.of_products(products, noise, own_noise)


def _self_products(rows: Tensor) -> tuple[float, float]:
    """Squared length of a mean embedding, and what it is too large by as a mean of n draws."""
    kernel, n = polynomial_kernel(rows, rows), len(rows)
    mean = float(kernel.mean())
    between = float(kernel.sum() - kernel.diagonal().sum()) / (n * (n - 1))
    return mean, mean - between
