"""What a claim is made of: a source, a plan, a statistic and a rule."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lightning_collapse.analysis.verdict import late
from lightning_collapse.sweeps.study import Study

__all__ = [
    "Claim",
    "Evidence",
    "Finding",
    "Line",
    "Task",
    "ours",
    "over_rounds",
    "stays",
    "within",
]

Array = NDArray[np.float64]

_FEWEST = 20
"""Replicas of a toy, at whatever effort."""


def _no_study(plan: Path) -> Study:
    raise ValueError(f"plan = {plan}: nothing here can run it; use the command `reproduce`")


@dataclass(frozen=True)
class Task:
    """What a claim is asked for.

    Attributes:
        effort: share of the replicas that are run, in (0, 1].
        seed: keys everything.
        study: runs a plan of `sweep`, or goes on with it, and gives its study once it is done.
    """

    effort: float = 1.0
    seed: int = 0
    study: Callable[[Path], Study] = _no_study

    def replicas(self, full: int, least: int = _FEWEST) -> int:
        """Says how many replicas to run where `full` are run at full effort."""
        return max(least, round(self.effort * full))


@dataclass(frozen=True)
class Finding:
    """One number of ours beside what the claim says of it.

    Attributes:
        what: the number, in a few words.
        theirs: what the claim says of it.
        values: ours, one a replica (n,); the statistic is their mean.
        low: lower end of what the claim allows.
        high: upper end.
        error: standard error of their figure.
    """

    what: str
    theirs: str
    values: ArrayLike
    low: float = -np.inf
    high: float = np.inf
    error: float = 0.0


def within(
    what: str, values: ArrayLike, figure: float, margin: float, error: float = 0.0
) -> Finding:
    """A finding that ours is their figure, up to a margin in its units."""
    return Finding(
        what, f"{figure:.4g} ± {margin:.2g}", values, figure - margin, figure + margin, error
    )


def stays(what: str, series: Array, control: Array, margin: float, *, collapses: bool) -> Finding:
    """A finding that a figure, worse the higher it is, collapses, or that it does not.

    By the statistic of `analysis.verdict`: excess over the control, last third of the rounds.

    Args:
        what: the figure and its condition.
        series: rounds by replicas (K, R).
        control: the same of a loop on real rows, of the same seeds.
        margin: excess that is still as good as none.
        collapses: what the claim says.
    """
    excess = late((series - control).T)
    if collapses:
        return Finding(what, f"collapses: excess above {margin:.3g}", excess, low=margin)
    return Finding(what, f"stable: excess below {margin:.3g}", excess, high=margin)


@dataclass(frozen=True)
class Line:
    """A line of a claim's figure: y over x, with a band where there is one."""

    label: str
    x: ArrayLike
    y: ArrayLike
    low: ArrayLike | None = None
    high: ArrayLike | None = None
    theirs: bool = False


def ours(label: str, x: ArrayLike, values: ArrayLike) -> Line:
    """A line of means over replicas (K, R), with twice their standard error."""
    y = np.asarray(values, float)
    error = 2 * y.std(1, ddof=1) / y.shape[1] ** 0.5
    return Line(label, x, y.mean(1), y.mean(1) - error, y.mean(1) + error)


theirs = partial(Line, theirs=True)
"""A line of theirs."""


def over_rounds(series: Mapping[str, Array]) -> list[Line]:
    """Lines of what is measured (K, R), by label, over the rounds."""
    return [ours(name, np.arange(len(values)), values) for name, values in series.items()]


@dataclass
class Evidence:
    """What a claim's plan came to: findings, and lines of a figure with its axes."""

    x: str
    y: str
    findings: list[Finding] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    log: Literal["", "x", "y", "xy"] = ""


@dataclass(frozen=True)
class Claim:
    """A published claim as a check.

    Attributes:
        authors: who claims it.
        source: year, and arXiv number or journal.
        says: the claim, in a sentence.
        setting: what is run here.
        figure: their number or statement, as it is compared.
        provenance: where it is from, as `abstract`, `table`, `raw data` or `derived`.
        data: what it is run on.
        cost: minutes on two slow cores, at full effort and with `--quick`.
        measure: runs the plan, and gives the statistics; its figures are seeded by the task.
        why: where ours differs from theirs, the reason; or what the verdict does not say.
        by_plan: whether it takes runs of `fit`, hours of them: it is run when it is named.
    """

    authors: str
    source: str
    says: str
    setting: str
    figure: str
    provenance: str
    data: Literal["toy", "points", "digits"]
    cost: tuple[float, float]
    measure: Callable[[Task], Evidence] = field(repr=False)
    why: str = ""
    by_plan: bool = False
