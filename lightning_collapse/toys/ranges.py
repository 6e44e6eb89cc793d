"""What numbers, and lists of them, on a toy's command line must be; needs no torch."""

import difflib
import math
from collections.abc import Callable, Collection
from typing import TypeVar

__all__ = [
    "above",
    "at_least",
    "check_loop",
    "check_regime",
    "fractions",
    "positive_numbers",
    "share",
    "whole_numbers",
]

Number = TypeVar("Number", int, float)


def check_loop(n: int, rounds: int, replicas: int, lambdas: str | None) -> None:
    """Raises ValueError where what all loops are told of is out of its range.

    Args:
        n: rows that round 0 trains on, at least 2.
        rounds: how many, at least 1.
        replicas: likewise.
        lambdas: as `fractions` reads them; None is left to the loop.
    """
    at_least("n", n, 2)
    at_least("rounds", rounds, 1)
    at_least("replicas", replicas, 1)
    if lambdas is not None:
        fractions(lambdas)


def fractions(lambdas: str) -> list[float]:
    """Reads distinct numbers in [0, 1], separated by commas.

    Raises:
        ValueError: the list has something else.
    """
    if not (values := _numbers(lambdas, float)):
        raise ValueError(
            f"lambdas = {lambdas}: must be numbers separated by commas, such as 0.1,0.9,1.0"
        )
    for value in values:
        if not 0.0 <= value <= 1.0:
            raise ValueError(f"lambdas = {value:g}: must be numbers in [0, 1]")
    if len(set(values)) < len(values):
        raise ValueError(f"lambdas = {lambdas}: must be distinct; name each number once")
    return values


def _numbers(text: str, kind: Callable[[str], Number]) -> list[Number]:
    """Reads numbers separated by commas; none where one of them is no number."""
    try:
        return [kind(part) for part in text.split(",")]
    except ValueError:
        return []


def whole_numbers(name: str, text: str) -> list[int]:
    """Reads whole numbers of at least 1, in rising order, separated by commas.

    Raises:
        ValueError: the list has something else; the message calls it `name`.
    """
    values = _numbers(text, int)
    if not values or values[0] < 1 or values != sorted(set(values)):
        raise ValueError(
            f"{name} = {text}: must be rising whole numbers from 1, such as 50,100,200"
        )
    return values


def at_least(name: str, value: float, least: float) -> None:
    """Raises ValueError where an option is not a number of at least `least`."""
    if not (math.isfinite(value) and value >= least):
        raise ValueError(f"{name} = {value:g}: must be at least {least:g}")


def share(name: str, value: float) -> None:
    """Raises ValueError where an option is not a number in [0, 1]."""
    if not 0 <= value <= 1:
        raise ValueError(f"{name} = {value:g}: must lie in 0..1")


def positive_numbers(name: str, text: str) -> list[float]:
    """Reads finite numbers above 0, separated by commas.

    Raises:
        ValueError: the list has something else; the message calls it `name`.
    """
    values = _numbers(text, float)
    if not values or not all(math.isfinite(value) and value > 0 for value in values):
        raise ValueError(f"{name} = {text}: must be numbers above 0, such as 1,0.5,0.2")
    return values


def check_regime(regime: str, known: Collection[str], ours: Collection[str]) -> None:
    """Raises ValueError where a regime's name, which is no class path, is none of those known."""
    if "." not in regime and regime not in known:
        close = difflib.get_close_matches(regime, known, n=1, cutoff=0.4)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise ValueError(
            f"regime = {regime}: must be one of {', '.join(ours)}, or a class path{hint}"
        )


def above(name: str, value: float, bound: float) -> None:
    """Raises ValueError where an option is not a finite number above `bound`."""
    if not (math.isfinite(value) and value > bound):
        raise ValueError(f"{name} = {value:g}: must be a number above {bound:g}")
