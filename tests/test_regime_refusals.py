"""What a regime refuses, and blocks that cannot be."""

import dataclasses
import math
import re

import pytest
import torch

from lightning_collapse.regimes import (
    REAL,
    Accumulate,
    AccumulateSubsample,
    Augment,
    Block,
    Drawn,
    Fixed,
    Fresh,
    Kept,
    Regime,
    Replace,
    Turnover,
)

N = 40


# Refusals


@pytest.mark.parametrize(
    ("regime", "samples", "message"),
    [
        (Replace(0.5), 19, "samples_per_round = 19: the regime needs 20 .*; make at least 20"),
        (Turnover(0.5), 19, "samples_per_round = 19: the regime needs 20 .*; make at least 20"),
        (Augment(2.0), 79, "samples_per_round = 79: the regime needs 80 .*; make at least 80"),
        (Accumulate(), 39, "samples_per_round = 39: the regime needs 40 .*; make at least 40"),
        (Fresh(0.5, 6), 2, "samples_per_round = 2: the regime needs 3 .*; make at least 3"),
        (AccumulateSubsample(50), 9, r"regime = .*size=50\): round 1 draws 50 of only 49 rows; "),
    ],
    ids=repr,
)
def test_too_few_samples_are_refused_before_training(regime, samples, message):
    with pytest.raises(ValueError, match=f"^{message}") as caught:
        regime.check(N, samples, rounds=4)
    assert "\n" not in str(caught.value)
    regime.check(N, samples + 1, rounds=4)


@pytest.mark.parametrize("regime", [Replace, Turnover, lambda f: Fresh(f, 10)])
@pytest.mark.parametrize("fraction", [-0.1, 1.1, math.nan, math.inf, -math.inf])
def test_bad_fractions_are_refused(regime, fraction):
    message = rf"^synthetic_fraction = {fraction}: must be a number in \[0, 1\]$"
    with pytest.raises(ValueError, match=message):
        regime(fraction)


@pytest.mark.parametrize(
    ("regime", "field"),
    [
        (Augment, "ratio"),
        (Accumulate, "per_round"),
        (AccumulateSubsample, "size"),
        (lambda size: Fresh(0.5, size), "size"),
    ],
)
@pytest.mark.parametrize("value", [-1, math.nan, math.inf])
def test_bad_amounts_are_refused(regime, field, value):
    with pytest.raises(ValueError, match=f"^{field} = {value}: must be a finite number >"):
        regime(value)


def test_only_augment_may_add_nothing():
    assert Augment(0).samples_needed(N) == 0
    for regime in (Accumulate, AccumulateSubsample, lambda size: Fresh(0.5, size)):
        with pytest.raises(ValueError, match="> 0$"):
            regime(0)


# What a user's blocks may get wrong


@dataclasses.dataclass(frozen=True)
class Only(Regime):
    """The blocks it is given, in every round but the first."""

    given: tuple[Block, ...]
    first: tuple[Block, ...] = (Fixed(REAL, range(N)),)

    def blocks(self, n_real, r):
        return self.given if r else self.first

    def samples_needed(self, n_real):
        return 0


REAL_ROWS, NEWEST = Fixed(REAL, range(N)), range(1, 2)


@pytest.mark.parametrize(
    ("regime", "said"),
    [
        (Only((REAL_ROWS, Fixed(REAL, range(N - 1, N)))), "round 1 may take rows twice: Fixed"),
        (Only((REAL_ROWS, Drawn(3, range(2)))), "round 1 may take rows twice: Fixed"),
        (Only((REAL_ROWS, Kept(3))), "round 1 may take rows twice: "),
        (Only((Drawn(3, NEWEST), Drawn(3, NEWEST))), "round 1 may take rows twice: Drawn"),
        (Only((Kept(3), Kept(3))), "round 1 may take rows twice: Kept"),
        (Only((Fixed(range(1, 3), range(3)),)), "round 1 names range(1, 3); must lie in range(2)"),
        (Only((Drawn(3, range(-1, 1)),)), "round 1 names range(-1, 1); must lie in range(2)"),
        (Only((Fixed(REAL, range(-1, 3)),)), "round 1 names range(-1, 3); must start at 0"),
        (Only((Fixed(REAL, range(0)),)), "round 1 trains on no rows"),
        (Only((Kept(N + 1),)), f"round 1 keeps {N + 1} of only {N} rows"),
        (Only((), first=(Kept(1),)), "round 0 keeps 1 of only 0 rows"),
        (Only((Drawn(7, NEWEST),)), "round 1 draws 7 of only 6 rows"),
    ],
)
def test_blocks_that_cannot_be_are_refused(regime, said):
    for attempt in (lambda: regime.check(N, 6, 2), lambda: regime.select([N, 6], 0)):
        with pytest.raises(ValueError, match=re.escape(f"{regime}: {said}")) as caught:
            attempt() if "round 1" in said else regime.check(N, 6, 1)
        assert "\n" not in str(caught.value)


def test_every_round_is_checked():
    """Demands need not grow: here only a round in the middle cannot be satisfied."""

    class Once(Only):
        def blocks(self, n_real, r):
            return [Fixed(range(r, r + 1), range(7 if r == 5 else 6))] if r else self.first

    Once(()).check(N, 6, 5)
    with pytest.raises(ValueError, match="samples_per_round = 6: the regime needs 7"):
        Once(()).check(N, 6, 9)


def test_rows_are_drawn_from_the_stamps_named_alike():
    """Two windows in one round draw each by itself: their places are not the same."""
    regime, sizes, seeds = Only((Drawn(4, range(1, 2)), Drawn(4, range(2, 4)))), [N, 8, 4, 4], 400
    rows = torch.stack([regime.select(sizes, seed) for seed in range(seeds)]) - N
    assert ((rows[:, :4] >= 0) & (rows[:, :4] < 8)).all()
    assert ((rows[:, 4:] >= 8) & (rows[:, 4:] < 16)).all()
    share = torch.bincount(rows.flatten(), minlength=16) / seeds
    assert (share - 0.5).abs().max() < 4.5 * (0.25 / seeds) ** 0.5
    assert not torch.equal(rows[:, :4], rows[:, 4:] - 8)
