"""Metrics of torchmetrics by their class: the same numbers as ours, without any network."""

from functools import partial

import pytest
import torch
from torchmetrics import Metric
from torchmetrics import image as theirs

from lightning_collapse.metrics.features import Pixels
from lightning_collapse.metrics.frechet import frechet_distance_of_rows
from lightning_collapse.metrics.kernel import kernel_distance
from lightning_collapse.metrics.measure import RealRows, Sample
from lightning_collapse.metrics.torch_metrics import TorchMetric, as_measures
from lightning_collapse.seeds import generator

N = 60


def sample(*path, side=4, n=N):
    noise = torch.randn(n, 1, side, side, generator=generator(0, *path))
    rows = (128 + 40 * noise + 20 * len(path)).clamp(0, 255).to(torch.uint8)
    return Sample(rows, Pixels()(rows), "pixels", "fd_pixels")


def told(make, a=None, b=None):
    (measure,) = as_measures([make])
    return measure.figures(a or sample("a"), RealRows(b or sample("b", "b"), None))


def test_the_kernel_distance_is_ours():
    make = partial(theirs.KernelInceptionDistance, subsets=1, subset_size=N)
    expected = kernel_distance(sample("a").features, sample("b", "b").features, 1, N)
    figures = told(make)
    assert list(figures) == [f"KernelInceptionDistance_pixels_{part}" for part in ("mean", "std")]
    assert list(figures.values()) == pytest.approx(expected, rel=1e-4, abs=1e-7)


def test_the_frechet_distance_is_ours():
    expected = frechet_distance_of_rows(sample("a").features, sample("b", "b").features)
    (figure,) = told(theirs.FrechetInceptionDistance).items()
    assert figure == ("FrechetInceptionDistance_pixels", pytest.approx(expected, rel=1e-4))


def test_subsets_fit_the_rows_and_are_the_same_every_time():
    state = torch.random.get_rng_state()
    figures = told(theirs.KernelInceptionDistance)
    assert figures == told(theirs.KernelInceptionDistance)
    assert torch.equal(state, torch.random.get_rng_state())
    mean, spread = kernel_distance(sample("a").features, sample("b", "b").features, 100, N // 2)
    assert list(figures.values()) == pytest.approx([mean, spread], rel=0.3)


def test_pairs_of_images_are_of_equal_index():
    a, b = sample("a", side=16), sample("b", "b", side=16)
    (figure,) = told(partial(theirs.PeakSignalNoiseRatio, data_range=2.0), a, b).items()
    error = (Pixels()(a.rows).double() - Pixels()(b.rows).double()).square().mean()
    expected = 10 * torch.log10(4 / error)
    assert figure == ("PeakSignalNoiseRatio", pytest.approx(float(expected), rel=1e-5))


def test_a_metric_of_one_set_takes_the_samples():
    a = sample("a")
    (figure,) = told(partial(theirs.TotalVariation, reduction="mean")).items()
    x = Pixels()(a.rows).reshape(N, 4, 4).double()
    expected = (x.diff(dim=1).abs().sum() + x.diff(dim=2).abs().sum()) / N
    assert figure == ("TotalVariation", pytest.approx(float(expected), rel=1e-4))


class Parts(Metric):
    """Several results, by name."""

    def update(self, imgs, real):
        pass

    def compute(self):
        return {"few": torch.ones(3), "one": torch.tensor(2)}


def test_results_by_name_and_of_several_numbers_have_figures_of_their_own():
    assert told(Parts) == {"Parts_pixels_few": [1, 1, 1], "Parts_pixels_one": 2}


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (theirs.InceptionScore, "InceptionScore: takes a classifier's logits"),
        (theirs.PeakSignalNoiseRatio, "PeakSignalNoiseRatio: "),
        (theirs.StructuralSimilarityIndexMeasure, "StructuralSimilarityIndexMeasure: "),
        (theirs.QualityWithNoReference, "QualityWithNoReference: "),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(make, says):
    points = Sample(torch.zeros(9, 2), torch.zeros(9, 2), "points", "fd_points")
    with pytest.raises(ValueError, match=f"^measures: {says}"):
        told(make, points, points)


def test_a_space_of_its_own_may_be_named():
    assert TorchMetric(make=Parts, features=Pixels(2)).features == Pixels(2)
