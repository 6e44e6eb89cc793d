"""A round's samples, written to shards by all processes, byte for byte the same by any number.

Sample i of round r comes from (seed, r, i) alone: latent, churn noise and class; where rounds
share latents, from (seed, 0, i). Batches have one fixed size and fixed borders, the last one
padded: on a CPU, convolutions differ in their last bits between batch sizes.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from lightning_collapse.data.store.shards import MAX_SHARD_ROWS
from lightning_collapse.rows import from_network_units, network_units, nonfinite_as_zero
from lightning_collapse.samples.given import Given
from lightning_collapse.samples.shards import described, write_described
from lightning_collapse.sampling.choice import Sampling
from lightning_collapse.sampling.guide import LabelledDenoiser
from lightning_collapse.seeds import KeyedNormal, generator

__all__ = ["RoundSampler", "class_weights", "rows_per_shard"]

_SHARDS_AIMED_AT = 64


def rows_per_shard(n: int, micro_batch: int) -> int:
    """Gives the rows of a shard: whole micro-batches, and shards enough for many processes."""
    batches = -(-n // (micro_batch * _SHARDS_AIMED_AT))
    return micro_batch * max(1, min(batches, MAX_SHARD_ROWS // micro_batch))


def class_weights(labels: Tensor, label_dim: int, uniform: bool) -> tuple[int, ...] | None:
    """Gives a weight for every class, or None where all are drawn equally often.

    Of `label_dim` classes only those are drawn that have a real row, by their labels (n,): these
    equally often if `uniform`, or else as often as they have rows.
    """
    counts = torch.bincount(labels, minlength=label_dim)
    weights = tuple((counts.clamp(max=1) if uniform else counts).tolist())
    return None if set(weights) == {1} else weights


@dataclass(frozen=True)
class RoundSampler:
    """How the samples of one round are made.

    Attributes:
        denoiser: D(x, sigma, class_labels), which a guide may have made.
        sampling: solver and schedule.
        shape: of one sample.
        n: samples to make.
        micro_batch: samples made at a time.
        label_dim: classes that the denoiser knows; 0 for none.
        seed: of the run.
        round: which round.
        device: where the denoiser is.
        class_weights: a whole number for every class, which is drawn in that proportion;
            default: 1 each.
        given: the real rows that the samples complete, whose classes they have; default: none.
    """

    denoiser: LabelledDenoiser
    sampling: Sampling
    shape: tuple[int, ...]
    n: int
    micro_batch: int
    label_dim: int
    seed: int
    round: int
    device: torch.device
    class_weights: tuple[int, ...] | None = None
    given: Given | None = None

    @property
    def shard_rows(self) -> int:
        """Rows in every shard but the last."""
        return rows_per_shard(self.n, self.micro_batch)

    @property
    def n_shards(self) -> int:
        """Shards that the samples fill."""
        return -(-self.n // self.shard_rows)

    @property
    def drawn_as(self) -> int:
        """The round that keys what is drawn: 0 for all rounds where they share latents."""
        return 0 if self.sampling.latents == "same" else self.round

    def labels(self) -> Tensor | None:
        """Class of every sample (n,), drawn by weight; None for a network without classes."""
        if not self.label_dim:
            return None
        if self.given is not None:
            return self.given.labels(range(self.n))
        random = generator(self.seed, "labels", self.drawn_as)
        ends = torch.tensor(self.class_weights or (1,) * self.label_dim).cumsum(0)
        drawn = torch.randint(int(ends[-1]), (self.n,), generator=random)
        return torch.searchsorted(ends, drawn, right=True)

    def rows_of(self, shard: int) -> tuple[int, int]:
        """First and last + 1 sample of a shard."""
        return shard * self.shard_rows, min(self.n, (shard + 1) * self.shard_rows)

    def write_shard(self, folder: Path, shard: int) -> Iterator[int]:
        """Writes one shard, unless an earlier attempt has finished it.

        Yields:
            The number of samples made, or found, after each micro-batch.
        """
        start, stop = self.rows_of(shard)
        if described(folder, shard):
            yield stop - start
            return
        parts, n_nonfinite, labels = [], 0, self.labels()
        for first in range(start, stop, self.micro_batch):
            rows, bad = self.make(first)
            parts.append(rows[: stop - first])
            n_nonfinite += int(bad[: stop - first].sum())
            yield len(parts[-1])
        mine = None if labels is None else labels[start:stop]
        write_described(folder, shard, torch.cat(parts), mine, n_nonfinite)

    def sample(self, first: int) -> Tensor:
        """Makes one micro-batch of samples as rows (micro_batch, *), on the CPU."""
        return self.make(first)[0]

    @torch.no_grad()
    def make(self, first: int) -> tuple[Tensor, Tensor]:
        """Does the same, and tells which samples (micro_batch,) were not finite: their rows are 0.

        In network units, which for images is mid-gray.
        """
        indices = range(first, first + self.micro_batch)
        normal = KeyedNormal([generator(self.seed, "sample", self.drawn_as, i) for i in indices])
        noise = normal(self.shape).to(self.device)
        labels = self._padded_labels(first)
        samples, bad = nonfinite_as_zero(_solve(self, indices, noise, labels, normal.like))
        rows = from_network_units(samples).cpu()
        if self.given is not None:
            rows = self.given.composed(indices, rows)
        return rows, bad.cpu()

    def _padded_labels(self, first: int) -> Tensor | None:
        labels = self.labels()
        if labels is None:
            return None
        mine = labels[first : first + self.micro_batch]
        padding = mine.new_zeros(self.micro_batch - len(mine))
        return torch.cat([mine, padding]).to(self.device)


def _solve(
    sampler: RoundSampler,
    indices: Sequence[int],
    noise: Tensor,
    labels: Tensor | None,
    randn_like: Callable[[Tensor], Tensor],
) -> Tensor:
    """Makes samples, or completes the given rows, in network units."""
    sampling, given = sampler.sampling, sampler.given

    def denoise(x: Tensor, sigma: Tensor) -> Tensor:
        return sampler.denoiser(x, sigma, labels)

    if given is None:
        return sampling(denoise, noise, randn_like)
    rows = network_units(given.of(indices))
    return given.inpainting(denoise, noise, rows, sampling.sigmas, randn_like)
