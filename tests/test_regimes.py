import dataclasses
import itertools

import numpy as np
import pytest
import torch

from lightning_collapse import regimes as module
from lightning_collapse.regimes import (
    Accumulate,
    AccumulateSubsample,
    Augment,
    Fixed,
    Fresh,
    FreshAccumulate,
    Growing,
    Regime,
    Replace,
    SlidingWindow,
    Then,
    Turnover,
)
from lightning_collapse.seeds import generator

REGIMES = [
    Replace(),
    Replace(0.0),
    Replace(0.58),
    Turnover(1.0),
    Turnover(0.0),
    Turnover(0.3),
    Augment(0.0),
    Augment(0.5),
    Augment(2.5),
    Accumulate(),
    Accumulate(0.25),
    Accumulate(2.0),
    AccumulateSubsample(30),
    AccumulateSubsample(5),
    Fresh(0.0, 4),
    Fresh(0.5, 6),
    Fresh(1.0, 12),
    FreshAccumulate(0.0, 5),
    FreshAccumulate(0.8, 5),
    FreshAccumulate(1.0, 12),
    SlidingWindow(1),
    SlidingWindow(3),
    Growing(0.25),
    Growing(0.5, until=0.75),
    Then(Replace(), 2, Replace(0.5)),
    Then(Replace(0.5), 1, AccumulateSubsample(30)),
    Then(Accumulate(), 2, Turnover(0.5)),
]
N = 40


def sizes_at(regime, r, n_real=N, extra=0):
    """Sizes of a pool at round r whose rounds made what the regime needs, at least one sample."""
    return [n_real] + [max(1, regime.samples_needed(n_real) + extra)] * r


def stamps_of(positions, sizes):
    born = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    return born[positions]


def counts_by_stamp(regime, sizes, seed=0):
    return regime.counts(sizes, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("regime", REGIMES, ids=repr)
@pytest.mark.parametrize("extra", [0, 3])
@pytest.mark.parametrize("r", [0, 1, 2, 7])
def test_counts_are_those_of_the_rows_drawn(regime, r, extra):
    """The two questions have one answer, in whatever order the pool's rows lie."""
    sizes = sizes_at(regime, r, extra=extra)
    born = torch.repeat_interleave(torch.arange(r + 1), torch.tensor(sizes))
    for seed in range(3):
        random = torch.Generator().manual_seed(seed)
        shuffled = born[torch.randperm(len(born), generator=generator(seed, "shuffle"))]
        for stamps in (born, shuffled):
            rows = regime(stamps, random)
            assert rows.dtype == torch.int64
            assert len(rows.unique()) == len(rows) > 0
            drawn = torch.bincount(stamps[rows], minlength=r + 1).tolist()
            assert drawn == regime.counts(sizes, random)


@pytest.mark.parametrize("regime", REGIMES, ids=repr)
def test_sizes_may_differ_from_round_to_round(regime):
    needed = max(1, regime.samples_needed(N))
    sizes = [N, needed + 5, needed, needed + 1]
    born = torch.repeat_interleave(torch.arange(4), torch.tensor(sizes))
    random = torch.Generator().manual_seed(1)
    drawn = torch.bincount(born[regime(born, random)], minlength=4).tolist()
    assert drawn == regime.counts(sizes, random)


@pytest.mark.parametrize("regime", REGIMES, ids=repr)
def test_round_0_trains_on_real_rows_alone(regime):
    (count,) = counts_by_stamp(regime, [N])
    wanted = getattr(regime, "size", N)
    assert count == wanted


@pytest.mark.parametrize("regime", REGIMES, ids=repr)
def test_only_the_seed_matters_not_the_generators_past(regime):
    born = torch.repeat_interleave(torch.arange(4), torch.tensor(sizes_at(regime, 3)))
    random = torch.Generator().manual_seed(5)
    first = regime(born, random)
    torch.rand(10, generator=random)
    assert torch.equal(regime(born, random), first)
    assert torch.equal(regime.select(sizes_at(regime, 3), seed=5), first)


@pytest.mark.parametrize("regime", REGIMES, ids=repr)
def test_a_satisfiable_regime_passes_its_check(regime):
    regime.check(N, max(1, regime.samples_needed(N)), rounds=8)
    regime.check(N, 1, rounds=1)


# What each regime trains on from round 1 on


@pytest.mark.parametrize(("fraction", "n"), [(0, 0), (0.3, 12), (0.58, 23), (1, 40)])
def test_replace(fraction, n):
    regime = Replace(fraction)
    for r in (1, 2, 6):
        sizes = sizes_at(regime, r, extra=2)
        rows = regime.select(sizes, seed=r)
        # The same first real rows in every round, then the newest generation's first rows.
        newest = sum(sizes[:-1])
        assert rows.tolist() == [*range(N - n), *range(newest, newest + n)]


def test_replace_is_all_synthetic_unless_told_otherwise():
    assert Replace() == Replace(synthetic_fraction=1.0)
    assert counts_by_stamp(Replace(), [N, N, N]) == [0, 0, N]
    assert counts_by_stamp(Replace(0.0), [N, 1, 1]) == [N, 0, 0]


@pytest.mark.parametrize("regime", [Replace, Turnover, lambda f: Fresh(f, 100)])
def test_fractions_are_rounded_not_cut(regime):
    """0.58 · 100 is 57.99999999999999 in floating point."""
    assert regime(0.58).samples_needed(100) == 58


@pytest.mark.parametrize("fraction", [0.25, 0.5])
def test_turnover_keeps_a_part_of_the_previous_training_set(fraction):
    regime = Turnover(fraction)
    n = round(fraction * N)
    before = regime.select([N], seed=3)
    for r in range(1, 8):
        sizes = sizes_at(regime, r, extra=1)
        rows = regime.select(sizes, seed=3)
        stamps = stamps_of(rows, sizes)
        assert len(rows) == N
        assert int((stamps == r).sum()) == n
        assert set(rows[stamps < r].tolist()) <= set(before.tolist())
        before = rows


def test_turnover_loses_real_rows_geometrically():
    regime, n_real, seeds = Turnover(0.3), 50, 200
    for r in (1, 2, 4, 6):
        sizes = sizes_at(regime, r, n_real)
        left = torch.tensor([counts_by_stamp(regime, sizes, s)[0] for s in range(seeds)]).double()
        standard_error = float(left.std()) / seeds**0.5
        assert float(left.mean()) == pytest.approx(n_real * 0.7**r, abs=4 * standard_error + 1e-9)


def test_turnover_keeps_every_real_row_as_often():
    regime, n_real, seeds = Turnover(0.5), 20, 400
    kept = torch.zeros(n_real)
    for seed in range(seeds):
        rows = regime.select(sizes_at(regime, 2, n_real), seed)
        kept += torch.bincount(rows[rows < n_real], minlength=n_real)
    # A row is kept twice, with probability 1/2 each time.
    assert (kept / seeds - 0.25).abs().max() < 4.5 * (0.25 * 0.75 / seeds) ** 0.5


def test_turnover_at_its_ends():
    assert counts_by_stamp(Turnover(1.0), [N, N, N]) == [0, 0, N]
    assert counts_by_stamp(Turnover(0.0), [N, 1, 1]) == [N, 0, 0]


@pytest.mark.parametrize(("ratio", "n"), [(0, 0), (0.5, 20), (2.5, 100)])
def test_augment(ratio, n):
    for r in (1, 2, 6):
        sizes = sizes_at(Augment(ratio), r, extra=2)
        assert counts_by_stamp(Augment(ratio), sizes) == [N] + [0] * (r - 1) + [n]


@pytest.mark.parametrize(("per_round", "n"), [(1, 40), (0.25, 10), (2, 80)])
def test_accumulate(per_round, n):
    for r in (1, 2, 6):
        sizes = sizes_at(Accumulate(per_round), r, extra=2)
        assert counts_by_stamp(Accumulate(per_round), sizes) == [N] + [n] * r
    assert Accumulate() == Accumulate(per_round=1.0)


def test_accumulate_subsample_draws_anew_each_round():
    regime = AccumulateSubsample(N)
    draws = [regime.select([N, N] + [N] * r, seed=0) for r in range(4)]
    assert all(len(rows) == len(rows.unique()) == N for rows in draws)
    assert not any(torch.equal(a, b) for a, b in itertools.combinations(draws, 2))
    assert torch.equal(draws[2], regime.select([N] * 4, seed=0))
    assert not torch.equal(draws[2], regime.select([N] * 4, seed=1))
    # Not only because there are more rows to draw from.
    assert not torch.equal(regime.select([N, 2 * N], seed=0), draws[1])


def test_accumulate_subsample_draws_all_rows_alike():
    """Without replacement: a generation's count is hypergeometric, its mean a third of size."""
    regime, seeds = AccumulateSubsample(30), 400
    counts = torch.tensor([counts_by_stamp(regime, [30] * 3, s) for s in range(seeds)]).double()
    variance = 30 * (1 / 3) * (2 / 3) * (90 - 30) / (90 - 1)
    z = (counts.mean(0) - 10) / (variance / seeds) ** 0.5
    assert z.abs().max() < 4
    torch.testing.assert_close(
        counts.var(0), torch.full((3,), variance).double(), rtol=0.3, atol=0
    )


def test_accumulate_subsample_takes_all_real_rows_where_there_are_fewer():
    assert counts_by_stamp(AccumulateSubsample(60), [N]) == [N]
    assert sum(counts_by_stamp(AccumulateSubsample(60), [N, 60])) == 60


@pytest.mark.parametrize("fraction", [0.0, 0.5, 1.0])
def test_fresh_uses_no_real_row_twice(fraction):
    regime, used = Fresh(fraction, 8), []
    for r in range(5):
        sizes = sizes_at(regime, r)
        rows = regime.select(sizes, seed=r)
        real = rows[rows < N].tolist()
        assert len(rows) == 8
        assert len(real) == (8 if r == 0 else round((1 - fraction) * 8))
        assert counts_by_stamp(regime, sizes)[1:-1] == [0] * max(0, r - 1)
        used += real
    assert len(set(used)) == len(used)


def test_fresh_is_refused_when_real_rows_run_out():
    regime = Fresh(0.5, 10)  # 10 rows in round 0, then 5 a round: 40 rows last 7 rounds
    regime.check(N, 5, rounds=7)
    with pytest.raises(ValueError, match=r"^regime = Fresh\(.*\): round 7 needs 45 real rows"):
        regime.check(N, 5, rounds=8)
    with pytest.raises(ValueError, match=r"^regime = Fresh\(.*size=41\): round 0 needs 41 "):
        Fresh(1.0, 41).check(N, 41, rounds=1)


# What a regime is


def test_a_regime_prints_as_it_is_written():
    assert repr(Replace()) == "Replace(synthetic_fraction=1.0)"
    assert all(eval(repr(regime), vars(module)) == regime for regime in REGIMES)


@pytest.mark.parametrize("regime", REGIMES, ids=repr)
def test_a_regime_cannot_be_changed(regime):
    field = dataclasses.fields(regime)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(regime, field, 0.5)
    assert isinstance(regime, Regime)


def test_the_tests_cover_every_regime():
    ours = {cls for cls in Regime.__subclasses__() if cls.__module__.startswith(module.__name__)}
    assert {type(regime) for regime in REGIMES} == ours


# Round after round


@pytest.mark.parametrize("regime", REGIMES, ids=repr)
@pytest.mark.parametrize("extra", [0, 3])
def test_going_on_gives_what_starting_over_gives(regime, extra):
    """And seeds taken together give what each gives alone."""
    samples, seeds = max(1, regime.samples_needed(N)) + extra, [4, 5, 6]
    rows = np.empty((len(seeds), 0), np.int64)
    for r, draw in enumerate(itertools.islice(regime.draws(N, samples, seeds), 8)):
        rows = draw.of(rows)
        for seed, own in zip(seeds, rows, strict=True):
            alone = regime.select([N] + [samples] * r, seed)
            assert own.tolist() == alone.tolist()


@pytest.mark.parametrize("regime", REGIMES, ids=repr)
def test_blocks_say_what_is_selected(regime):
    for r in (0, 1, 2, 7):
        sizes = sizes_at(regime, r, extra=2)
        blocks, rows = regime.blocks(N, r), regime.select(sizes, seed=0)
        assert len(rows) == sum(map(len, blocks))
        if all(isinstance(block, Fixed) for block in blocks):
            starts = [0, *itertools.accumulate(sizes)]
            named = [starts[b] + i for block in blocks for b in block.born for i in block.rows]
            assert rows.tolist() == named


def test_turnover_goes_on_through_many_rounds():
    rows = np.empty((1, 0), np.int64)
    for draw in itertools.islice(Turnover(0.1).draws(N, 4, [0]), 2000):
        rows = draw.of(rows)
    assert rows[0].tolist() == Turnover(0.1).select([N] + [4] * 1999, seed=0).tolist()
    assert len(np.unique(rows)) == N
    assert rows.min() > 6000
