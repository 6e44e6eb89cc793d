import pytest
import torch

from lightning_collapse.rows import from_network_units, network_units, nonfinite_as_zero


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_images_map_to_network_units_and_back_without_loss(dtype):
    images = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)
    x = network_units(images, dtype)
    assert x.dtype == dtype
    assert (float(x.min()), float(x.max())) == (-1, 1)
    assert torch.equal(from_network_units(x), images)


def test_samples_are_clipped_and_truncated():
    """NVIDIA's rounding: x · 127.5 + 128, so that 0 is 128."""
    x = torch.tensor([-1e9, -1.1, -1.0, -0.999, 0.0, 0.0078, 1.0, 1.1, 1e9])
    expected = [0, 0, 0, 0, 128, 128, 255, 255, 255]
    assert from_network_units(x.reshape(1, 1, 3, 3)).flatten().tolist() == expected


def test_points_are_as_they_are():
    points = torch.tensor([[-3.0, 7.5]], dtype=torch.float64)
    assert network_units(points).tolist() == points.tolist()
    assert from_network_units(points).tolist() == points.tolist()
    assert from_network_units(points).dtype == torch.float32


@pytest.mark.parametrize("shape", [(2, 3), (2, 1, 4, 4)])
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_what_is_not_finite_is_refused(shape, bad):
    """As uint8 it would be a black image, or anything: a diverged run would look collapsed."""
    samples = torch.zeros(shape)
    samples[1].view(-1)[0] = bad
    with pytest.raises(ValueError, match="not finite"):
        from_network_units(samples)


@pytest.mark.parametrize("shape", [(4, 3), (4, 1, 2, 2)])
def test_samples_that_are_not_finite_become_zero_and_others_stay(shape):
    samples = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for i, bad in enumerate([float("nan"), float("-inf"), 1e39]):  # too large for float32
        samples[i].view(-1)[-1] = bad
    clean, which = nonfinite_as_zero(samples)
    assert which.tolist() == [True, True, True, False]
    assert not clean[:3].any() and torch.equal(clean[3], samples[3])
    if len(shape) == 4:
        assert (from_network_units(clean)[:3] == 128).all()
