"""What a toy runs: a regime by its name and λ, with the rows that it needs.

λ means for each regime what makes it comparable with the others (the table in `condition`); λ = 0
is the control, which retrains on real rows in every round.
"""

import difflib
import math
from collections.abc import Callable
from dataclasses import dataclass

from lightning_collapse.regimes import (
    Accumulate,
    AccumulateSubsample,
    Augment,
    Fresh,
    Regime,
    Replace,
    Turnover,
)

__all__ = ["Condition", "above", "at_least", "condition", "conditions", "fractions"]


@dataclass(frozen=True)
class Condition:
    """A regime at one λ, and what it needs."""

    name: str
    """Name of the regime that was asked for; at λ = 0 two of them are run as `Replace(0)`."""
    fraction: float
    """λ, in [0, 1]."""
    n: int
    """N, the rows that round 0 trains on."""
    regime: Regime
    n_real: int
    """Real rows needed in all: N, or more for `Fresh`."""
    samples_per_round: int
    """Samples that each round must make; may be 0."""


def condition(name: str, fraction: float, n: int, rounds: int) -> Condition:
    """Gives the regime that a name and λ stand for.

    | regime | λ is |
    |---|---|
    | Replace, Turnover, Fresh | the synthetic share of the training set |
    | Augment | the same; the ratio is λ/(1 - λ), λ < 1 |
    | Accumulate, AccumulateSubsample | samples added a round, over N |

    Args:
        name: of a class in `lightning_collapse.regimes`.
        fraction: λ, in [0, 1].
        n: rows that round 0 trains on, at least 2.
        rounds: how many, from round 0, at least 1.

    Raises:
        ValueError: one of them cannot be.
    """
    if name not in _REGIMES:
        close = difflib.get_close_matches(name, _REGIMES, n=1, cutoff=0.4)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise ValueError(f"regime = {name}: must be one of {', '.join(_REGIMES)}{hint}")
    if not 0.0 <= fraction <= 1.0:
        raise ValueError(f"lambdas = {fraction:g}: must be numbers in [0, 1]")
    at_least("n", n, 2)
    at_least("rounds", rounds, 1)
    regime = _REGIMES[name](fraction, n)
    samples = round(fraction * n) if name == "AccumulateSubsample" else regime.samples_needed(n)
    fresh = (rounds - 1) * (n - samples) if isinstance(regime, Fresh) else 0
    return Condition(name, fraction, n, regime, n + fresh, samples)


def conditions(name: str, lambdas: str, n: int, rounds: int) -> list[Condition]:
    """Gives a condition for each λ of a list such as `0.1,0.9,1.0`.

    Raises:
        ValueError: as in `condition` and `fractions`.
    """
    return [condition(name, fraction, n, rounds) for fraction in fractions(lambdas)]


def fractions(text: str, name: str = "lambdas") -> list[float]:
    """Reads distinct numbers in [0, 1], separated by commas.

    Raises:
        ValueError: the list has something else; the message calls it `name`.
    """
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(
            f"{name} = {text}: must be numbers separated by commas, such as 0.1,0.9,1.0"
        ) from None
    for value in values:
        if not 0.0 <= value <= 1.0:
            raise ValueError(f"{name} = {value:g}: must be numbers in [0, 1]")
    if len(set(values)) < len(values):
        raise ValueError(f"{name} = {text}: must be distinct; name each number once")
    return values


def at_least(name: str, value: float, least: float) -> None:
    """Raises ValueError where an option is not a number of at least `least`."""
    if not (math.isfinite(value) and value >= least):
        raise ValueError(f"{name} = {value:g}: must be at least {least:g}")


def above(name: str, value: float, bound: float) -> None:
    """Raises ValueError where an option is not a finite number above `bound`."""
    if not (math.isfinite(value) and value > bound):
        raise ValueError(f"{name} = {value:g}: must be a number above {bound:g}")


def _augment(fraction: float, n: int) -> Regime:
    if fraction == 1.0:
        raise ValueError(
            "lambdas = 1: Augment keeps all real rows, so its λ must be below 1; use Replace"
        )
    return Augment(fraction / (1 - fraction))


def _accumulate(fraction: float, n: int) -> Regime:
    return Accumulate(fraction) if fraction > 0 else Replace(0.0)


def _subsample(fraction: float, n: int) -> Regime:
    return AccumulateSubsample(n) if fraction > 0 else Replace(0.0)


_REGIMES: dict[str, Callable[[float, int], Regime]] = {
    "Replace": lambda fraction, n: Replace(fraction),
    "Turnover": lambda fraction, n: Turnover(fraction),
    "Augment": _augment,
    "Accumulate": _accumulate,
    "AccumulateSubsample": _subsample,
    "Fresh": Fresh,
}
