import numpy as np
import pytest
import torch

from lightning_collapse.metrics.features import Pixels, Points
from lightning_collapse.metrics.frechet import frechet_distance
from lightning_collapse.metrics.summary import RealStatistics, SampleStatistics
from lightning_collapse.seeds import generator

IMAGES, POINTS = "images", "points"
BOTH = pytest.mark.parametrize("kind", [IMAGES, POINTS])


def rows(kind, n, *path):
    shape = (n, 1, 4, 4) if kind == IMAGES else (n, 3)
    x = torch.randn(shape, generator=generator(0, kind, *path)) * 0.3
    return (x * 127.5 + 128).clamp(0, 255).to(torch.uint8) if kind == IMAGES else x


def real_statistics(kind, n=300, held_out=40):
    features = Pixels() if kind == IMAGES else Points()
    return RealStatistics(rows(kind, n, "real"), rows(kind, held_out, "held out"), features)


def record_of(real, samples, fd_rows, blocks=None):
    """The record of samples seen in blocks of the given sizes."""
    statistics, start = SampleStatistics(real, fd_rows), 0
    for block in torch.split(samples, blocks or len(samples)):
        statistics.update(block, start)
        start += len(block)
    return statistics.record()


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
    record = record_of(real_statistics(kind), samples, fd_rows=25)
    x, ref = units(samples), units(train)
    where = ref.mean(0), ref.std(0, ddof=1)
    expected = moments_of(x, *where)
    expected |= {f"real_{name}": value for name, value in moments_of(ref, *where).items()}
    name = "fd_pixels" if kind == IMAGES else "fd_points"
    expected |= {
        name: distance(samples[:25], train),
        f"{name}_floor": distance(rows(kind, 40, "held out")[:25], train),
        "fd_n": 25,
        "fd_floor_extrapolated": False,
    }
    assert record == pytest.approx(expected, rel=1e-5)
    assert list(record) == list(expected)


@BOTH
@pytest.mark.parametrize("blocks", [1, 7, [30, 1, 39], 69])
def test_samples_may_come_in_any_blocks(kind, blocks):
    real, samples = real_statistics(kind), rows(kind, 70, "samples")
    whole = record_of(real, samples, fd_rows=25)
    assert record_of(real, samples, 25, blocks) == pytest.approx(whole, rel=1e-9)


@BOTH
@pytest.mark.parametrize(
    "parts", [[[0, 35], [35, 70]], [[0, 3], [20, 70], [3, 20]], [[0, 70], []]]
)
def test_parts_of_several_processes_merge_to_the_whole(kind, parts):
    """Each process measures its own shards; a process may have none."""
    real, samples = real_statistics(kind), rows(kind, 70, "samples")
    merged = SampleStatistics(real, fd_rows=25)
    for part in parts:
        one = SampleStatistics(real, fd_rows=25)
        if part:
            one.update(samples[slice(*part)], part[0])
        merged.merge(one)
    assert merged.record() == pytest.approx(record_of(real, samples, 25), rel=1e-9)


@BOTH
def test_the_distance_is_that_of_the_first_samples_alone(kind):
    real, samples = real_statistics(kind), rows(kind, 70, "samples")
    name = f"fd_{real.features.name}"
    other = samples.clone()
    other[25:] = samples[:45]
    first, again = record_of(real, samples, 25, 10), record_of(real, other, 25, 10)
    assert first[name] == again[name]
    assert first["mean"] != again["mean"]
    assert record_of(real, samples, 26)[name] != first[name]


@BOTH
def test_the_number_behind_a_distance_is_the_true_one(kind):
    """Fewer samples than asked for are said to be fewer, and have the floor of fewer."""
    real, samples = real_statistics(kind), rows(kind, 20, "samples")
    assert record_of(real, samples, fd_rows=30) == record_of(real, samples, fd_rows=20)


@BOTH
def test_samples_that_are_the_real_rows_have_no_distance(kind):
    real, train = real_statistics(kind), rows(kind, 300, "real")
    record = record_of(real, train, fd_rows=300)
    assert record[f"fd_{real.features.name}"] == pytest.approx(0, abs=1e-9)
    for name in ("mean", "variance", "total_variance", "mass_center", "mass_tails"):
        assert record[name] == pytest.approx(record[f"real_{name}"])


@BOTH
def test_the_floor_beyond_the_held_out_rows_is_extrapolated_and_marked(kind):
    real = real_statistics(kind, held_out=40)
    at_20, at_40 = real.floor(20), real.floor(40)
    # A straight line in 1/n through both: at n = 60, a third of the way on.
    assert real.floor(60) == pytest.approx(at_40 + (at_40 - at_20) / 3)
    assert at_20 > at_40 > real.floor(60) > real.floor(70)
    samples = rows(kind, 70, "samples")
    for n, marked in [(39, False), (40, False), (41, True), (70, True)]:
        record = record_of(real, samples, n)
        assert record["fd_floor_extrapolated"] is marked
        assert record[f"fd_{real.features.name}_floor"] == real.floor(n)


def test_the_extrapolated_floor_is_near_the_measured_one():
    """With enough held-out rows, the law in 1/n holds."""
    held_out = rows(POINTS, 4000, "held out")
    train = rows(POINTS, 20_000, "real")
    few = RealStatistics(train, held_out[:1000], Points())
    many = RealStatistics(train, held_out, Points())
    assert few.floor(4000) == pytest.approx(many.floor(4000), abs=3 * 0.09 * 3 / 1000)


@pytest.mark.parametrize("held_out", [2, 3])
def test_two_held_out_rows_are_enough(held_out):
    real = real_statistics(POINTS, held_out=held_out)
    assert real.floor(2) >= 0
    assert real.floor(1000) >= 0


@BOTH
def test_a_collapsed_model_is_measured(kind):
    """All samples the same: no variance, a finite distance."""
    real, samples = real_statistics(kind), rows(kind, 1, "samples").repeat_interleave(30, 0)
    record = record_of(real, samples, fd_rows=30)
    assert record["total_variance"] == 0
    assert record[f"fd_{real.features.name}"] > record[f"fd_{real.features.name}_floor"]
