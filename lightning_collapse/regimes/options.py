"""A regime in plain values, for records, and back."""

from dataclasses import fields
from typing import Any

from lightning_collapse.regimes import rules, schedules
from lightning_collapse.regimes.regime import Regime

__all__ = ["options_of", "regime_of"]

_OURS = {name: vars(room)[name] for room in (rules, schedules) for name in room.__all__}


def options_of(regime: Regime) -> dict[str, Any]:
    """Gives a regime's fields; one inside it is a mapping of `class_path` and `init_args`."""
    return {field.name: _plain(getattr(regime, field.name)) for field in fields(regime)}


def _plain(value: Any) -> Any:
    if not isinstance(value, Regime):
        return value
    kind = type(value)
    known = _OURS.get(kind.__name__) is kind
    path = kind.__name__ if known else f"{kind.__module__}.{kind.__qualname__}"
    return {"class_path": path, "init_args": options_of(value)}


def regime_of(name: str, options: dict[str, Any]) -> Regime | None:
    """Gives the regime of a record back.

    Args:
        name: of its class.
        options: as `options_of` gives them.

    Returns:
        None where it, or one inside it, is not of this package: nothing is imported.

    Raises:
        TypeError: options are missing, unknown or of another kind.
        ValueError: a value cannot be.
    """
    kind = _OURS.get(name)
    if not (isinstance(kind, type) and issubclass(kind, Regime)):
        return None
    values = {}
    for field, value in options.items():
        if isinstance(value, dict):
            value = regime_of(str(value.get("class_path")), value.get("init_args", {}))
            if value is None:
                return None
        values[field] = value
    return kind(**values)
