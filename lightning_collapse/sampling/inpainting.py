"""Inpainting: the right-hand share of a row sampled, given the rest of it.

By replacement (Song et al., 2021, https://arxiv.org/abs/2011.13456, Appendix I.2): before every
step the given part is put back, with noise of that step's level. That alone is biased, and
strongly so: the network sees the given part through noise when the sample is decided. For two
numbers of correlation 0.9 the sample follows the given one by a slope of 0.45. Resampling (Lugmayr
et al., 2022, https://arxiv.org/abs/2201.09865, Algorithm 1) takes every step several times, with
noise added again in between; the bias falls as about one over their number: 0.85 at 10.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # The command line knows the options before torch is there.
    from torch import Tensor

    from lightning_collapse.sampling.choice import Sampling
    from lightning_collapse.sampling.solvers import Denoiser

__all__ = ["Inpainting"]


@dataclass(frozen=True)
class Inpainting:
    """Samples the right-hand columns of images, or last numbers of points, given the others.

    Attributes:
        share: lambda, the share of the columns that is sampled, in (0, 1]; rounded to whole ones.
        resamples: how often each step is taken.
    """

    share: float = 0.5
    resamples: int = 10

    def __post_init__(self) -> None:
        if not 0 < self.share <= 1:
            raise ValueError(f"share = {self.share}: must lie in (0, 1]")
        if self.resamples < 1:
            raise ValueError(f"resamples = {self.resamples}: must be at least 1")

    def check(self, sampling: "Sampling", shape: tuple[int, ...]) -> None:
        """Refuses what inpainting cannot work with.

        Args:
            sampling: of which the noise levels are taken.
            shape: of a row.

        Raises:
            ValueError: names the option.
        """
        if self._columns(shape) < 1:
            raise ValueError(
                f"share = {self.share}: is none of the {shape[-1]} columns of a row; raise it"
            )
        usual = dict(solver="heun", S_churn=0, temperature=1, start="zero", last="denoise")
        for name, value in usual.items():
            if (given := getattr(sampling, name)) != value:
                raise ValueError(f"needs loop.sampling.{name} = {value}, got {given}")

    def mask(self, shape: tuple[int, ...]) -> "Tensor":
        """Gives which numbers of a row of this shape are sampled: those of the last columns."""
        import torch

        mask = torch.zeros(shape, dtype=torch.bool)
        mask[..., shape[-1] - self._columns(shape) :] = True
        return mask

    def _columns(self, shape: tuple[int, ...]) -> int:
        return round(self.share * shape[-1])

    def calls(self, sampling: "Sampling") -> int:
        """How often a sample calls the denoiser."""
        return 2 * self.resamples * (sampling.num_steps - 1) + 1

    def __call__(
        self,
        denoise: "Denoiser",
        noise: "Tensor",
        known: "Tensor",
        sigmas: "Tensor",
        randn_like: "Callable[[Tensor], Tensor]",
    ) -> "Tensor":
        """Samples by Heun steps.

        Args:
            denoise: the denoiser D(x, sigma).
            noise: unit normal noise (B, *).
            known: rows (B, *) in network units, of which the masked part is not looked at.
            sigmas: noise levels (num_steps + 1,), decreasing to 0.
            randn_like: draws fresh unit normal noise (B, *).

        Returns:
            Rows (B, *) whose given part is as it was, in the precision of a sampler's state.
        """
        import torch

        from lightning_collapse.sampling.solvers import state_dtype

        mask = self.mask(tuple(known.shape[1:])).to(noise.device)
        known = known.to(noise.device, state_dtype(noise.device))
        levels = sigmas.tolist()
        x = noise.to(known) * levels[0]

        def slope(x: "Tensor", sigma: float) -> "Tensor":
            return (x - denoise(x, torch.tensor(sigma).to(x))) / sigma

        for sigma, after in pairwise(levels):
            for left in reversed(range(self.resamples if after > 0 else 1)):
                fresh = randn_like(x)
                x = torch.where(mask, x, known + sigma * fresh)
                d = slope(x, sigma)
                if after > 0:
                    euler = x + (after - sigma) * d
                    euler = torch.where(mask, euler, known + after * fresh)
                    d = (d + slope(euler, after)) / 2
                x = x + (after - sigma) * d
                if left:
                    x = x + math.sqrt(sigma**2 - after**2) * randn_like(x)
        return torch.where(mask, x, known)
