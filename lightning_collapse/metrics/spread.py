"""What every record has: mean, variance, where the mass lies; whether samples have collapsed."""

from dataclasses import dataclass
from typing import ClassVar

from lightning_collapse.metrics.collapse import find_collapse
from lightning_collapse.metrics.measure import Figure, Measure, RealRows, Sample

__all__ = ["Collapsed", "Spread"]


@dataclass(frozen=True)
class Spread(Measure):
    """Mean, variance and where the mass lies, of all samples and of all real training rows.

    All numbers count, not only those of the first rows; see `metrics.sums.Sums.figures`. Real
    rows' figures are called `real_…`.
    """

    has_floor: ClassVar[bool] = False
    has_step: ClassVar[bool] = False

    def figures(self, samples: Sample, real: RealRows) -> dict[str, Figure]:
        if samples.sums is None or real.sums is None:
            return {}
        return {
            **samples.sums.figures(),
            **{f"real_{name}": value for name, value in real.sums.figures().items()},
        }


@dataclass(frozen=True)
class Collapsed(Measure):
    """Whether all samples together have collapsed, and how; see `metrics.collapse`.

    Figures: `n_nonfinite`, a count, and `collapsed`: `nonfinite`, `constant`, `saturated` or null.
    """

    has_floor: ClassVar[bool] = False
    has_step: ClassVar[bool] = False

    def figures(self, samples: Sample, real: RealRows) -> dict[str, Figure]:
        if samples.sums is None or real.sums is None:
            return {}
        collapsed = find_collapse(
            samples.sums.levels,
            real.sums.levels,
            relative_variance=samples.sums.total_variance / real.sums.total_variance,
            n_nonfinite=samples.sums.n_nonfinite,
        )
        return {"n_nonfinite": samples.sums.n_nonfinite, "collapsed": collapsed}
