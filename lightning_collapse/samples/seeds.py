"""Samples of given seeds, from the same random numbers as NVIDIA's EDM draws for them.

Every sample has a generator of its own, on the device that samples, seeded by its seed. It gives
the latent, then the class (for a network with classes), then the fresh noise of every step, in the
precision of the sampler's state. Devices of different types draw different numbers.

Micro-batches have one size, and a seed always has the same slot in them, `seed % micro_batch`: on
a CPU the last bits of a sample may depend on both, but on nothing in the other slots.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lightning_collapse.rows import from_network_units
from lightning_collapse.sampling.choice import Sampling
from lightning_collapse.sampling.guide import LabelledDenoiser
from lightning_collapse.sampling.solvers import state_dtype

__all__ = ["SeedSampler"]


@dataclass(frozen=True)
class SeedSampler:
    """How samples are made of seeds.

    Attributes:
        denoiser: D(x, sigma, class_labels), on `device`; a guide may have made it.
        sampling: solver and schedule.
        shape: of one sample.
        micro_batch: samples made at a time.
        label_dim: number of classes that the denoiser knows; 0 for none.
        label: class of all samples; None draws each sample's from its seed.
        device: where the denoiser is, and where numbers are drawn.
    """

    denoiser: LabelledDenoiser
    sampling: Sampling
    shape: tuple[int, ...]
    micro_batch: int
    label_dim: int
    label: int | None
    device: torch.device

    def batches(self, seeds: Sequence[int]) -> list[list[int]]:
        """Shares seeds out among micro-batches, at most one for each slot."""
        batches: list[list[int]] = []
        filled = [0] * self.micro_batch
        for seed in seeds:
            slot = seed % self.micro_batch
            if filled[slot] == len(batches):
                batches.append([])
            batches[filled[slot]].append(seed)
            filled[slot] += 1
        return batches

    def sample(self, batch: Sequence[int]) -> Tensor:
        """Makes the samples of one micro-batch's seeds as rows (len(batch), *), on the CPU.

        Raises:
            ValueError: a sample is not finite.
        """
        slots = list(range(self.micro_batch))  # an empty slot makes a sample too
        for seed in batch:
            slots[seed % self.micro_batch] = seed
        numbers = _Numbers(slots, self.device)
        noise = numbers.normal(self.shape)
        labels = self._draw_labels(numbers) if self.label_dim else None
        if self.sampling.S_churn:
            # NVIDIA draws in every step, our sampler only where S_max lets it add.
            for _ in range(int((self.sampling.sigmas > self.sampling.S_max).sum())):
                numbers.like(noise.to(state_dtype(self.device)))
        samples = self.sampling(
            lambda x, sigma: self.denoiser(x, sigma, labels), noise, numbers.like
        )
        rows = from_network_units(samples).cpu()
        return rows[[seed % self.micro_batch for seed in batch]]

    def labels(self, seeds: Sequence[int]) -> Tensor | None:
        """Gives the class of every seed's sample (n,), on the CPU; None where there are none."""
        if not self.label_dim:
            return None
        numbers = _Numbers(seeds, self.device)
        numbers.normal(self.shape)
        return self._draw_labels(numbers).cpu()

    def _draw_labels(self, numbers: "_Numbers") -> Tensor:
        labels = numbers.below(self.label_dim)
        return labels if self.label is None else torch.full_like(labels, self.label)


class _Numbers:
    """Random numbers of a batch, each row's from a generator of its own."""

    def __init__(self, seeds: Sequence[int], device: torch.device) -> None:
        self._device = device
        self._generators = [torch.Generator(device).manual_seed(seed) for seed in seeds]

    def normal(self, shape: Sequence[int], dtype: torch.dtype = torch.float32) -> Tensor:
        """Draws unit normal numbers (B, *shape)."""
        return torch.stack(
            [
                torch.randn(shape, generator=g, dtype=dtype, device=self._device)
                for g in self._generators
            ]
        )

    def like(self, x: Tensor) -> Tensor:
        """Draws unit normal numbers in the shape and type of x (B, *)."""
        return self.normal(x.shape[1:], x.dtype)

    def below(self, n: int) -> Tensor:
        """Draws whole numbers (B,) in 0..n-1."""
        return torch.cat(
            [torch.randint(n, (1,), generator=g, device=self._device) for g in self._generators]
        )
