"""The profile of conditions: verdict, the eight meanings, distances between all rounds, noise."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from lightning_collapse.analysis.accumulation import Exponent, accumulation_exponent
from lightning_collapse.analysis.conditions import Condition, check_comparable, controls_among
from lightning_collapse.analysis.meanings import Answer, answers, headline, headline_figure
from lightning_collapse.analysis.sets import read_sets
from lightning_collapse.analysis.verdict import RULE, Verdict

__all__ = ["Profile", "chosen_control", "profile_of", "summary_of"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Profile:
    """What can be told of a condition.

    Attributes:
        condition: its runs.
        control: runs that retrain on real rows; None where there are none.
        verdict: on the Fréchet distance, or sliced Wasserstein of points.
        answers: to the eight meanings of collapse.
        distances: between all sets of each run (S, S), for the sets in `sets`, mean over runs;
            None where they cannot be read.
        sets: names of the sets, `real`, `held out`, `round 0`, …
        rows: of each set; 0 where there are no distances.
        exponent: of noise accumulation.
        why: why there are no distances; "" where there are.
    """

    condition: Condition
    control: Condition | None
    verdict: Verdict
    answers: list[Answer]
    distances: Array | None
    sets: list[str]
    rows: int
    exponent: Exponent
    why: str


def chosen_control(
    read: Sequence[Condition], named: Sequence[Condition]
) -> tuple[list[Condition], Condition | None]:
    """Gives the conditions to be profiled, and their control.

    Args:
        read: conditions of the runs to be profiled; one that never trains on samples is taken for
            the control where none is named.
        named: conditions of the runs that are named as the control.

    Raises:
        ValueError: there are several controls, or one that cannot be compared.
    """
    candidates = list(named) or controls_among(read)
    if len(candidates) > 1:
        names = "; ".join(one.name for one in candidates)
        raise ValueError(f"control: is several conditions ({names}); name runs of one")
    control = candidates[0] if candidates else None
    others = [one for one in read if one is not control]
    for one in others if control is not None else []:
        check_comparable(one, candidates[0])
    # The control alone has nothing beside it.
    return (others, control) if others else (list(read), None)


def profile_of(condition: Condition, control: Condition | None) -> Profile:
    """Answers what can be answered of a condition; reads the samples of all its runs."""
    distances, names, rows, why = None, [], 0, ""
    try:
        runs = tqdm(condition.runs.values(), "runs read", leave=False, disable=None)
        sets = [read_sets(run) for run in runs]
        if any(one.same_latents for one in sets):
            exponent = Exponent(None, None, [], "rounds share latents: their noise cannot be told")
        else:
            steps = [one.steps() for one in sets]
            rounds = min(map(len, steps))
            exponent = accumulation_exponent([one[:rounds] for one in steps])
        names, rows = min((one.names for one in sets), key=len), sets[0].n
        size = len(names)
        distances = np.mean([one.distances()[:size, :size] for one in sets], 0)
    except (OSError, ValueError) as error:
        why = str(error)
        exponent = Exponent(None, None, [], why)
    return Profile(
        condition,
        control,
        headline(condition, control),
        answers(condition, control),
        distances,
        names,
        rows,
        exponent,
        why,
    )


def summary_of(profile: Profile) -> dict[str, Any]:
    """Gives a profile as plain values, for `summary.json`."""
    condition, judged = profile.condition, profile.verdict
    return {
        "condition": condition.name,
        "runs": [str(run) for run in condition.runs.values()],
        "seeds": [replica.seed for replica in condition.runs],
        "rounds": condition.rounds,
        "control": None if profile.control is None else profile.control.name,
        "figure": headline_figure(condition),
        "rule": RULE,
        "verdict": judged,
        "seeds_needed": judged.seeds_needed if judged.why else None,
        "answers": profile.answers,
        "distances": {
            "sets": profile.sets,
            "rows": profile.rows,
            "squared_frechet": profile.distances,
            "why": profile.why,
        },
        "noise_accumulation": profile.exponent,
    }
