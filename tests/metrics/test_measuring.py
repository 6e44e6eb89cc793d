import numpy as np
import pytest
import torch
from prdc import compute_prdc

from lightning_collapse.metrics.coverage import Balls
from lightning_collapse.metrics.families import ALWAYS, DEFAULT, joined
from lightning_collapse.metrics.features import Pixels, Points
from lightning_collapse.metrics.frechet import frechet_distance
from lightning_collapse.metrics.measure import Measure
from lightning_collapse.metrics.measuring import Measuring, record_of
from lightning_collapse.metrics.real import RealData
from lightning_collapse.seeds import generator

IMAGES, POINTS = "images", "points"
BOTH = pytest.mark.parametrize("kind", [IMAGES, POINTS])


def rows(kind, n, *path):
    shape = (n, 1, 4, 4) if kind == IMAGES else (n, 3)
    x = torch.randn(shape, generator=generator(0, kind, *path)) * 0.3
    return (x * 127.5 + 128).clamp(0, 255).to(torch.uint8) if kind == IMAGES else x


def measuring(kind, fd_rows, *measures, n=300, held_out=40, n_samples=70):
    features = Pixels() if kind == IMAGES else Points()
    train, other = rows(kind, n, "real"), rows(kind, held_out, "held out")
    real = RealData(train, other, 5_000)
    return Measuring([*ALWAYS, *measures], real, features, n_samples, summed=fd_rows)


def told(made, seen, before=None, **known):
    record = record_of(list(made.figures(seen, before, **known)))
    assert record.pop("n_nonfinite") == 0
    assert record.pop("collapsed") in (None, "constant")
    return record


def seen_of(made, samples, blocks=None):
    """What is seen of samples in blocks of the given sizes."""
    seen, start = made.seen(), 0
    for block in torch.split(samples, blocks or len(samples)):
        seen.update(start, block)
        start += len(block)
    return seen


def record_of_samples(kind, samples, fd_rows, blocks=None, **options):
    made = measuring(kind, fd_rows, n_samples=len(samples), **options)
    record = told(made, seen_of(made, samples, blocks))
    assert record.pop("measured_rows") == {}
    # Of two points in three dimensions.
    assert record.pop("cautions").keys() <= {"fd_points"}
    return record


def units(x):
    x = x.flatten(1).numpy()
    return x.astype(np.float64) / 127.5 - 1 if x.dtype == np.uint8 else x.astype(np.float64)


def moments_of(x, mean, std):
    """What a record says of x (n, d), in plain numpy."""
    off = np.abs(x - mean)
    return {
        "mean": x.mean(),
        "variance": x.var(),
        "total_variance": np.trace(np.cov(x.T)),
        "mass_center": (off <= 0.5 * std).mean(),
        "mass_tails": (off > 2 * std).mean(),
    }


def distance(samples, real):
    x, ref = torch.from_numpy(units(samples)), torch.from_numpy(units(real))
    return frechet_distance(x.mean(0), torch.cov(x.T), ref.mean(0), torch.cov(ref.T))


@BOTH
def test_figures_are_those_of_numpy(kind):
    train, samples = rows(kind, 300, "real"), rows(kind, 70, "samples")
    record = record_of_samples(kind, samples, 25)
    x, ref = units(samples), units(train)
    where = ref.mean(0), ref.std(0, ddof=1)
    expected = moments_of(x, *where)
    expected |= {f"real_{name}": value for name, value in moments_of(ref, *where).items()}
    name = "fd_pixels" if kind == IMAGES else "fd_points"
    apart, whole = (units(samples[:25]).mean(0) - ref.mean(0)), distance(samples[:25], train)
    expected |= {
        name: whole,
        f"{name}_mean": apart @ apart,
        f"{name}_cov": whole - apart @ apart,
        f"{name}_floor": distance(rows(kind, 40, "held out")[:25], train),
        "fd_n": 25,
        "fd_floor_extrapolated": False,
    }
    assert record == pytest.approx(expected, rel=1e-5)
    assert list(record) == list(expected)


@BOTH
@pytest.mark.parametrize("blocks", [1, 7, [30, 1, 39], 69])
def test_samples_may_come_in_any_blocks(kind, blocks):
    samples = rows(kind, 70, "samples")
    whole = record_of_samples(kind, samples, 25)
    assert record_of_samples(kind, samples, 25, blocks) == pytest.approx(whole, rel=1e-9)


@BOTH
@pytest.mark.parametrize(
    "parts", [[[0, 35], [35, 70]], [[0, 3], [20, 70], [3, 20]], [[0, 70], []]]
)
def test_parts_of_several_processes_merge_to_the_whole(kind, parts):
    """Each process measures its own shards; a process may have none."""
    made, samples = measuring(kind, 25, Balls()), rows(kind, 70, "samples")
    merged = made.seen()
    for part in parts:
        one = made.seen()
        if part:
            one.update(part[0], samples[slice(*part)])
        merged.merge(one)
    whole = told(made, seen_of(made, samples))
    record = told(made, merged)
    assert record.pop("measured_rows") == whole.pop("measured_rows") == {"Balls": 40}
    assert record.pop("cautions") == whole.pop("cautions") == {}
    assert {n for n, v in record.items() if v is None} == {n for n in whole if whole[n] is None}
    numbers = {name: value for name, value in record.items() if value is not None}
    assert numbers == pytest.approx({name: whole[name] for name in numbers}, rel=1e-9)


@BOTH
def test_the_distance_is_that_of_the_first_samples_alone(kind):
    samples = rows(kind, 70, "samples")
    name = f"fd_{kind.replace('images', 'pixels')}"
    other = samples.clone()
    other[25:] = samples[:45]
    first = record_of_samples(kind, samples, 25, 10)
    again = record_of_samples(kind, other, 25, 10)
    assert first[name] == again[name]
    assert first["mean"] != again["mean"]
    assert record_of_samples(kind, samples, 26)[name] != first[name]


@BOTH
def test_the_number_behind_a_distance_is_the_true_one(kind):
    """Fewer samples than asked for are said to be fewer, and have the floor of fewer."""
    samples = rows(kind, 20, "samples")
    assert record_of_samples(kind, samples, 30) == record_of_samples(kind, samples, 20)


@BOTH
def test_samples_that_are_the_real_rows_have_no_distance(kind):
    record = record_of_samples(kind, rows(kind, 300, "real"), 300)
    assert record[f"fd_{kind.replace('images', 'pixels')}"] == pytest.approx(0, abs=1e-9)
    for name in ("mean", "variance", "total_variance", "mass_center", "mass_tails"):
        assert record[name] == pytest.approx(record[f"real_{name}"])


@BOTH
def test_the_floor_beyond_the_held_out_rows_is_extrapolated_and_marked(kind):
    name = f"fd_{kind.replace('images', 'pixels')}_floor"
    samples = rows(kind, 70, "samples")
    records = {n: record_of_samples(kind, samples, n) for n in (20, 39, 40, 41, 60, 70)}
    floors = {n: record[name] for n, record in records.items()}
    # A straight line in 1/n through both: at n = 60, a third of the way on.
    assert floors[60] == pytest.approx(floors[40] + (floors[40] - floors[20]) / 3)
    assert floors[20] > floors[40] > floors[60] > floors[70]
    for n, record in records.items():
        assert record["fd_floor_extrapolated"] is (n > 40)


def test_the_extrapolated_floor_is_near_the_measured_one():
    """With enough held-out rows, the law in 1/n holds."""
    samples = rows(POINTS, 4000, "samples")
    few, many = (
        record_of_samples(POINTS, samples, 4000, n=20_000, held_out=h)["fd_points_floor"]
        for h in (1000, 4000)
    )
    assert few == pytest.approx(many, abs=3 * 0.09 * 3 / 1000)


@pytest.mark.parametrize("held_out", [2, 3])
def test_two_held_out_rows_are_enough(held_out):
    samples = rows(POINTS, 1000, "samples")
    for n in (2, 1000):
        record = record_of_samples(POINTS, samples, n, held_out=held_out)
        assert record["fd_points_floor"] >= 0


@BOTH
def test_a_collapsed_model_is_measured(kind):
    """All samples the same: no variance, a finite distance."""
    record = record_of_samples(kind, rows(kind, 1, "samples").repeat_interleave(30, 0), 30)
    name = f"fd_{kind.replace('images', 'pixels')}"
    assert record["total_variance"] == 0
    assert record[name] > record[f"{name}_floor"]


# The seam: rows, floors and steps are the framework's


class Radius(Measure):
    """As a user writes one."""

    def figures(self, samples, real):
        return {
            f"radius_{samples.space}": float((samples.features - real.features.mean(0)).norm())
        }


def radius(x, real):
    return float((x - real.mean(0)).norm())


@BOTH
def test_a_measure_has_a_floor_and_a_step_by_the_first_n_rows(kind):
    made = measuring(kind, 25, Radius(rows=30))
    samples, before = rows(kind, 70, "samples"), rows(kind, 70, "before")
    record = told(made, seen_of(made, samples, 16), seen_of(made, before, 16))
    x, y, real, held_out = (
        torch.from_numpy(units(part)[:30]).float()
        for part in (samples, before, rows(kind, 300, "real"), rows(kind, 40, "held out"))
    )
    name = f"radius_{kind.replace('images', 'pixels')}"
    assert record[name] == pytest.approx(radius(x, real), rel=1e-4)
    assert record[f"{name}_floor"] == pytest.approx(radius(held_out, real), rel=1e-4)
    assert record[f"{name}_step"] == pytest.approx(radius(x, y), rel=1e-4)
    assert record["measured_rows"] == {"Radius": 30}
    assert told(made, seen_of(made, samples))[f"{name}_step"] is None


def test_a_step_is_from_as_many_as_the_round_before_has():
    """Which may be fewer, where n_samples was raised in between."""
    made = measuring(POINTS, 25, Radius(rows=30))
    samples, before = rows(POINTS, 70, "samples"), rows(POINTS, 9, "before")
    record = told(made, seen_of(made, samples), seen_of(made, before))
    assert record["radius_points_step"] == pytest.approx(radius(samples[:30], before), rel=1e-5)


def test_n_is_that_of_the_smallest_set():
    for options in ({"held_out": 11}, {"n_samples": 11}, {"n": 11}):
        made = measuring(POINTS, 5, Radius(), **options)
        samples = rows(POINTS, options.get("n_samples", 70), "samples")
        assert told(made, seen_of(made, samples))["measured_rows"] == {"Radius": 11}


def test_measures_may_be_of_several_spaces():
    side = Radius(features=Pixels(2), rows=9)
    made = measuring(IMAGES, 25, Radius(rows=20), side)
    record = told(made, seen_of(made, rows(IMAGES, 70, "samples"), 7))
    x, real = (
        Pixels(2)(rows(IMAGES, n, name))[:9] for n, name in [(70, "samples"), (300, "real")]
    )
    assert record["radius_pixels2"] == pytest.approx(radius(x, real), rel=1e-5)
    assert record["radius_pixels"] != record["radius_pixels2"]


class Halves(Radius):
    splits_held_out = True

    def figures(self, samples, real):
        together = torch.cat([samples.features, real.held_out.features])
        return {"rows": len(together), "apart": float(together.unique(dim=0).shape[0])}


def test_a_measure_that_uses_held_out_rows_has_a_floor_of_halves():
    made = measuring(POINTS, 25, Halves())
    record = told(made, seen_of(made, rows(POINTS, 70, "samples")))
    assert (record["rows"], record["rows_floor"], record["apart_floor"]) == (80, 40, 40)


class Fitted(Radius):
    made = 0

    def figures(self, samples, real):
        def fit(rows):
            Fitted.made += 1
            return float(rows.features.mean())

        return {"fitted": real.once("Fitted", fit)}


def test_what_is_fitted_once_is_of_the_real_rows_in_steps_too():
    made, samples = measuring(POINTS, 25, Fitted()), rows(POINTS, 70, "samples")
    record = told(made, seen_of(made, samples), seen_of(made, samples + 1))
    assert record["fitted"] == record["fitted_floor"] == record["fitted_step"]
    assert Fitted.made == 1


def test_what_cannot_be_told_is_null_with_its_reason():
    made = measuring(POINTS, 5, Balls(k=9), held_out=8)
    record = told(made, seen_of(made, rows(POINTS, 70, "samples")))
    assert record["recall_points"] is record["recall_points_floor"] is None
    assert record["cautions"]["recall_points"] == "needs more rows than its 9 neighbours"


def test_two_figures_of_one_name_are_refused_at_the_start():
    with pytest.raises(ValueError, match="^measures: coverage_points is a figure of two of"):
        measuring(POINTS, 5, Balls(), Balls(k=3))


@BOTH
def test_balls_are_those_of_the_first_rows(kind):
    made, samples = measuring(kind, 25, Balls(k=3)), rows(kind, 70, "samples")
    record = told(made, seen_of(made, samples, 16))
    features = Pixels() if kind == IMAGES else Points()
    x, y = features(samples)[:40], features(rows(kind, 300, "real"))[:40]
    for name, value in compute_prdc(y.numpy(), x.numpy(), nearest_k=3).items():
        assert record[f"{name}_{features.name}"] == pytest.approx(value, abs=1e-12)


def test_a_named_measure_stands_for_the_usual_one_of_its_class_and_space():
    mine, elsewhere = Balls(k=3), Balls(features=Pixels(2))
    chosen = joined(DEFAULT, [mine, elsewhere])
    assert [measure for measure in chosen if isinstance(measure, Balls)] == [mine, elsewhere]
    assert {type(measure) for measure in DEFAULT} == {type(measure) for measure in chosen}
    assert joined(DEFAULT, [elsewhere]) == [*DEFAULT, elsewhere]


def test_a_distance_of_fewer_rows_than_dimensions_is_doubted():
    samples = rows(IMAGES, 15, "samples")
    made = measuring(IMAGES, 15, n_samples=15)
    record = told(made, seen_of(made, samples))
    assert record["cautions"] == {"fd_pixels": "of 15 rows in 16 dimensions: mostly bias"}


@BOTH
def test_the_usual_measures_together_tell_of_a_collapse(kind):
    """None of them fails on samples that are all the same, and what they tell is finite."""
    made, real = measuring(kind, 40, *DEFAULT), rows(kind, 1, "samples").repeat_interleave(70, 0)
    record = told(made, seen_of(made, real), seen_of(made, real))
    name = "pixels" if kind == IMAGES else "points"
    assert record[f"effective_rank_{name}"] is record[f"participation_{name}"] is None
    assert record[f"trace_ratio_{name}"] == 0 and record[f"mmd_z_{name}"] > 5
    assert record[f"coverage_{name}"] < 0.3 < record[f"coverage_{name}_floor"]
    # Labels are needed.
    assert record["class_entropy"] is None and "labels" in record["cautions"]["class_entropy"]
    for value in record.values():
        assert not isinstance(value, float) or np.isfinite(value)


class Infinite(Measure):
    def figures(self, samples, real):
        return {"much": float("inf"), "nothing": float("nan"), "some": 1.0}


def test_a_figure_that_is_not_finite_says_so():
    made = measuring(POINTS, 25, Infinite())
    record = told(made, seen_of(made, rows(POINTS, 70, "samples")))
    assert record["cautions"] == {"much": "is inf", "nothing": "is nan"}
