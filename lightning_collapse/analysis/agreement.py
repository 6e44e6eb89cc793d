"""Numbers against numbers: whether a mean lies where a claim says that it does.

What a claim allows is a range: of an equivalence, their figure ± a margin; of an inequality, all
on one side of a bound. Student's interval of ours decides: *holds* if it lies inside the range,
*does not hold* if it lies outside, else *cannot be told*. Several findings of one claim share the
5 %: each interval covers 1 - 0.05/k (Bonferroni), and the claim holds if all of them do.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import t

from lightning_collapse.analysis.intervals import COVERAGE, Interval
from lightning_collapse.analysis.verdict import power

__all__ = ["Agreement", "Word", "agreement", "joint"]

Word = Literal["holds", "does not hold", "cannot be told"]

_WANTED_POWER = 0.8
_MOST_REPLICAS = 100_000


@dataclass(frozen=True)
class Agreement:
    """What can be told of one finding.

    Attributes:
        word: of it alone.
        ours: our mean and its interval, widened by the error of theirs.
        low: lower end of what the claim allows; may be -inf.
        high: upper end; may be inf.
        spread: standard deviation of ours over replicas.
        error: standard error of theirs.
        coverage: of the interval.
    """

    word: Word
    ours: Interval
    low: float
    high: float
    spread: float
    error: float
    coverage: float

    @property
    def needed(self) -> int | None:
        """Replicas that would tell in 4 of 5 studies, were mean and spread as seen.

        0 if it is told, None if more than 100,000, or if the error of theirs forbids it.
        """
        if self.word != "cannot be told":
            return 0
        apart = min(abs(self.ours.mean - self.low), abs(self.ours.mean - self.high))

        def tells(n: int) -> bool:
            total = (self.spread**2 + n * self.error**2) ** 0.5
            return power(apart / total, n, self.coverage) >= _WANTED_POWER

        # NaN is told by no number of replicas.
        if not apart > 0 or not tells(_MOST_REPLICAS):
            return None
        return 2 + bisect_left(range(2, _MOST_REPLICAS), True, key=tells)


def agreement(
    values: ArrayLike,
    low: float = -np.inf,
    high: float = np.inf,
    *,
    error: float = 0.0,
    among: int = 1,
) -> Agreement:
    """Judges the mean of values by a range.

    On simulated normal values whose true mean is an end of the range, the worst case, 2.5 % are
    told wrongly, whichever way it is counted (`tests/analysis/test_agreement.py`).

    Args:
        values: ours, one a replica (n,), n >= 2.
        low: lower end of the range.
        high: upper end, above `low`.
        error: standard error of their figure, in the same units; 0 for what is exact.
        among: findings that share the error rate.

    Raises:
        ValueError: there are fewer than two values, or the range is empty.
    """
    x = np.asarray(values, float)
    if len(x) < 2 or not low < high:
        raise ValueError(f"values, low, high = {x}, {low}, {high}: need 2 values and low < high")
    n, coverage = len(x), 1 - (1 - COVERAGE) / among
    own = float(x.var(ddof=1) / n)
    both = own + error**2
    # Welch & Satterthwaite, their degrees of freedom counted as many.
    freedom = both**2 / (own**2 / (n - 1)) if own else np.inf
    half = float(t.ppf((1 + coverage) / 2, freedom)) * both**0.5
    ours = Interval(mean := float(x.mean()), mean - half, mean + half, n)
    word: Word = "cannot be told"
    if low < ours.low and ours.high < high:
        word = "holds"
    elif ours.high < low or ours.low > high:
        word = "does not hold"
    spread = float(x.std(ddof=1))
    return Agreement(word, ours, low, high, spread, error, coverage)


def joint(words: Sequence[Word]) -> Word:
    """Gives what findings say together: the claim holds if all do, and fails if one does."""
    if "does not hold" in words:
        return "does not hold"
    return "holds" if words and set(words) == {"holds"} else "cannot be told"
