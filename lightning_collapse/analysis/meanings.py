"""What "model collapse" means in the literature, each meaning as a question to a condition's runs.

The eight meanings are those that Schaeffer et al. (2025, 2503.03150) count. Risk is the held-out
loss, the model's expected loss on real rows. Each answer is the verdict's, on a figure of its own
and with a margin of its own: *yes* where the verdict is *collapses*, *no* where it is *stable*.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lightning_collapse.analysis.conditions import Condition
from lightning_collapse.analysis.intervals import Interval
from lightning_collapse.analysis.verdict import Verdict, verdict

__all__ = [
    "OF_FLOOR",
    "Answer",
    "answers",
    "headline",
    "headline_figure",
    "headline_margin",
    "relaxation_rounds",
]

Array = NDArray[np.float64]

_KEPT = 0.95
"""Share of the variance that is worth keeping, as in `toy gaussian`."""
_SHARE = 0.05
"""Difference of two shares of rows that is worth telling."""
_DOUBLED = 2.0
"""Risk that is catastrophic, as a multiple of the control's: a convention, as the term is."""
_SOME = 1.01
"""Risk that counts as increased."""
OF_FLOOR = 0.25
"""The margin of a distance, in floors."""
_RELAXATIONS = 5
"""How often the memory of real rows must have been lost before a level course is believed."""


@dataclass(frozen=True)
class Answer:
    """One meaning of collapse, answered.

    Attributes:
        meaning: as the literature has it.
        answer: yes, no or cannot be told.
        measure: the figures and how they are compared.
        value: what was measured, with its interval, in the terms of `measure`.
        rule: when the answer is yes, and when no.
        why: why it cannot be told, or what limits the answer; "" where nothing does.
    """

    meaning: str
    answer: str
    measure: str
    value: Interval | None
    rule: str
    why: str


@dataclass(frozen=True)
class _Question:
    """A meaning that the verdict answers.

    Attributes:
        meaning: its name.
        figures: of the record, the first that all records have; `<f>` is the feature space.
        margin: of the excess; of its logarithm where `ratio`.
        without: what would have to be recorded, where no figure is; default: the first.
        falls: whether less is worse.
        ratio: whether runs and control are compared by their ratio.
    """

    meaning: str
    figures: tuple[str, ...]
    margin: float
    without: str = ""
    falls: bool = True
    ratio: bool = True


_QUESTIONS = (
    _Question("catastrophic increase of risk", ("val_loss",), math.log(_DOUBLED), falls=False),
    _Question("any increase of risk", ("val_loss",), math.log(_SOME), falls=False),
    _Question("variance collapse", ("total_variance",), -math.log(_KEPT)),
    _Question(
        "loss of real tails",
        ("recall_<f>", "coverage_<f>"),
        _SHARE,
        "recall_<f>, by the measure Balls",
        ratio=False,
    ),
    _Question(
        "entanglement of modes",
        ("inter_class_ratio",),
        -math.log(_KEPT),
        "inter_class_ratio, which needs real rows with labels",
    ),
    _Question(
        "hallucination",
        ("precision_<f>",),
        _SHARE,
        "precision_<f>, by the measure Balls",
        ratio=False,
    ),
)


def headline_figure(condition: Condition) -> str:
    """Gives the figure of the verdict: the Fréchet distance; of points, sliced Wasserstein.

    A Fréchet distance does not see gaps between modes fill up.
    """
    sliced = f"sw2_{condition.space}"
    points = condition.space == "points" and sliced in condition.first[0]
    return sliced if points else condition.distance


def headline(
    condition: Condition, control: Condition | None, of_floor: float = OF_FLOOR
) -> Verdict:
    """Judges a condition; the margin is a share of the floor, the distance of real rows."""
    figure = headline_figure(condition)
    others = None if control is None else control.series(figure)
    return verdict(condition.series(figure), others, headline_margin(condition, of_floor))


def headline_margin(condition: Condition, of_floor: float = OF_FLOOR) -> float:
    """Gives the excess that is still as good as none, in units of the headline figure."""
    floors = condition.series(f"{headline_figure(condition)}_floor").values()
    return of_floor * float(np.mean([own[0] for own in floors]))


def answers(condition: Condition, control: Condition | None) -> list[Answer]:
    """Answers the eight meanings of collapse for a condition.

    Args:
        condition: runs that differ by seed.
        control: runs that retrain on real rows, paired by seed; None where there are none.
    """
    told = [_answer(question, condition, control) for question in _QUESTIONS]
    return [*told[:2], _unbounded(condition, control), _scaling(condition), *told[2:]]


def _answer(question: _Question, condition: Condition, control: Condition | None) -> Answer:
    named = [name.replace("<f>", condition.space) for name in question.figures]
    figure = next((name for name in named if _recorded(condition, control, name)), None)
    if figure is None:
        without = question.without.replace("<f>", condition.space) or named[0]
        why = f"not recorded by all runs: {without}"
        return Answer(question.meaning, "cannot be told", named[0], None, "", why)
    transform: Callable[[Array], Array] = np.log if question.ratio else np.asarray
    sign = -1.0 if question.falls else 1.0
    with np.errstate(divide="ignore", invalid="ignore"):
        series, others = (
            None
            if one is None
            else {r: sign * transform(x) for r, x in one.series(figure).items()}
            for one in (condition, control)
        )
    judged = verdict(series or {}, others, question.margin)
    answer = {"collapses": "yes", "stable": "no"}.get(judged.word, "cannot be told")
    compared = "over the control's" if question.ratio else "minus the control's"
    limit = sign * question.margin
    worse, better = ("below", "above") if question.falls else ("above", "below")
    at = f"× {math.exp(limit):.3g}" if question.ratio else f"{limit:+.3g}"
    return Answer(
        question.meaning,
        answer,
        f"{figure} {compared}",
        _in_units(judged.excess, sign, question.ratio),
        f"yes if the interval lies {worse} {at}, no if {better}",
        _why(judged),
    )


def _why(judged: Verdict) -> str:
    if judged.excess is None or not judged.why:
        return judged.why
    needed = judged.seeds_needed
    return f"{judged.why}; about {needed} seeds would tell" if needed else judged.why


def _recorded(condition: Condition, control: Condition | None, figure: str) -> bool:
    both = [one for one in (condition, control) if one is not None]
    last = [own[-1] for one in both for own in one.records.values()]
    return all(record.get(figure) is not None for record in last)


def _in_units(excess: Interval | None, sign: float, ratio: bool) -> Interval | None:
    """Undoes sign and logarithm of an excess."""
    if excess is None:
        return None
    back: Callable[[float], float] = math.exp if ratio else float
    ends = sorted((back(sign * excess.low), back(sign * excess.high)))
    return Interval(back(sign * excess.mean), ends[0], ends[1], excess.n)


def _unbounded(condition: Condition, control: Condition | None) -> Answer:
    """Whether the distance still grows, or has come to rest for good."""
    judged, figure = headline(condition, control), headline_figure(condition)
    rule = (
        f"yes if it grows over the last half of the rounds, no if it stays within ± "
        f"{judged.margin:.3g} and {_RELAXATIONS} N/m rounds were run, m real rows of N in each"
    )
    answer, why = "cannot be told", judged.why if judged.rise is None else ""
    if judged.trend == "growing":
        answer = "yes"
        why = f"still growing at round {judged.rounds - 1}, the last: no finite run shows more"
        needed = relaxation_rounds(condition)
        if needed is not None and judged.rounds < needed:
            why += f", and with real rows it may level by round {needed}"
    elif judged.rise is not None:
        needed = relaxation_rounds(condition)
        if judged.trend != "level":
            why = "its rise is neither told from 0 nor within the margin"
        elif needed is None:
            why = "level so far; without real rows no number of rounds shows that it stays so"
        elif judged.rounds < needed:
            why = f"level so far, in {judged.rounds} rounds; needs {needed}"
        else:
            answer = "no"
    measure = f"rise of {figure} minus the control's"
    return Answer("unbounded increase", answer, measure, judged.rise, rule, why)


def relaxation_rounds(condition: Condition) -> int | None:
    """Gives 5 N/m, m real rows of N in the last round: rounds after which level is level.

    None without real rows: then no number of rounds is enough.
    """
    last = condition.first[-1]
    real, synthetic = int(last["n_real"]), int(last["n_synthetic"])
    return math.ceil(_RELAXATIONS * (real + synthetic) / real) if real else None


def _scaling(condition: Condition) -> Answer:
    rows = condition.first[0].get("n_train")
    why = f"all runs have N = {rows}: needs runs at several data.train_rows, with controls"
    return Answer(
        "changed scaling law", "cannot be told", "slope of the risk over N, log-log", None, "", why
    )
