"""The loop against closed forms: the theory of the Gaussian loop, sections 0 and a to d.

Rows are drawn from N(0, I) in D dimensions: fit and sampling commute with projections, so every
dimension obeys the law of one, and a replica gives D times as many numbers. Replicas are
independent; the dimensions of one may not be, so errors are taken over replicas.
"""

import itertools

import pytest
import torch

from lightning_collapse.learners.learner import GaussianMLE
from lightning_collapse.metrics.measure import Measure
from lightning_collapse.metrics.spread import Spread
from lightning_collapse.pool import Pool
from lightning_collapse.regimes import (
    Accumulate,
    AccumulateSubsample,
    Augment,
    Fresh,
    Replace,
    Turnover,
)
from lightning_collapse.seeds import generator
from lightning_collapse.toys.generations import generations

D, N, ROUNDS, REPLICAS, Z = 4, 20, 6, 300, 3.5


def real_rows(seed, n=N, d=D):
    return torch.randn(n, d, dtype=torch.float64, generator=generator(seed, "real"))


class Untouched:
    """A learner that must not be fitted."""

    def fit(self, rows):
        raise AssertionError("fitted")

    def sample(self, n, generator):
        raise AssertionError("sampled")


class Rewriting:
    """A learner whose rows tell when they were made: the round, counted from 1."""

    def __init__(self):
        self.seen = []

    def fit(self, rows):
        self.seen.append(rows.flatten().tolist())

    def sample(self, n, generator):
        return torch.full((n, 1), float(len(self.seen)))


@pytest.fixture(scope="module")
def fits():
    """Fitted variance and squared error of the mean, (replicas, rounds), by regime."""
    known = {}

    def of(regime, n_real=N):
        if regime not in known:
            known[regime] = torch.stack(
                [replica(regime, seed, n_real) for seed in range(REPLICAS)]
            )
        return known[regime].unbind(1)

    return of


def replica(regime, seed, n_real):
    learner, pool = GaussianMLE(), Pool(real_rows(seed, n_real), seed)
    fitted = [
        (learner.covariance.trace() / D, learner.mean.square().mean())
        for _ in generations(learner, pool, regime, rounds=ROUNDS, seed=seed)
    ]
    return torch.tensor(fitted).double().T


def z_scores(numbers, expected):
    """Standard errors that the mean over replicas (replicas, rounds) is off, for every round."""
    expected = torch.as_tensor(expected, dtype=torch.float64)
    return (numbers.mean(0) - expected) / (numbers.std(0) / len(numbers) ** 0.5)


def mix_variance():
    """E v_t of a λ-mix that keeps its real rows, by the exact recursion of section b."""
    lam = 0.5
    m = (1 - lam) * N
    s_real, V, Dt = 1 - 1 / m, 1 - 1 / N, 1 / m - 1 / N
    for _ in range(ROUNDS):
        yield V
        V, Dt = (
            (1 - lam) * s_real + lam * (1 - 1 / N) * V + lam * (1 - lam) * Dt,
            lam**2 * Dt + lam * V / N,
        )


def fresh_variance():
    """E v_t of a λ-mix with new real rows in every round: section b."""
    lam, V, Dt = 0.5, 1 - 1 / N, 1 / N
    for _ in range(ROUNDS):
        yield V
        V, Dt = (
            (1 - 1 / N) * ((1 - lam) + lam * V) + lam * (1 - lam) * Dt,
            ((1 - lam) + lam * V) / N + lam**2 * Dt,
        )


def accumulated_variance(n_added):
    """E v_t where every round adds n_added rows to N: section c."""
    yield (V := 1 - 1 / N)
    for g in range(1, ROUNDS):
        yield (V := V * (1 - n_added / (N + g * n_added) ** 2))


def subsampled_variance():
    """E v_t of a fixed budget of N out of all rows: section d."""
    beta = 1 - 1 / N
    for t in range(1, ROUNDS + 1):
        r = (t * N - N) / (N * (t * N - 1))
        yield beta * (1 - r)
        beta *= 1 - (1 - (1 - r) * (1 - 1 / N)) / (t + 1) ** 2


CLOSED_FORMS = [
    (Replace(), [(1 - 1 / N) ** t for t in range(1, ROUNDS + 1)]),
    (Replace(0.0), [1 - 1 / N] * ROUNDS),
    (Replace(0.5), list(mix_variance())),
    (Fresh(0.5, N), list(fresh_variance())),
    (Accumulate(), list(accumulated_variance(N))),
    (Accumulate(0.5), list(accumulated_variance(N // 2))),
    (AccumulateSubsample(N), list(subsampled_variance())),
]


def real_rows_needed(regime):
    return N + ROUNDS * N // 2 if isinstance(regime, Fresh) else N


@pytest.mark.parametrize(
    "regime", [*(regime for regime, _ in CLOSED_FORMS), Turnover(0.5), Augment(0.5)], ids=repr
)
def test_variance_lost_is_drift_of_the_mean_gained(fits, regime):
    """E v_t + E (mu_t - mu)^2 = s2 at every t, whatever the regime: section 0."""
    v, error = fits(regime, real_rows_needed(regime))
    assert z_scores(v + error, [1.0] * ROUNDS).abs().max() < Z


@pytest.mark.parametrize(
    ("regime", "expected"), CLOSED_FORMS, ids=[repr(regime) for regime, _ in CLOSED_FORMS]
)
def test_the_variance_follows_its_closed_form(fits, regime, expected):
    v, _ = fits(regime, real_rows_needed(regime))
    assert z_scores(v, expected).abs().max() < Z


def test_accumulating_by_the_ratio_is_the_product_over_squares():
    products = itertools.accumulate(
        (1 - 1 / (N * k**2) for k in range(1, ROUNDS + 1)), lambda a, b: a * b
    )
    assert list(accumulated_variance(N)) == pytest.approx(list(products))


def test_the_regimes_are_told_apart(fits):
    """The errors are small enough for the laws above to mean something."""
    v, _ = fits(Replace())
    assert z_scores(v, [1 - 1 / N] * ROUNDS)[-1] < -5
    assert fits(Accumulate())[0].mean(0)[-1] > fits(AccumulateSubsample(N))[0].mean(0)[-1]


def test_turnover_forgets_real_rows_where_replace_keeps_them():
    learner, pool = Rewriting(), Pool(torch.zeros(N, 1))
    records = list(generations(learner, pool, Turnover(0.5), rounds=8))
    assert [record["n_real"] for record in records] == [rows.count(0) for rows in learner.seen]
    assert records[-1]["n_real"] < 3
    assert all(len(rows) == N for rows in learner.seen)
    kept = generations(Rewriting(), Pool(torch.zeros(N, 1)), Replace(0.5), rounds=8)
    assert [record["n_real"] for record in kept] == [N] + [N // 2] * 7


# What the loop does, by rows that tell when they were made


class Age(Measure):
    """When a round's rows were made, and how much older real rows, or those before, are."""

    def figures(self, samples, real):
        age = float(samples.rows[0, 0])
        return {"size": len(samples), "age": age - float(real.rows[0, 0])}


SAID = ("round", "n_real", "n_synthetic", "size", "age")


def test_measures_have_floors_where_rows_are_held_out():
    held_out = torch.full((4, 1), -3.0)
    real = torch.arange(float(N))[:, None]
    loop = generations(Rewriting(), Pool(real), Replace(), [Age()], held_out=held_out)
    assert {name: v for name, v in next(loop).items() if name.startswith("age")} == {
        "age": 1,
        "age_floor": -3,
        "age_step": None,
    }
    (record,) = generations(Rewriting(), Pool(real), Replace(), [Age()], rounds=1)
    assert "age_floor" not in record


def test_records_say_what_was_trained_on():
    real = [0.0] * (N - 1) + [0.5]
    learner, pool = Rewriting(), Pool(torch.tensor(real)[:, None])
    records = list(generations(learner, pool, Augment(0.5), [Age()], rounds=3))
    told = [{name: record[name] for name in SAID} for record in records]
    assert [record["age_step"] for record in records] == [None, 1, 1]
    assert all(record["measured_rows"] == {"Age": 10} for record in records)
    assert told == [
        {"round": 0, "n_real": N, "n_synthetic": 0, "size": 10, "age": 1},
        {"round": 1, "n_real": N, "n_synthetic": 10, "size": 10, "age": 2},
        {"round": 2, "n_real": N, "n_synthetic": 10, "size": 10, "age": 3},
    ]
    assert learner.seen == [real, real + [1] * 10, real + [2] * 10]
    assert pool.sizes == [N, 10, 10, 10]


def test_without_a_number_of_rounds_it_goes_on_for_ever():
    records = generations(GaussianMLE(), Pool(real_rows(0)), Replace())
    assert [record["round"] for record in itertools.islice(records, 50)] == list(range(50))


@pytest.mark.parametrize("regime", [Replace(0.0), Augment(0.0)], ids=repr)
def test_a_control_that_needs_no_samples_makes_n_of_them(regime):
    pool = Pool(real_rows(0))
    records = list(generations(GaussianMLE(), pool, regime, rounds=3))
    assert pool.sizes == [N] * 4
    assert all(record["n_synthetic"] == 0 for record in records)


def test_more_samples_than_the_regime_needs_may_be_asked_for():
    pool = Pool(real_rows(0))
    list(generations(GaussianMLE(), pool, Replace(0.5), rounds=2, samples_per_round=33))
    assert pool.sizes == [N, 33, 33]


def test_a_run_is_the_same_twice_and_another_by_another_seed():
    runs = []
    for seed in (0, 0, 1):
        pool = Pool(real_rows(0), seed=seed)
        list(generations(GaussianMLE(), pool, AccumulateSubsample(N), rounds=4, seed=seed))
        runs.append(pool[torch.arange(len(pool))])
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])


@pytest.mark.parametrize("regime", [Replace(), Turnover(0.5), AccumulateSubsample(N)], ids=repr)
def test_a_pool_that_has_been_through_rounds_is_gone_on_with(regime):
    metrics = [Spread()]
    whole = Pool(real_rows(0))
    records = list(generations(GaussianMLE(), whole, regime, metrics, rounds=5))
    cut = Pool(real_rows(0))
    first = list(generations(GaussianMLE(), cut, regime, metrics, rounds=2))
    again = Pool(cut[torch.arange(N)])
    for b in (1, 2):
        again.deposit(cut[(cut.born == b).nonzero().squeeze(1)])
    rest = list(generations(GaussianMLE(), again, regime, metrics, rounds=5))
    assert first + rest == records


def test_a_round_that_nobody_went_beyond_is_not_deposited():
    pool = Pool(real_rows(0))
    for record in generations(GaussianMLE(), pool, Replace(), rounds=5):
        if record["round"] == 2:
            break
    assert pool.round == 2


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rows_keep_their_type(dtype):
    pool = Pool(real_rows(0).to(dtype))
    list(generations(GaussianMLE(), pool, Accumulate(), rounds=3))
    assert pool[torch.arange(len(pool))].dtype == dtype


@pytest.mark.parametrize(
    ("regime", "options", "message"),
    [
        (Replace(), {"rounds": 0}, "rounds = 0: must be at least 1"),
        (Replace(), {"rounds": -3}, "rounds = -3: must be at least 1"),
        (Replace(0.0), {"samples_per_round": 0}, "samples_per_round = 0: must be at least 1"),
        (Replace(0.0), {"samples_per_round": -3}, "samples_per_round = -3: must be at least 1"),
        (Replace(), {"samples_per_round": 19}, "samples_per_round = 19: the regime needs 20"),
        (Fresh(0.5, 10), {"rounds": 4}, "regime = .*: round 3 needs 25 real rows, of 20"),
        (
            AccumulateSubsample(90),
            {"samples_per_round": 5},
            "regime = .*: round 1 draws 90 of",
        ),
    ],
)
def test_what_cannot_be_satisfied_is_refused_before_anything_is_fitted(regime, options, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        next(generations(Untouched(), Pool(real_rows(0)), regime, **options))


# The learner


def test_the_gaussian_is_that_of_maximum_likelihood():
    rows = real_rows(0, n=50) @ real_rows(1, n=D)
    learner = GaussianMLE()
    learner.fit(rows)
    torch.testing.assert_close(learner.mean, rows.mean(0))
    torch.testing.assert_close(learner.covariance, torch.cov(rows.T, correction=0))


def test_its_samples_have_its_moments():
    learner, n = GaussianMLE(), 20_000
    learner.fit(real_rows(0, n=50) @ real_rows(1, n=D) + 3)
    samples = learner.sample(n, generator(0, "sample"))
    spread = learner.covariance.diagonal().sqrt()
    assert ((samples.mean(0) - learner.mean) / spread).abs().max() < 4 / n**0.5
    error = torch.cov(samples.T) - learner.covariance
    assert (error / torch.outer(spread, spread)).abs().max() < 4 * (2 / n) ** 0.5


def test_a_flat_gaussian_is_sampled_in_its_plane():
    """Fewer rows than dimensions: the covariance is singular, and no sample leaves the rows'."""
    rows, learner = real_rows(0, n=3), GaussianMLE()
    learner.fit(rows)
    off = learner.sample(100, generator(0, "sample")) - rows.mean(0)
    plane = torch.linalg.svd(rows - rows.mean(0)).Vh[:2]
    torch.testing.assert_close(off @ plane.T @ plane, off)
    learner.fit(rows[:1])
    assert torch.equal(learner.sample(5, generator(0, "sample")), rows[:1].expand(5, D))
