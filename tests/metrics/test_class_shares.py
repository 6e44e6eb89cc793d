import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from lightning_collapse.metrics.classes import Classes, miller_madow
from lightning_collapse.metrics.measure import RealRows, Sample
from lightning_collapse.seeds import generator


def digits():
    x, y = load_digits(return_X_y=True)
    order = torch.randperm(len(x), generator=generator(0, "digits"))
    return torch.from_numpy(x).float()[order], torch.from_numpy(y)[order]


def sample(x, labels=None):
    return Sample(x, x, "pixels", "fd_pixels", labels=labels)


@pytest.fixture(scope="module")
def real():
    x, y = digits()
    return RealRows(sample(x[:400], y[:400]), sample(x[400:800], y[400:800]))


def test_figures_are_those_of_scikit_learns_classifier(real):
    x, _ = digits()
    x = 0.7 * x[800:1200]
    told = Classes().figures(sample(x), real)
    scale = StandardScaler().fit(real.features)
    fitted = LogisticRegression(max_iter=200).fit(scale.transform(real.features), real.labels)

    def apart(rows):
        classes = fitted.predict(scale.transform(rows))
        parts = [rows.numpy().astype(float)[classes == c] for c in range(10)]
        means = np.stack([part.mean(0) for part in parts])
        inner = [np.linalg.norm(p - m, axis=1) for p, m in zip(parts, means, strict=True)]
        between = np.linalg.norm(means[:, None] - means, axis=2)
        return np.concatenate(inner).mean(), between.sum() / 90, np.bincount(classes) / len(rows)

    (inner, outer, shares), (real_inner, real_outer, _) = apart(x), apart(real.features)
    assert told["class_shares"] == pytest.approx(shares.tolist())
    assert told["intra_class_ratio"] == pytest.approx(inner / real_inner, rel=1e-6)
    assert told["inter_class_ratio"] == pytest.approx(outer / real_outer, rel=1e-6)
    right = fitted.predict(scale.transform(real.held_out.features)) == real.held_out.labels.numpy()
    assert told["classifier_accuracy"] == right.mean() > 0.9
    assert Classes().doubts(told, sample(x)) == {}


def test_one_class_that_is_left_has_no_entropy_and_no_distance_to_others(real):
    x = real.features[real.labels == 3]
    told = Classes().figures(sample(x[:1].expand(9, -1)), real)
    assert told["class_shares"][3] == 1 and told["class_entropy"] == 0
    assert told["intra_class_ratio"] == 0 and told["inter_class_ratio"] is None


def test_a_classifier_that_is_often_wrong_is_told_with_its_figures():
    x, y = torch.randn(60, 3, generator=generator(0)), torch.arange(60) % 3
    real = RealRows(sample(x[:30], y[:30]), sample(x[30:], y[30:]))
    told = Classes().figures(sample(x), real)
    doubts = Classes().doubts(told, sample(x))
    assert set(doubts) == set(told) - {"classifier_accuracy"}
    assert doubts["class_entropy"].startswith("by a classifier that is right of ")


def test_without_labels_there_are_no_classes(real):
    x = real.features
    for labels in (None, torch.zeros(len(x), dtype=torch.int64)):
        told = Classes().figures(sample(x), RealRows(sample(x, labels), None))
        assert set(told.values()) == {None}


def test_the_entropy_is_less_biased_than_the_plain_one():
    random = generator(0, "multinomial")
    draws = torch.multinomial(torch.ones(300, 10), 25, replacement=True, generator=random)
    counts = [torch.bincount(draw, minlength=10) for draw in draws]
    told = np.mean([miller_madow(c) for c in counts])
    plain = np.mean([float(torch.special.entr(c.double() / 25).sum()) for c in counts])
    assert abs(told - np.log(10)) < 0.2 * abs(plain - np.log(10))
