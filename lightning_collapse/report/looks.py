"""How conditions look: colours that keep 3 : 1 on white and on dark, and in grey, dash and marker.

A colour of a figure is one of these and nothing else, so that a page can put a variable in its
place, which is another colour on a dark screen.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np

__all__ = [
    "CONTROL",
    "FAINT",
    "INK",
    "MUTE",
    "PAPER",
    "THEME",
    "Look",
    "looks_of",
    "looks_of_families",
]

INK, MUTE, FAINT, PAPER = "#1a1c20", "#5b6068", "#b9bec6", "#ffffff"
THEME = {INK: "--ink", MUTE: "--mute", FAINT: "--faint", PAPER: "--back"}
"""Colours of a figure, and the page's variables in their place."""

# Four of Okabe & Ito's: their orange, sky and yellow fail on white.
_HUES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")
_HUES_ON_DARK = ("#4aa8e0", "#ff8a3d", "#2cc79a", "#e3a0c5")
_DASHES: tuple[Any, ...] = ("-", (0, (5, 1.6)), (0, (1.2, 1.2)), (0, (6, 1.5, 1.2, 1.5)))
# None like the cross that a collapsed round has.
_MARKERS = "os^DvP*p"
_OF_CONTROLS = "12348|"
_DARKEST, _LIGHTEST = (0.0, 0.55), (0.45, 1.0)


@dataclass(frozen=True)
class Look:
    """How a condition's lines are drawn.

    Attributes:
        key: names it on a page, as a CSS class and a series.
        light: colour on white, and in print.
        dark: on a dark page.
        dash: as matplotlib has it.
        marker: likewise.
    """

    key: str
    light: str
    dark: str
    dash: Any
    marker: str

    def numbered(self, i: int) -> "Look":
        """The same for the i-th of several."""
        return replace(
            self, key=f"{self.key}{i or ''}", marker=_OF_CONTROLS[i % len(_OF_CONTROLS)]
        )

    @property
    def line(self) -> dict[str, Any]:
        """Options of matplotlib's lines."""
        return {"color": self.light, "linestyle": self.dash, "marker": self.marker}

    @property
    def sample(self) -> str:
        """A piece of its line as SVG, in the colour of the text around it."""
        dashes = "" if self.dash == "-" else " ".join(f"{2 * each:g}" for each in self.dash[1])
        return (
            '<svg viewBox="0 0 30 10" width=30 height=10 aria-hidden=true stroke=currentColor '
            f'stroke-width=2><path d="M0 5H30" stroke-dasharray="{dashes}"/>'
            f'<path d="{_outline(self.marker)}" fill=currentColor stroke-width=1.2 /></svg>'
        )


CONTROL = Look("control", MUTE, "var(--mute)", (0, (3, 1.2)), _OF_CONTROLS[0])


def looks_of(n: int, ramped: bool = False) -> list[Look]:
    """Gives n looks.

    Args:
        n: conditions.
        ramped: whether they differ by a number, in the order of which the colours rise.
    """
    if ramped:
        light, dark = _scale(n, *_DARKEST), _scale(n, *_LIGHTEST)
    else:
        light, dark = ([hues[i % len(hues)] for i in range(n)] for hues in (_HUES, _HUES_ON_DARK))
    return [
        Look(
            f"c{i}",
            light[i],
            dark[i],
            _DASHES[(i + i // len(_DASHES)) % len(_DASHES)],
            _MARKERS[i % len(_MARKERS)],
        )
        for i in range(n)
    ]


def looks_of_families(sizes: Sequence[int]) -> list[Look]:
    """Gives looks of several families: dashes of their own, colours that rise within each.

    Args:
        sizes: conditions of each family, in the order of the number that they differ by.
    """
    ramps = [(i, look) for i, size in enumerate(sizes) for look in looks_of(size, ramped=True)]
    kinds = looks_of(len(sizes))
    return [replace(look, key=f"c{j}", dash=kinds[i].dash) for j, (i, look) in enumerate(ramps)]


@cache
def _outline(marker: str) -> str:
    """The path of a marker of matplotlib, 8 wide, in the middle of 30 by 10."""
    from matplotlib.markers import MarkerStyle
    from matplotlib.transforms import Affine2D

    style = MarkerStyle(marker)
    place = style.get_transform() + Affine2D().scale(8, -8).translate(15, 5)
    lines = style.get_path().transformed(place).to_polygons(closed_only=False)
    return "".join(
        "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in np.asarray(line)) for line in lines
    )


def _scale(n: int, first: float, last: float) -> list[str]:
    """Colours of viridis from a part of it."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    steps = [first + (last - first) * i / max(1, n - 1) for i in range(n)]
    return [to_hex(colormaps["viridis"](step)) for step in steps]
