"""Which classes samples are of, by a classifier of real rows, and how far these lie apart."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lightning_collapse.metrics.measure import Figure, Measure, RealRows, Sample

__all__ = ["Classes", "miller_madow"]

_RATIOS = ("class_shares", "class_entropy", "intra_class_ratio", "inter_class_ratio")
_SURE = 0.9


@dataclass(frozen=True)
class Classes(Measure):
    """Classes of the first n samples, told by a logistic regression on n real training rows.

    It is fitted once a run, on standardised features. Figures: `class_shares`, the share of
    samples of each class, in order; `class_entropy` of these, in nats, with Miller and Madow's
    correction; `intra_class_ratio`, the mean distance of samples to the mean of their class over
    the same of real training rows, and `inter_class_ratio`, the mean distance between class means
    over the same, both by told classes, of classes that both have; `classifier_accuracy`, of
    held-out rows. All are null where real rows have no labels, or one class.
    """

    has_step: ClassVar[bool] = False

    def figures(self, samples: Sample, real: RealRows) -> dict[str, Figure]:
        told: dict[str, Figure] = dict.fromkeys((*_RATIOS, "classifier_accuracy"))
        if real.labels is None or len(real.labels.bincount().nonzero()) < 2:
            return told
        known = real.once("Classes.known", _Known)
        labels = known.classify(samples.features)
        counts = torch.bincount(labels, minlength=known.n_classes)
        told["class_shares"] = (counts.double() / len(labels)).tolist()
        told["class_entropy"] = miller_madow(counts)
        both = [c for c in range(known.n_classes) if min(counts[c], known.counts[c]) > 0]
        mine = _apart(samples.features, labels, both)
        theirs = _apart(known.features, known.labels, both)
        for name, own, of_real in zip(_RATIOS[2:], mine, theirs, strict=True):
            told[name] = own / of_real if of_real > 0 else None
        told["classifier_accuracy"] = known.accuracy
        return told

    def caution(self, figure: str, n: int) -> str:
        if figure == "class_entropy":
            return "bias of 1/n corrected; needs labels of real rows, of 2 classes"
        return "needs labels of real rows, of 2 classes; biased: compare at equal n"

    def doubts(self, figures: Mapping[str, Figure], samples: Sample) -> dict[str, str]:
        accuracy = figures["classifier_accuracy"]
        if not isinstance(accuracy, float) or accuracy >= _SURE:
            return {}
        why = f"by a classifier that is right of {accuracy:.0%} of held-out rows"
        return {name: why for name in _RATIOS if figures[name] is not None}


def miller_madow(counts: Tensor) -> float:
    """Gives the entropy of a distribution from counts (K,), in nats, corrected for n.

    Source: Miller 1955: (classes seen - 1) / 2n is added.
    """
    n = int(counts.sum())
    shares = counts.double() / n
    return float(torch.special.entr(shares).sum()) + (int((counts > 0).sum()) - 1) / (2 * n)


class _Known:
    """A classifier, and the real training rows as it sees them."""

    def __init__(self, real: RealRows) -> None:
        # Not above: scikit-learn takes a second to import.
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        assert real.labels is not None
        self.features = real.features
        self._classifier: Any = make_pipeline(StandardScaler(), LogisticRegression(max_iter=200))
        with warnings.catch_warnings():
            # Of a fit that could go on: how good it is, is told.
            warnings.simplefilter("ignore")
            self._classifier.fit(_numbers(self.features), real.labels.numpy())
        self.classes = torch.from_numpy(self._classifier.classes_)
        self.n_classes = len(self.classes)
        self.labels = self.classify(self.features)
        self.counts = torch.bincount(self.labels, minlength=self.n_classes)
        held_out = real.held_out
        self.accuracy: float | None = None
        if held_out is not None and held_out.labels is not None:
            right = self.classes[self.classify(held_out.features)] == held_out.labels
            self.accuracy = float(right.double().mean())

    def classify(self, features: Tensor) -> Tensor:
        """Gives the place of each row's class (n,) among `classes`."""
        told = torch.from_numpy(self._classifier.predict(_numbers(features)))
        return torch.searchsorted(self.classes, told)


def _numbers(features: Tensor) -> NDArray[np.float64]:
    return features.double().numpy()


def _apart(features: Tensor, labels: Tensor, classes: list[int]) -> tuple[float, float]:
    """Mean distance of rows to the mean of their class, and that between class means."""
    if not classes:
        return 0.0, 0.0
    parts = [features[labels == c].double() for c in classes]
    means = torch.stack([part.mean(0) for part in parts])
    within = torch.cat([(part - m).norm(dim=1) for part, m in zip(parts, means, strict=True)])
    between = torch.pdist(means)
    return float(within.mean()), float(between.mean()) if len(between) else 0.0
