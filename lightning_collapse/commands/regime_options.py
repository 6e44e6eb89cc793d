"""Which regimes a toy runs, as its command line says: a class, its options, and λ."""

import inspect
from typing import Any

from jsonargparse import ArgumentParser

from lightning_collapse.commands.messages import one_line
from lightning_collapse.toys.conditions import Condition, conditions, regime_class

__all__ = ["chosen_conditions"]

Options = dict[str, Any]


def chosen_conditions(
    regime: str,
    regime_options: Options | None,
    lambdas: str | None,
    n: int,
    rounds: int,
    default: str,
) -> list[Condition]:
    """Gives the conditions of a toy, by the arguments of `conditions`, options as they come.

    Raises:
        ValueError: one of the options cannot be, in its name, kind or value.
    """
    options = _typed(regime_class(regime), regime_options or {})
    return conditions(regime, lambdas, n, rounds, options, default)


class _Raising(ArgumentParser):
    def error(self, message: str, ex: Exception | None = None) -> None:  # type: ignore[override]
        raise ValueError(f"regime_options: {one_line(message, [], [])}")


def _typed(cls: type, options: Options) -> Options:
    """Gives options of a class as what its signature says that they are."""
    names = inspect.signature(cls).parameters
    for name in options:
        if name not in names:
            known = ", ".join(names)
            raise ValueError(f"regime_options.{name}: unknown; {cls.__name__} has {known}")
    parser = _Raising()
    # Those that are not given are for λ, N or the class's defaults.
    parser.add_class_arguments(cls, skip=set(names) - set(options))
    typed = parser.instantiate_classes(parser.parse_object(options))
    return {name: typed[name] for name in options}
