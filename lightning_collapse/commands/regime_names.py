"""Names of regimes on a toy's command line; needs no torch."""

from lightning_collapse.commands.declared import is_defined, outline
from lightning_collapse.toys.ranges import check_regime

__all__ = ["check_regime_name"]


def check_regime_name(regime: str) -> None:
    """Raises ValueError where a name without a module is that of no class of this package."""
    rooms = (outline(f"lightning_collapse.regimes.{room}") for room in ("rules", "schedules"))
    ours = [name for room in rooms for name in room if name[0].isupper()]
    if not is_defined(regime):
        check_regime(regime, ours, ours)
