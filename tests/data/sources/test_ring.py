"""The ring: a circle with noise along the radius."""

import math

import pytest
import torch
from scipy import stats
from tiny_runs import arguments, records

from lightning_collapse import Ring
from lightning_collapse.commands.fit import run_fit


def test_points_lie_about_the_circle_at_all_angles():
    ring = Ring(n=4000, radius=2.5, std=0.05)
    rows, labels = ring.read(3)
    assert labels is None
    assert (rows.shape, rows.dtype) == ((4000, 2), torch.float32)
    lengths, angles = rows.norm(dim=1), torch.atan2(rows[:, 1], rows[:, 0])
    assert stats.kstest(lengths, stats.norm(2.5, 0.05).cdf).pvalue > 0.001
    assert stats.kstest(angles, stats.uniform(-math.pi, 2 * math.pi).cdf).pvalue > 0.001
    assert torch.equal(ring.read(3)[0], rows)
    assert not torch.equal(ring.read(4)[0], rows)


def test_the_default_is_as_wide_as_the_network_expects():
    rows, _ = Ring().read(0)
    assert float(rows.std()) == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("field", ["radius", "std"])
@pytest.mark.parametrize("value", [0, -1, math.nan, math.inf])
def test_what_is_no_ring_is_refused(field, value):
    with pytest.raises(ValueError, match=f"^{field} = {value}: must be a number > 0"):
        Ring(**{field: value})
    with pytest.raises(ValueError, match="^n = 0: must be at least 1"):
        Ring(n=0)


def test_a_run_on_the_ring(tmp_path):
    words = arguments(tmp_path, trainer__max_epochs=1)
    # The shipped configuration's source is a mixture, whose options the ring has not all.
    at = words.index("--data.source.init_args.n")
    run_fit([*words[:at], *words[at + 2 :], "--data.source", "Ring", "--data.source.n", "64"])
    assert records(tmp_path)[0]["n_real"] == 48
