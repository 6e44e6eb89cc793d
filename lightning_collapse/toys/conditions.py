"""What a toy runs: a regime, by its name or class path, at a λ; with the rows that it needs.

λ means for each regime what makes it comparable with the others (`Regime.at_fraction`); λ = 0 is
the control, which retrains on real rows in every round.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from importlib import import_module
from typing import Any

import lightning_collapse.regimes as named
from lightning_collapse.regimes import Block, Drawn, Fixed, Regime
from lightning_collapse.toys.ranges import at_least, check_regime, fractions

__all__ = ["Condition", "condition", "conditions", "regime_class"]


@dataclass(frozen=True)
class Condition:
    """A regime, mostly at one λ, and what it needs."""

    name: str
    """Of the regime's class that was asked for; without λ, the regime as it is written."""
    fraction: float | None
    """λ, in [0, 1]; None where the regime's own options say all."""
    n: int
    """N, the rows that round 0 trains on."""
    regime: Regime
    """At λ = 0, two classes are run as `Replace(0)`."""
    n_real: int
    """Real rows needed in all: N, or the most that rounds take."""
    samples_per_round: int
    """Samples that each round must make; may be 0."""
    blocks: Sequence[Sequence[Block]] = field(repr=False)
    """What every round trains on, without blocks that are empty."""

    @property
    def label(self) -> str:
        """What tells the condition from others of its regime."""
        return told(self.name, self.fraction)

    @property
    def takes_all(self) -> bool:
        """Whether every sample made may be trained on, so that more of them matter."""
        return any(isinstance(block, Drawn) for now in self.blocks for block in now)


def told(name: str, fraction: float | None) -> str:
    """Says which condition something is of: its λ, or the regime where there is none."""
    return name if fraction is None else f"λ = {fraction:g}"


def condition(name: str, fraction: float | None, n: int, rounds: int, **options: Any) -> Condition:
    """Gives what a regime's name and λ stand for.

    | regime | λ is |
    |---|---|
    | Replace, Turnover, Fresh, FreshAccumulate | the synthetic share of the training set |
    | Augment | the same; the ratio is λ/(1 - λ), λ < 1 |
    | Accumulate, AccumulateSubsample | samples added a round, over N |
    | others | their field `synthetic_fraction` |

    A field `size` is N unless the options name it.

    Args:
        name: of a class in `lightning_collapse.regimes`, or a class path such as `mine.Ramp`.
        fraction: λ, in [0, 1]; None for a regime that the options describe.
        n: rows that round 0 trains on, at least 2.
        rounds: how many, from round 0, at least 1.
        **options: fields of the regime.

    Raises:
        ValueError: one of them cannot be.
    """
    cls = regime_class(name)
    if fraction is not None and not 0.0 <= fraction <= 1.0:
        raise ValueError(f"lambdas = {fraction:g}: must be numbers in [0, 1]")
    at_least("n", n, 2)
    at_least("rounds", rounds, 1)
    made = _make(cls, fraction, n, options)
    if made is None:
        raise ValueError(
            f"lambdas = {fraction:g}: {cls.__name__} has no synthetic_fraction for λ to set; "
            "leave lambdas out and give regime_options"
        )
    regime, samples = made
    blocks = _blocks(regime, n, rounds)
    n_real = max(n, *(_real_stop(now) for now in blocks))
    if n_real > n:
        blocks = _blocks(regime, n_real, rounds)
    regime.check(n_real, samples, rounds)
    label = cls.__name__ if fraction is not None else repr(regime)
    return Condition(label, fraction, n, regime, n_real, samples, blocks)


def conditions(
    name: str,
    lambdas: str | None,
    n: int,
    rounds: int,
    options: Mapping[str, Any] | None = None,
    default: str = "1.0",
) -> list[Condition]:
    """Gives a condition for each λ of a list such as `0.1,0.9,1.0`.

    Options without λ describe the regime, and so does a class that has no λ: one condition.

    Args:
        name: as in `condition`.
        lambdas: the list, or None.
        n: as in `condition`.
        rounds: likewise.
        options: fields of the regime.
        default: the list where there is none, and no options.

    Raises:
        ValueError: as in `condition` and `fractions`.
    """
    options = options or {}
    if lambdas is None and (options or _make(regime_class(name), 0.0, n, options) is None):
        return [condition(name, None, n, rounds, **options)]
    wanted = fractions(default if lambdas is None else lambdas)
    return [condition(name, fraction, n, rounds, **options) for fraction in wanted]


def regime_class(name: str) -> type[Regime]:
    """Finds a regime's class by its name, or imports it by its path.

    Raises:
        ValueError: there is no such class of regimes.
    """
    module, _, leaf = name.rpartition(".")
    if not module:
        known = {cls.__name__: cls for cls in _subclasses(Regime)}
        ours = [name for name, cls in known.items() if cls.__module__.startswith(named.__name__)]
        check_regime(name, known, ours)
        return known[name]
    try:
        found = getattr(import_module(module), leaf)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"regime = {name}: cannot be imported ({error})") from None
    if not (isinstance(found, type) and issubclass(found, Regime)):
        raise ValueError(f"regime = {name}: must be a class that is derived from Regime")
    return found


def _subclasses(cls: type) -> Iterator[type[Regime]]:
    sub: type[Regime]
    for sub in cls.__subclasses__():
        yield sub
        yield from _subclasses(sub)


def _make(
    cls: type[Regime], fraction: float | None, n: int, options: Mapping[str, Any]
) -> tuple[Regime, int] | None:
    """Makes the regime, and says how many samples its rounds make; None where λ means nothing."""
    size = {"size": n} if "size" in {field.name for field in fields(cls)} else {}
    try:
        if fraction is not None:
            return cls.at_fraction(fraction, n, **size | dict(options))
        regime = cls(**size | dict(options))
    except TypeError as error:
        if twice := re.search(r"multiple values for keyword argument '(\w+)'", str(error)):
            raise ValueError(
                f"regime_options.{twice[1]}: is what lambdas sets; leave one of them out"
            ) from None
        # What Python says of an option that is missing or unknown.
        raise ValueError(f"regime_options = {dict(options)}: {error}") from None
    return regime, regime.samples_needed(n)


def _blocks(regime: Regime, n_real: int, rounds: int) -> list[list[Block]]:
    every = (regime.blocks(n_real, r) for r in range(rounds))
    return [[block for block in now if len(block)] for now in every]


def _real_stop(blocks: Sequence[Block]) -> int:
    """How many real rows there must be for a round's blocks."""
    return max(
        (block.rows.stop for block in blocks if isinstance(block, Fixed) and 0 in block.born),
        default=0,
    )
