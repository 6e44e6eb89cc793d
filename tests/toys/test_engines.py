"""Every regime means the same to every engine: rows, statistics, regression, mixtures.

`Anchored` and `Ebbing` are regimes that only tests have.
"""

from dataclasses import fields

import numpy as np
import pytest
from own_regimes import Anchored, Ebbing

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
from lightning_collapse.seeds import key
from lightning_collapse.toys.blocks import TrainingSets, by_chance, counts
from lightning_collapse.toys.conditions import condition
from lightning_collapse.toys.gaussian import from_rows, from_statistics
from lightning_collapse.toys.gaussian_fits import Truth
from lightning_collapse.toys.gaussian_summary import predicted
from lightning_collapse.toys.gmm import Protocol, _ReplicaPool, run_mixtures
from lightning_collapse.toys.regression import Task, regress
from lightning_collapse.toys.survivors import from_survivors, only_keeps

N, ROUNDS, Z = 12, 7, 4.0
SIMPLE = Truth(mean=0.0, variance=1.0)

CASES = [
    Replace(0.6),
    Replace(),
    Turnover(0.4),
    Augment(0.5),
    Accumulate(0.5),
    AccumulateSubsample(N),
    Fresh(0.4, N),
    FreshAccumulate(0.6, N),
    SlidingWindow(3),
    Growing(0.25),
    Growing(0.25, until=0.5),
    Then(Replace(), 3, Replace(0.5)),
    Then(Replace(), 2, Accumulate()),
    Then(SlidingWindow(2), 3, Turnover(0.5)),
    Anchored(),
    Ebbing(),
]
BY_POSITION = [
    case
    for case in CASES
    if all(
        isinstance(block, Fixed)
        for r in range(ROUNDS)
        for block in case.blocks(N, r)
        if len(block)
    )
]


def ours(regime, rounds=ROUNDS):
    kind = type(regime)
    path = f"{kind.__module__}.{kind.__name__}"
    options = {field.name: getattr(regime, field.name) for field in fields(regime)}
    return condition(path, None, N, rounds, **options)


def test_the_cases_are_all_regimes_there_are():
    known = {kind for kind in Regime.__subclasses__() if kind.__module__ != "builtins"}
    known = {kind for kind in known if kind.__module__.startswith(("lightning_", "own_regimes"))}
    assert {type(case) for case in CASES} == known


def assert_same(a, b):
    """Means over replicas are those of others, within the error of their difference."""
    error = np.hypot(a.std(1) / a.shape[1] ** 0.5, b.std(1) / b.shape[1] ** 0.5)
    assert (np.abs(a.mean(1) - b.mean(1)) < Z * error).all()


@pytest.mark.parametrize("regime", CASES, ids=repr)
def test_every_engine_trains_on_the_rows_that_the_regime_selects(regime):
    setting, protocol = ours(regime), Protocol(ROUNDS, replicas=2)
    engines = [from_rows] if by_chance(setting.blocks) else [from_rows, from_statistics]
    courses = [engine(setting, ROUNDS, range(2), SIMPLE, 5) for engine in engines]
    pool = _ReplicaPool(setting, protocol, [key(5, "replica", i) for i in range(2)])
    for r in range(ROUNDS):
        sizes = [setting.n_real] + [setting.samples_per_round] * r
        for i in range(2):
            rows = regime.select(sizes, key(5, "gaussian regime", i))
            assert len(rows.unique()) == len(rows) > 0
            real = int((rows < setting.n_real).sum())
            for course in courses:
                assert (course.n_real[r, i], course.n_synthetic[r, i]) == (real, len(rows) - real)
        drawn = pool.draw()
        # What is deposited is NaN, which no real row is.
        assert drawn.shape[1] == len(rows)
        if len(engines) > 1:
            assert counts(setting.blocks[r]) == (real, len(rows) - real)
            assert np.isnan(drawn).any(2).sum(1).tolist() == [len(rows) - real] * 2
        pool.deposit(np.full((2, setting.samples_per_round, 2), np.nan))


@pytest.mark.parametrize("regime", BY_POSITION, ids=repr)
def test_statistics_have_the_law_of_rows(regime):
    setting = ours(regime)
    by_rows = from_rows(setting, ROUNDS, range(3000), SIMPLE, 1)
    assert_same(
        from_statistics(setting, ROUNDS, range(6000), SIMPLE, 2).variance, by_rows.variance
    )


@pytest.mark.parametrize("dim", [1, 3])
@pytest.mark.parametrize("regime", [Turnover(0.4), Turnover(0.7), Ebbing()], ids=repr)
def test_counts_of_who_is_kept_have_the_law_of_rows(regime, dim):
    setting, truth = ours(regime), Truth(0.0, 1.0, dim)
    assert only_keeps(setting.blocks)
    by_rows = from_rows(setting, ROUNDS, range(4000), truth, 1)
    by_counts = from_survivors(setting, ROUNDS, range(8000), truth, 2)
    a, b = by_counts, by_rows
    assert_same(a.variance, b.variance)
    assert_same(a.mean_sq_error, b.mean_sq_error)
    # Their spread too, how one round hangs on the next, and on who was kept.
    assert_same(np.square(a.variance), np.square(b.variance))
    assert_same(a.variance[1:] * a.variance[:-1], b.variance[1:] * b.variance[:-1])
    assert_same(a.n_real * a.variance, b.n_real * b.variance)
    # Until round 2 there is no chance in how many are real.
    assert (a.n_real[:2] == b.n_real[:2, :1]).all()
    assert_same(a.n_real[2:], b.n_real[2:])
    assert_same(np.square(a.n_real[2:]), np.square(b.n_real[2:]))
    total = by_counts.n_real + by_counts.n_synthetic
    assert (total == (by_rows.n_real + by_rows.n_synthetic)[:, :1]).all()


def test_only_what_is_new_or_kept_goes_by_counts():
    told = {repr(case): only_keeps(ours(case).blocks) for case in CASES}
    assert {case for case, by_counts in told.items() if by_counts} == {
        "Turnover(synthetic_fraction=0.4)",
        "Ebbing()",
        "Replace(synthetic_fraction=1.0)",
    }
    assert not only_keeps(ours(Turnover(0.04)).blocks)


@pytest.mark.parametrize("regime", CASES, ids=repr)
def test_a_mixture_of_one_has_the_law_of_the_gaussian(regime):
    protocol = Protocol(4, 400, 3, components=1, modes=((0.0, 0.0),), variance=1.0)
    mixtures = run_mixtures(ours(regime, 4), protocol).statistics["variance"].T
    by_rows = from_rows(ours(regime, 4), 4, range(2000), Truth(0.0, 1.0, dim=2), 4)
    assert_same(mixtures, by_rows.variance)


@pytest.mark.parametrize("regime", BY_POSITION, ids=repr)
def test_regression_has_the_law_of_least_squares_on_rows(regime):
    setting, dim, rounds, replicas = ours(regime, 5), 2, 5, 3000
    errors, _ = regress(setting, "fresh", Task(dim, 1.0, rounds, replicas, 6))
    chance, w = np.random.default_rng(7), np.zeros((replicas, dim))
    x, y, sizes = np.empty((replicas, 0, dim)), np.empty((replicas, 0)), []
    by_rows = []
    for r in range(rounds):
        sizes.append(setting.samples_per_round if r else setting.n_real)
        inputs = chance.standard_normal((replicas, sizes[-1], dim))
        labels = np.einsum("rnd,rd->rn", inputs, w) + chance.standard_normal((replicas, sizes[-1]))
        x, y = np.concatenate([x, inputs], 1), np.concatenate([y, labels], 1)
        rows = regime.select(sizes, seed=0).numpy()
        X = x[:, rows]
        moment = np.einsum("rnd,rn->rd", X, y[:, rows])
        w = np.linalg.solve(X.transpose(0, 2, 1) @ X, moment[..., None])[..., 0]
        by_rows.append(np.square(w).sum(1))
    assert_same(errors, np.stack(by_rows))


# Two of them, simulated once more in a few lines, without blocks


def simulated(training_set, replicas=6000):
    chance = np.random.default_rng(8)
    generations, variance = [chance.standard_normal((replicas, N))], []
    for r in range(ROUNDS):
        rows = training_set(generations, r)
        mean, std = rows.mean(1, keepdims=True), rows.std(1, keepdims=True)
        variance.append(std[:, 0] ** 2)
        generations.append(mean + std * chance.standard_normal((replicas, N)))
    return np.stack(variance)


def ramp(generations, r):
    n = min(N, 3 * r)
    return np.concatenate([generations[0][:, : N - n], generations[-1][:, :n]], 1)


def window(generations, r):
    return np.concatenate(generations[-3:], 1)


@pytest.mark.parametrize(("regime", "rule"), [(Growing(0.25), ramp), (SlidingWindow(3), window)])
def test_what_a_user_writes_has_the_law_of_its_rule(regime, rule):
    course = from_statistics(ours(regime), ROUNDS, range(6000), SIMPLE, 9)
    assert_same(course.variance, simulated(rule))


# What statistics cost


def draws(regime, rounds):
    """Pieces that every round asks for anew, and those drawn in all."""
    sets, asked = TrainingSets(ours(regime, rounds).blocks), []

    for r in range(rounds):
        asked.append(0)

        def draw(number):
            asked[-1] += 1
            return sets.pieces[number].size

        assert sets.of(r, draw) == sum(map(len, regime.blocks(N, r)))
    return asked


def test_a_round_draws_what_it_adds_however_long_the_loop():
    assert draws(Accumulate(), 300) == [1] * 300
    assert draws(SlidingWindow(3), 300) == [1] * 300
    assert draws(Replace(0.5), 300)[1:] == [1] * 299
    assert draws(Fresh(0.5, N), 20) == [1] + [2] * 19
    assert draws(FreshAccumulate(0.5, N), 300) == [1] + [2] * 299


# Theory is each regime's own


@pytest.mark.parametrize("regime", [Then(Replace(), 2, Accumulate()), Anchored()], ids=repr)
def test_a_regime_without_theory_gets_no_others(regime):
    assert predicted(ours(regime), ROUNDS, SIMPLE) == {}
