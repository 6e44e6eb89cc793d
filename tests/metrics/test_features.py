import pytest
import torch

from lightning_collapse.metrics.features import Features, Pixels, Points
from lightning_collapse.rows import network_units
from lightning_collapse.seeds import generator


def images(side=8):
    shape = (6, 3, side, side)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator(0, "images"))


@pytest.mark.parametrize(
    ("features", "rows", "name", "dim"),
    [
        (Pixels(), images(), "pixels", 192),
        (Pixels(side=4), images(), "pixels4", 48),
        (Pixels(side=8), images(), "pixels8", 192),
        (Points(), torch.ones(6, 2), "points", 2),
    ],
)
def test_all_features_are_named_rows_of_floats(features, rows, name, dim):
    assert isinstance(features, Features)
    assert features.name == name
    out = features(rows)
    assert out.shape == (6, dim)
    assert out.is_floating_point()
    torch.testing.assert_close(features(rows[2:3]), out[2:3])


def test_pixels_are_in_network_units():
    extremes = torch.tensor([0, 255], dtype=torch.uint8).reshape(2, 1, 1, 1)
    assert Pixels()(extremes).flatten().tolist() == [-1, 1]
    assert torch.equal(Pixels()(network_units(images())), Pixels()(images()))


def test_pooling_averages_equal_patches():
    pooled = Pixels(side=4)(images()).reshape(6, 3, 4, 4)
    patches = network_units(images()).reshape(6, 3, 4, 2, 4, 2).mean((3, 5))
    torch.testing.assert_close(pooled, patches)


def test_pooling_to_the_full_size_changes_nothing():
    torch.testing.assert_close(Pixels(side=8)(images()), Pixels()(images()))


def test_points_pass_through():
    points = torch.randn(5, 2, dtype=torch.float64)
    assert Points()(points) is points


@pytest.mark.parametrize(
    ("features", "rows", "message"),
    [
        (Pixels(), torch.ones(3, 2), "pixels takes images"),
        (Pixels(side=9), images(), "side must lie in 1..8"),
        (Points(), images(), "points takes float rows"),
        (Points(), torch.ones(3, 2, dtype=torch.uint8), "points takes float rows"),
    ],
)
def test_refuses_other_rows(features, rows, message):
    with pytest.raises(ValueError, match=message):
        features(rows)


def test_a_side_is_at_least_one_pixel():
    with pytest.raises(ValueError, match="side = 0: must be at least 1"):
        Pixels(side=0)
