"""When samples count as collapsed: by hand, at the borders of the definitions."""

import pytest
import torch

from lightning_collapse.metrics.collapse import Levels, find_collapse
from lightning_collapse.metrics.families import ALWAYS
from lightning_collapse.metrics.features import Pixels, Points
from lightning_collapse.metrics.measuring import Measuring, record_of
from lightning_collapse.metrics.real import RealData
from lightning_collapse.seeds import generator


def images(n, *path, channels=1):
    return torch.randint(256, (n, channels, 8, 8), generator=generator(0, *path)).to(torch.uint8)


def collapse_of(samples, real, n_nonfinite=0):
    features = Pixels() if real.ndim == 4 else Points()
    made = Measuring(ALWAYS, RealData(real, real[:10], 5), features, len(samples), summed=5)
    seen = made.seen()
    seen.update(0, samples)
    seen.sums.n_nonfinite = n_nonfinite
    return record_of(list(made.figures(seen, None)))["collapsed"]


def levels(rows):
    filled = Levels()
    filled.update(rows)
    return filled


def flat(n, channels=1):
    return images(n, "flat", channels=channels)[..., :1, :1].expand(-1, -1, 8, 8).contiguous()


def ends(n, between):
    """Images of 0 and 255 but for a number of values."""
    rows = (images(n, "ends") > 127).to(torch.uint8) * 255
    rows.view(-1)[:between] = 100
    return rows


def test_sound_samples_have_not_collapsed():
    real = images(100, "real")
    assert collapse_of(images(50, "other"), real) is None
    points = torch.randn(100, 3, generator=generator(0))
    assert collapse_of(points[:50] * 1e-2, points) is None


def test_one_sample_that_is_not_finite_is_a_collapse():
    assert collapse_of(images(50, "a"), images(100, "real"), n_nonfinite=1) == "nonfinite"
    assert collapse_of(flat(50), images(100, "real"), n_nonfinite=1) == "nonfinite"


def test_the_same_sample_again_and_again_is_constant():
    real = images(100, "real")
    assert collapse_of(real[:1].repeat(50, 1, 1, 1), real) == "constant"
    points = torch.randn(100, 3, generator=generator(0))
    assert collapse_of(points[:1] + 1e-4 * points[:50], points) == "constant"


@pytest.mark.parametrize("channels", [1, 3])
def test_flat_images_are_constant_unless_real_ones_are(channels):
    real = images(100, "real", channels=channels)
    assert collapse_of(flat(50, channels), real) == "constant"
    assert collapse_of(flat(50, channels), flat(100, channels)) is None
    one_is_not = torch.cat([flat(49, channels), real[:1]])
    assert collapse_of(one_is_not, real) is None


def test_images_of_two_extremes_are_saturated_from_99_percent_on():
    real = images(100, "real")
    assert collapse_of(ends(100, between=63), real) == "saturated"  # of 6,400
    assert collapse_of(ends(100, between=65), real) is None


def test_what_real_images_have_of_extremes_is_no_collapse():
    real = ends(100, between=320)  # 5 %: 0.5 % is the border
    assert collapse_of(ends(100, between=31), real) == "saturated"
    assert collapse_of(ends(100, between=33), real) is None
    assert collapse_of(ends(100, between=0), ends(100, between=0)) is None


def test_parts_add_up():
    rows = torch.cat([images(30, "a"), flat(20), ends(10, 7)])
    merged = Levels()
    for part in rows.split(7):
        merged.merge(levels(part))
    assert vars(merged) == vars(levels(rows))
    assert (merged.images, merged.flat, merged.numbers) == (60, 20, 3840)


def test_points_have_no_levels():
    empty = levels(torch.ones(5, 1))
    none = find_collapse(empty, empty, relative_variance=1.0, n_nonfinite=0)
    assert none is None and not empty.all_flat
