"""Transformations against exact ones, and labels and frequencies against the draws."""

import math
from dataclasses import replace

import pytest
import torch

from lightning_collapse.networks import augment
from lightning_collapse.networks.augment import AugmentPipe

OFF = AugmentPipe(1.0, xflip=0, yflip=0, scale=0, rotate_frac=0, aniso=0, translate_frac=0)
NAMES = ["xflip", "yflip", "scale", "rotate_frac", "aniso", "translate_frac"]
LABELS = {
    "xflip": [0],
    "yflip": [1],
    "scale": [2],
    "rotate_frac": [3, 4],
    "aniso": [5, 6],
    "translate_frac": [7, 8],
}
SIDES = pytest.mark.parametrize("side", [8, 16, 32, 64])


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def smooth(side, channels=3, batch=2):
    """Gives smooth random images, of unit variance, whose border is not special."""
    frequencies = torch.fft.fftfreq(side)[:, None].square() + torch.fft.rfftfreq(side).square()
    spectrum = torch.fft.rfft2(torch.randn(batch, channels, side, side, generator=generator()))
    images = torch.fft.irfft2(spectrum * torch.exp(-100 * frequencies), s=(side, side))
    return images / images.std()


def draws_for(batch=2, **columns):
    """Gives draws that apply everything with weight, with values by name in `augment`'s order."""
    order = ["xflip", "yflip", "angle", "axis", "axis_used", "scale", "aniso", "x", "y"]
    draws = torch.zeros(batch, 15)
    for name, value in columns.items():
        draws[:, 6 + order.index(name)] = value
    return draws


@pytest.mark.parametrize("channels", [1, 3])
@SIDES
def test_nothing_to_apply_is_the_exact_identity(side, channels):
    images = torch.randn(4, channels, side, side)
    pipe = AugmentPipe(p=0.0, xflip=0)
    out, labels = pipe(images, pipe.draw(4, generator()))
    assert torch.equal(out, images)
    assert torch.equal(labels, torch.zeros(4, 9))


def test_input_is_left_alone():
    images = torch.randn(8, 3, 16, 16)
    before = images.clone()
    pipe = AugmentPipe(p=1.0)
    out, labels = pipe(images, pipe.draw(8, generator()))
    assert torch.equal(images, before)
    assert out.shape == images.shape
    assert labels.shape == (8, pipe.label_dim)


@SIDES
@pytest.mark.parametrize(("name", "dim"), [("xflip", 3), ("yflip", 2)])
def test_flip_is_exact(side, name, dim):
    images = torch.randn(2, 1, side, side)
    out, labels = replace(OFF, **{name: 1})(images, draws_for(**{name: 0.0}))
    assert torch.equal(out, images.flip(dim))
    assert torch.equal(labels, torch.eye(9)[LABELS[name]].expand(2, 9))
    out, labels = replace(OFF, **{name: 1})(images, draws_for(**{name: 0.9}))
    assert torch.equal(out, images)
    assert not labels.any()


@SIDES
def test_warp_by_the_identity_changes_nothing(side):
    images = torch.randn(2, 3, side, side)
    out = augment._warp(images, torch.eye(2).expand(2, 2, 2), torch.zeros(2, 2))
    torch.testing.assert_close(out, images, rtol=0, atol=1e-4)


@SIDES
def test_translation_by_whole_pixels_is_exact(side):
    images = torch.randn(2, 3, side, side)
    pipe = replace(OFF, translate_frac=1)
    # One unit is an eighth of the side: two pixels right and one up, at any side.
    out, labels = pipe(images, draws_for(x=16 / side, y=-8 / side))
    torch.testing.assert_close(out[..., :-4, 5:], images[..., 1:-3, 3:-2], rtol=0, atol=1e-4)
    torch.testing.assert_close(labels[0, 7:], torch.tensor([16 / side, -8 / side]))


def test_beyond_the_border_is_the_mirror_image():
    images = smooth(32)
    out, _ = replace(OFF, translate_frac=1)(images, draws_for(x=4.0))  # 16 pixels to the right
    expected = images[..., 1:15].flip(3)
    torch.testing.assert_close(out[..., 2:16], expected, rtol=0, atol=0.05)


@SIDES
@pytest.mark.parametrize("quarter", [1, 2, -1])
def test_rotation_by_quarters(side, quarter):
    images = smooth(side)
    # The angle is uniform: u = 0 is -pi, u = 1 is pi. It is counter-clockwise to the eye.
    out, labels = replace(OFF, rotate_frac=1)(images, draws_for(angle=0.5 + quarter / 4))
    expected = images.rot90(quarter, (2, 3))
    torch.testing.assert_close(out[..., 2:-2, 2:-2], expected[..., 2:-2, 2:-2], rtol=0, atol=0.05)
    angle = quarter * math.pi / 2
    expected = torch.tensor([math.cos(angle) - 1, math.sin(angle)])
    torch.testing.assert_close(labels[0, 3:5], expected, rtol=0, atol=1e-6)


def radius(images):
    """Gives the root mean square distance (x, y) of a blob's mass from its centre, in pixels."""
    mass = images[:, 0] / images[:, 0].sum(dim=(1, 2), keepdim=True)
    place = torch.arange(images.shape[3]) - (images.shape[3] - 1) / 2
    return [(mass * p.square()).sum(dim=(1, 2)).sqrt() for p in (place, place[:, None])]


def blob(side=32, width=3.0):
    place = torch.arange(side) - (side - 1) / 2
    row = torch.exp(-place.square() / (2 * width**2))
    return torch.outer(row, row).expand(2, 1, side, side)


def test_scale_enlarges():
    out, labels = replace(OFF, scale=1)(blob(), draws_for(scale=1.5))
    for r in radius(out):
        torch.testing.assert_close(r, torch.full((2,), 3.0 * 2**0.3), rtol=0.02, atol=0)
    torch.testing.assert_close(labels, 1.5 * torch.eye(9)[[2, 2]])


@pytest.mark.parametrize(("axis", "along"), [(0.0, 0), (0.5, 1)])
def test_stretch_keeps_the_area(axis, along):
    draws = draws_for(axis=0.5 + axis / 2, axis_used=0.0, aniso=1.5)
    out, labels = replace(OFF, aniso=1)(blob(), draws)
    r = radius(out)
    torch.testing.assert_close(r[along], torch.full((2,), 3.0 * 2**0.3), rtol=0.02, atol=0)
    torch.testing.assert_close(r[1 - along], torch.full((2,), 3.0 / 2**0.3), rtol=0.02, atol=0)
    expected = 1.5 * torch.tensor([math.cos(axis * math.pi), math.sin(axis * math.pi)])
    torch.testing.assert_close(labels[0, 5:7], expected, rtol=0, atol=1e-5)


def test_axis_of_the_stretch_is_counter_clockwise():
    draws = draws_for(axis=0.5 + 0.125, axis_used=0.0, aniso=1.5)  # 45 degrees, to the upper right
    out, _ = replace(OFF, aniso=1)(blob(), draws)
    upper_right, lower_right = out[:, 0, 4:12, 20:28].sum(), out[:, 0, 20:28, 20:28].sum()
    assert upper_right > 1.5 * lower_right


@pytest.mark.parametrize("name", NAMES)
def test_frequency_is_p(name):
    pipe = replace(OFF, p=0.15, **{name: 1})
    _, labels = pipe(torch.zeros(20_000, 1, 2, 2), pipe.draw(20_000, generator()))
    applied = labels[:, LABELS[name]].any(dim=1)
    # A flip that is applied flips in half of the cases.
    expected = 0.075 if "flip" in name else 0.15
    assert applied.float().mean().item() == pytest.approx(expected, abs=0.008)
    others = [i for i in range(9) if i not in LABELS[name]]
    assert not labels[:, others].any()
    assert not labels[~applied].any()


def test_weights_multiply_p_up_to_certainty():
    pipe = AugmentPipe(p=0.15, scale=2)
    _, labels = pipe(torch.zeros(20_000, 1, 2, 2), pipe.draw(20_000, generator()))
    rates = (labels != 0).float().mean(dim=0)
    expected = torch.tensor([0.5, 0.075, 0.3, 0.15, 0.15, 0.15, 0.075, 0.15, 0.15])
    torch.testing.assert_close(rates, expected, rtol=0, atol=0.012)
    normal = labels[labels[:, 2] != 0, 2]
    assert normal.mean().item() == pytest.approx(0, abs=0.05)
    assert normal.std().item() == pytest.approx(1, abs=0.05)


def test_a_slice_of_the_draws_serves_a_slice_of_the_images():
    pipe, images = AugmentPipe(p=0.5), smooth(16, batch=8)
    draws = pipe.draw(8, generator())
    images_all, labels_all = pipe(images, draws)
    images_part, labels_part = pipe(images[3:6], draws[3:6])
    torch.testing.assert_close(images_part, images_all[3:6], rtol=0, atol=1e-5)
    assert torch.equal(labels_part, labels_all[3:6])


def test_wavelet_is_orthogonal_to_its_even_shifts():
    taps = torch.tensor(augment.SYM6, dtype=torch.float64)
    for shift in range(1, 6):
        assert (taps[2 * shift :] @ taps[: -2 * shift]).abs() < 1e-10
    assert (taps @ taps).item() == pytest.approx(1)
    assert taps.sum().item() == pytest.approx(math.sqrt(2))
    moments = [(taps * (-1) ** torch.arange(12) * torch.arange(12) ** n).sum() for n in range(6)]
    assert torch.stack(moments).abs().max() < 1e-5


def test_autocast_does_not_reach_the_augmentation():
    # bf16-mixed training calls it inside autocast, which would round coordinates.
    pipe, images = AugmentPipe(p=1.0), torch.randn(4, 3, 16, 16)
    draws = pipe.draw(4, generator())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = pipe(images, draws)
    assert all(map(torch.equal, inside, pipe(images, draws)))
