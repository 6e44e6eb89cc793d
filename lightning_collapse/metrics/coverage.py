"""Whether samples look real, and whether all that is real is among them.

Around every row of a set lies a ball that reaches to its k-th nearest neighbour in the set.
precision: share of samples in some real ball; recall: share of real rows in some sample's ball
(Kynkäänniemi et al. 2019, https://arxiv.org/abs/1904.06991). density: real balls that a sample
lies in, over k, on average; coverage: share of real balls with a sample in them (Naeem et al.
2020, https://arxiv.org/abs/2002.09797). Recall is what a collapse loses first.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from lightning_collapse.metrics.measure import Figure, Measure, RealRows, Sample
from lightning_collapse.metrics.neighbours import nearest_others

__all__ = ["Balls"]


@dataclass(frozen=True)
class Balls(Measure):
    """Precision, recall, density and coverage, in balls of k neighbours.

    Figures: `precision_<space>` and `recall_<space>`, below 1 for equal distributions too;
    `density_<space>`, about 1 for these; `coverage_<space>`. All depend on n and k.

    Attributes:
        k: neighbours that a ball reaches, at least 1.
    """

    k: int = 5

    _least: ClassVar[Mapping[str, int]] = {"k": 1}

    def figures(self, samples: Sample, real: RealRows) -> dict[str, Figure]:
        names = ("precision", "recall", "density", "coverage")
        told: dict[str, Figure] = dict.fromkeys(names)
        if min(len(samples), len(real.rows)) > self.k:
            apart = samples.distances(real.first)
            in_real = apart <= nearest_others(real.first.distances(real.first), self.k)
            in_sampled = apart <= nearest_others(samples.distances(samples), self.k)[:, None]
            told = {
                "precision": float(in_real.any(1).double().mean()),
                "recall": float(in_sampled.any(0).double().mean()),
                "density": float(in_real.double().mean()) * len(real.rows) / self.k,
                "coverage": float(in_real.any(0).double().mean()),
            }
        return {f"{name}_{samples.space}": value for name, value in told.items()}

    def caution(self, figure: str, n: int) -> str:
        if n <= self.k:
            return f"needs more rows than its {self.k} neighbours"
        return f"biased; {self.k} neighbours: compare at equal n"
