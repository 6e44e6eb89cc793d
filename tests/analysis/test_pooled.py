"""Differences over seeds and where they pass a margin, on simulated runs whose truth is known."""

import numpy as np
import pytest

from lightning_collapse.analysis.pooled import crossing, pooled

PLACES, END = [0, 100, 250, 500], 1000
TRUTH = np.array([1.0, 0.5, 0.2, 0.05])


def drawn(chance, truth=TRUTH, seeds=3, more=(), spread=0.05, own=1.0):
    """Runs of some seeds at every level and, of `more`, at the last two."""
    total = seeds + len(more)
    of_seed = own * chance.standard_normal(total)

    def level(e, count):
        return {s: of_seed[s] + e + spread * chance.standard_normal() for s in range(count)}

    counts = [seeds] * (len(truth) - 2) + [total] * 2
    return level(0.0, total), [level(e, n) for e, n in zip(truth, counts, strict=True)]


def test_with_the_same_seeds_differences_are_those_of_the_pairs():
    base, levels = drawn(np.random.default_rng(0))
    fit = pooled(base, levels)
    for e, level in zip(fit.values, levels, strict=True):
        assert e == pytest.approx(np.mean([level[s] - base[s] for s in base]))
    assert fit.freedom == 4 * 2
    # The base counts in each: half of the variance of a difference is common to all.
    assert fit.unit == pytest.approx((np.eye(4) + 1) / 3)


@pytest.mark.parametrize("more", [(), (3, 4)])
def test_upper_and_lower_bounds_fail_in_one_of_twenty_studies(more):
    chance, missed = np.random.default_rng(1), np.zeros(2)
    for _ in range(1000):
        bounds = pooled(*drawn(chance, more=more)).bounds()
        missed += [bounds[2].low > TRUTH[2], bounds[2].high < TRUTH[2]]
    assert missed / 1000 == pytest.approx([0.05, 0.05], abs=0.022)


def test_the_place_where_the_margin_is_passed_lies_in_its_interval():
    # The line from (100, .5) to (250, .2) is at .3 at 200.
    chance, held = np.random.default_rng(2), 0
    for _ in range(60):
        fit = pooled(*drawn(chance))
        shape, place = crossing(PLACES, END, fit, 0.3)
        assert np.all(np.diff(shape) <= 0) and place.low <= place.mean <= place.high
        held += place.low <= 200 <= place.high
    assert held >= 50


def test_what_is_never_above_the_margin_passes_it_at_the_first_place():
    fit = pooled(*drawn(np.random.default_rng(3), truth=np.zeros(4), spread=1e-6))
    assert crossing(PLACES, END, fit, 0.3)[1].high == 0
    _, place = crossing(PLACES, END, pooled(*drawn(np.random.default_rng(3), spread=0)), 0.01)
    assert 500 < place.mean < END


def test_one_seed_or_none_in_common_tells_nothing():
    assert pooled({0: 1.0}, [{0: 2.0}, {0: 1.5}]) is None
    assert pooled({0: 1.0, 1: 1.1}, [{2: 2.0}]) is None
