"""Selection by a discriminator, which is trained to tell samples from real rows."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lightning_collapse.curators.curator import KeepsShare, Offer, best, features_of
from lightning_collapse.metrics.features import Features

__all__ = ["ByDiscriminator"]


@dataclass(frozen=True)
class ByDiscriminator(KeepsShare):
    """Keeps the share of the samples that a logistic regression takes most for real.

    It is fitted to all samples and real rows, both sides weighing the same, in standardised
    features and, where they are at most 100, their squares and products: a mean and a covariance
    that are off are then seen. It sees all real rows, also those that the regime leaves out.

    Attributes:
        keep: share of the samples, in (0, 1].
        penalty: scikit-learn's C, the inverse of the penalty on the coefficients, above 0.
        features: in which rows are compared; default: pixels in network units, points as they are.

    Raises:
        ValueError: one of them is out of its range.
    """

    keep: float = 0.5
    penalty: float = 1.0
    features: Features | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.penalty < float("inf"):
            raise ValueError(f"penalty = {self.penalty}: must be a finite number > 0")

    def weights(self, offer: Offer) -> Tensor:
        # Not above: scikit-learn takes a second to import.
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import PolynomialFeatures, StandardScaler

        samples = features_of(offer.samples, self.features).numpy()
        real = features_of(offer.real, self.features).numpy()
        products = [PolynomialFeatures(2, include_bias=False)] if samples.shape[1] <= 100 else []
        regression = LogisticRegression(C=self.penalty, class_weight="balanced", max_iter=1000)
        model = make_pipeline(StandardScaler(), *products, StandardScaler(), regression)
        is_real = np.repeat([0, 1], [len(samples), len(real)])
        model.fit(np.concatenate([samples, real]), is_real)
        scores = torch.from_numpy(model.decision_function(samples))
        return best(scores, self.keeps(len(samples)), offer.seed)
