import numpy as np
import pytest
import torch

from lightning_collapse.metrics.measure import RealRows, Sample
from lightning_collapse.metrics.modes import Modes, mode_shares, modes_covered

MODES = [(-4.0, -4.0), (0.0, 4.0), (4.0, -4.0)]


@pytest.mark.parametrize(
    ("centers", "covered"),
    [
        (MODES, 3),
        ([(-4, -4), (-4, -4.5), (4, -4)], 2),  # two centers share a mode
        ([(0, 2.0), (9, 9), (9, 9)], 1),  # a distance of exactly the threshold
        ([(0, 1.99), (9, 9), (9, 9)], 0),
        ([(0, 0)], 0),
    ],
)
def test_a_mode_is_covered_by_a_center_near_it(centers, covered):
    assert modes_covered(centers, MODES, 2.0) == covered


def test_one_center_may_cover_several_modes():
    assert modes_covered([(0.0, -4.0)], MODES, 4.0) == 2


def test_replicas_are_counted_apart():
    centers = np.array([MODES, [MODES[0]] * 3])
    assert modes_covered(centers, MODES, 2.0).tolist() == [3, 1]


def test_shares_are_of_the_nearest_mode():
    samples = np.array([[(-5, -9), (-1, -4), (0, 9), (0, 3)], [(4, -4)] * 4])
    assert mode_shares(samples, MODES).tolist() == [[0.5, 0.5, 0.0], [0.0, 0.0, 1.0]]


@pytest.mark.parametrize(("others", "there"), [(0, 1), (1, 1), (2, 2), (9, 2)])
def test_one_sample_does_not_make_a_mode(others, there):
    """Of 20 samples, of which a tenth of the real share would be one."""
    labels = torch.arange(40) % 2
    centers = torch.tensor([[-3.0, 0], [3, 0]])
    real = RealRows(Sample(centers[labels], centers[labels], "points", "", labels=labels), None)
    x = centers[[0] * (20 - others) + [1] * others]
    told = Modes().figures(Sample(x, x, "points", ""), real)
    assert told["modes_points"] == there
    assert told["mode_shares_points"] == [1 - others / 20, others / 20]
