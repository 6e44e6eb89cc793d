"""EDM's augmentation of training images, which the network is told of and so does not learn.

Six geometric transformations, each drawn for each image (Karras et al., 2022,
https://arxiv.org/abs/2206.00364, Appendix F.2, Table 6), with the warp of Karras et al., 2020,
https://arxiv.org/abs/2006.06676, Appendix B: twofold supersampling by an orthogonal wavelet.
EDM takes p = 0.12 for CIFAR-10 and 0.15 for FFHQ and AFHQ-v2.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["AugmentPipe"]

# Least-asymmetric wavelet with 6 vanishing moments (Daubechies, "Ten Lectures on Wavelets",
# 1992, Table 6.3), scaled to unit sum of squares. Orthogonal to its own even shifts, so that
# upsampling and downsampling with it leave an unwarped image as it was.
SYM6 = (
    -0.007800708325034148,
    0.001767711864242804,
    0.04472490177066578,
    -0.021060292512300564,
    -0.07263752278646252,
    0.3379294217276218,
    0.787641141030194,
    0.4910559419267466,
    -0.048311742585633,
    -0.11799011114819057,
    0.0034907120842174702,
    0.015404109327027373,
)
TAPS = len(SYM6)

# Where a pixel comes to lie among its taps. The filter is not symmetric: this is not the middle.
CENTRE = sum(k * tap for k, tap in enumerate(SYM6)) / sum(SYM6)

# Pixels of mirror image on each side; the outer half is where upsampling lacks taps.
MARGIN = TAPS // 2


@dataclass(frozen=True)
class AugmentPipe:
    """Augments images and says how: `pipe(images, pipe.draw(len(images)))`.

    Args:
        p: probability of each transformation, times its own weight below, at most 1.
        xflip: weight of mirroring left and right, which then happens in half of the cases.
        yflip: weight of mirroring up and down, likewise.
        scale: weight of scaling by a log-normal factor.
        rotate_frac: weight of rotating by a uniform angle.
        aniso: weight of stretching along one direction and squeezing across it.
        translate_frac: weight of shifting by a normal distance.
        scale_std: standard deviation of log2 of the factor.
        rotate_frac_max: largest angle, as a fraction of a half turn.
        aniso_std: standard deviation of log2 of the stretch.
        aniso_rotate_prob: probability that the stretch is along any direction, not along x.
        translate_frac_std: standard deviation of the shift, as a fraction of the image's side.

    Raises:
        ValueError: p is no probability.
    """

    p: float
    xflip: float = 1e8
    yflip: float = 1.0
    scale: float = 1.0
    rotate_frac: float = 1.0
    aniso: float = 1.0
    translate_frac: float = 1.0
    scale_std: float = 0.2
    rotate_frac_max: float = 1.0
    aniso_std: float = 0.2
    aniso_rotate_prob: float = 0.5
    translate_frac_std: float = 0.125

    label_dim: ClassVar[int] = 9
    """Width of the labels: 1 + 1 + 1 + 2 + 2 + 2 for the transformations in turn."""

    def __post_init__(self) -> None:
        if not 0 <= self.p <= 1:
            raise ValueError(f"p = {self.p}: must be a probability in [0, 1]")

    @staticmethod
    def draw(
        batch_size: int,
        generator: torch.Generator | None = None,
        device: torch.device | str = "cpu",
    ) -> Tensor:
        """Draws what the augmentation of `batch_size` images needs, in rows that can be sliced.

        Returns:
            Raw numbers (B, 15). Uniform: six decide what is applied, then two are for the
            flips, one for the rotation, two for the stretch (its axis; whether it has one).
            Normal: scale, stretch, shift along x, shift along y.
        """
        uniform = torch.rand(batch_size, 11, generator=generator, device=device)
        normal = torch.randn(batch_size, 4, generator=generator, device=device)
        return torch.cat([uniform, normal], dim=1)

    def __call__(self, images: Tensor, draws: Tensor) -> tuple[Tensor, Tensor]:
        """Augments images.

        Args:
            images: (B, C, H, W), float, of any range.
            draws: raw numbers (B, 15) from `draw`.

        Returns:
            The images (B, C, H, W) and labels (B, 9), zero where nothing was done.
        """
        # Autocast would round coordinates to bfloat16, by a quarter of a pixel.
        with torch.autocast(images.device.type, enabled=False):
            return self._augment(images, draws)

    def _augment(self, images: Tensor, draws: Tensor) -> tuple[Tensor, Tensor]:
        a = self._parameters(draws.to(images.device, torch.float32))
        xflip, yflip, scale, angle, axis, aniso, shift_x, shift_y = a.unbind(1)
        images = torch.where(xflip[:, None, None, None] > 0, images.flip(3), images)
        images = torch.where(yflip[:, None, None, None] > 0, images.flip(2), images)

        moved = (a[:, 2:] != 0).any(dim=1)
        if moved.any():
            # Angles are counter-clockwise in Table 6, where y points up: here it points down.
            inverse = _rotation(angle) @ _stretch(-self.aniso_std * aniso, -axis)
            inverse = inverse * torch.exp2(-self.scale_std * scale)[:, None, None]
            shift = torch.stack([shift_x * images.shape[3], shift_y * images.shape[2]], dim=1)
            shift = shift * self.translate_frac_std
            images[moved] = _warp(images[moved], inverse[moved], shift[moved])
        labels = [xflip, yflip, scale, angle.cos() - 1, angle.sin()]
        labels += [aniso * axis.cos(), aniso * axis.sin(), shift_x, shift_y]
        return images, torch.stack(labels, dim=1)

    def _parameters(self, draws: Tensor) -> Tensor:
        """Gives a_0 .. a_7 of Table 6 (B, 8), zero where a transformation is not applied."""
        weights = [self.xflip, self.yflip, self.scale]
        weights += [self.rotate_frac, self.aniso, self.translate_frac]
        applied = draws[:, :6] < self.p * draws.new_tensor(weights)
        flips = (draws[:, 6:8] < 0.5).to(draws.dtype)
        angles = math.pi * (2 * draws[:, 8:10] - 1)
        axis = angles[:, 1:] * (draws[:, 10:11] < self.aniso_rotate_prob)
        scale, rest = draws[:, 11:12], draws[:, 12:]
        values = [flips, scale, angles[:, :1] * self.rotate_frac_max, axis, rest]
        return torch.cat(values, dim=1) * applied[:, [0, 1, 2, 3, 4, 4, 5, 5]]


def _rotation(angle: Tensor) -> Tensor:
    cos, sin = angle.cos(), angle.sin()
    return torch.stack([cos, -sin, sin, cos], dim=1).view(-1, 2, 2)


def _stretch(log2_factor: Tensor, axis: Tensor) -> Tensor:
    """Gives matrices (B, 2, 2) that stretch along `axis` (radians) and squeeze across it."""
    factor = torch.exp2(log2_factor)
    diagonal = torch.diag_embed(torch.stack([factor, 1 / factor], dim=1))
    return _rotation(axis) @ diagonal @ _rotation(-axis)


def _warp(images: Tensor, inverse: Tensor, shift: Tensor) -> Tensor:
    """Moves the point z of each image, counted in pixels from its centre, to G z + shift.

    Beyond its border an image goes on as its mirror image.

    Args:
        images: (B, C, H, W).
        inverse: G^-1 (B, 2, 2), acting on (x, y).
        shift: (B, 2), in pixels.
    """
    height, width = images.shape[2:]
    last = images.new_tensor([width - 1, height - 1])
    y, x = (
        (torch.arange(2 * side + TAPS - 2, device=images.device) - CENTRE) / 2
        for side in (height, width)
    )
    target = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1) - last / 2
    source = (target - shift[:, None, None]) @ inverse[:, None].mT + last / 2
    # A mirrored filter is another filter, so the margin is left as it was upsampled.
    far = (source < -MARGIN / 2) | (source > last + MARGIN / 2)
    source = torch.where(far, _mirror(source, last), source)

    fine = _upsampling(height, images) @ images @ _upsampling(width, images).mT
    size = fine.new_tensor([fine.shape[3], fine.shape[2]])
    grid = 2 * (2 * (source + MARGIN) + CENTRE) / (size - 1) - 1
    fine = F.grid_sample(fine, grid, align_corners=True)
    return _downsampling(height, images) @ fine @ _downsampling(width, images).mT


def _upsampling(side: int, like: Tensor) -> Tensor:
    """Gives the matrix (2 (side + 2 MARGIN) + 10, side) that upsamples a mirrored signal."""
    pixel = torch.arange(-MARGIN, side + MARGIN, device=like.device)
    mirrored = _mirror(pixel, torch.tensor(side - 1, device=like.device))
    fold = F.one_hot(mirrored, side).to(like.dtype)
    return math.sqrt(2) * _spread(side + 2 * MARGIN, like) @ fold


def _downsampling(side: int, like: Tensor) -> Tensor:
    """Gives the matrix (side, 2 side + 10) that downsamples."""
    return _spread(side, like).mT / math.sqrt(2)


def _spread(side: int, like: Tensor) -> Tensor:
    """Gives the matrix (2 side + 10, side) that puts the wavelet at every second sample."""
    pixel = torch.arange(side, device=like.device)
    tap = torch.arange(2 * side + TAPS - 2, device=like.device)[:, None] - 2 * pixel
    inside = (tap >= 0) & (tap < TAPS)
    return torch.where(inside, like.new_tensor(SYM6)[tap.clamp(0, TAPS - 1)], 0.0)


def _mirror(position: Tensor, last: Tensor) -> Tensor:
    """Reflects positions into [0, last] about both ends, as often as needed."""
    return last - (position.remainder(2 * last) - last).abs()
