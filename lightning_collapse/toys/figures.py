"""What the toys' figures share: colours, bands, and files for the screen and for print."""

import io
import textwrap
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lightning_collapse.data.files import write_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_band", "draw_replicas", "new_figure", "save_figure", "style"]

# Okabe & Ito's, which colour-blind readers tell apart; black is left for the truth.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F")
_MARKERS = "os^DvP"
_FEW_POINTS = 20


def style(i: int, points: int | None = None) -> dict[str, Any]:
    """Gives colour and markers of the i-th line of a figure; markers also tell it in grey.

    Args:
        i: from 0.
        points: of the line, each of which has its marker if they are few; None for many.
    """
    start = 0.02 * (i % len(_MARKERS))
    few = points is not None and points <= _FEW_POINTS
    return {
        "color": _COLOURS[i % len(_COLOURS)],
        "marker": _MARKERS[i % len(_MARKERS)],
        "markersize": 4,
        # As shares of the panel, so that lines' markers stay apart.
        "markevery": None if few else (start, 0.12),
    }


def new_figure(width: float, height: float) -> "Figure":
    """Gives an empty figure, sizes in inches."""
    # Without pyplot, which would keep the figure and might open a window.
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def draw_band(
    axes: "Axes",
    x: ArrayLike,
    middle: ArrayLike,
    low: ArrayLike,
    high: ArrayLike,
    *,
    i: int,
    label: str,
) -> None:
    """Draws a figure's i-th line, and the band around it."""
    looks = style(i, np.size(x))
    axes.plot(x, middle, lw=1.2, label=label, **looks)
    axes.fill_between(x, low, high, color=looks["color"], alpha=0.15, lw=0)


def draw_replicas(axes: "Axes", courses: Mapping[str, NDArray[np.float64]]) -> None:
    """Draws, by label, the mean of replicas (R, T) over rounds, and the band of 5 to 95 %."""
    from matplotlib.ticker import MaxNLocator

    for i, (label, values) in enumerate(courses.items()):
        low, high = np.quantile(values, [0.05, 0.95], 0)
        rounds = np.arange(values.shape[1])
        draw_band(axes, rounds, values.mean(0), low, high, i=i, label=label)
    axes.set_xlabel("round")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)


def save_figure(figure: "Figure", out: Path, name: str) -> None:
    """Writes NAME.png and NAME.pdf to a folder, the same bytes for the same figure."""
    _wrap_texts(figure)
    # The layout of panels of a fixed aspect is right the second time.
    figure.draw_without_rendering()
    for suffix, metadata in (("png", {}), ("pdf", {"CreationDate": None})):
        buffer = io.BytesIO()
        figure.savefig(buffer, format=suffix, dpi=150, metadata=metadata)
        write_atomically(out / f"{name}.{suffix}", partial(_copy, buffer))


def _wrap_texts(figure: "Figure") -> None:
    """Breaks what regimes inside regimes are called, which would leave no room for the panels."""
    from matplotlib.legend import Legend
    from matplotlib.text import Text

    legends = [text for legend in figure.findobj(Legend) for text in legend.get_texts()]
    for text in figure.findobj(Text):
        width = 60 if text in legends else 100
        if len(told := text.get_text()) > width:
            text.set_text(textwrap.fill(told, width))


def _copy(buffer: io.BytesIO, file: BinaryIO) -> None:
    file.write(buffer.getbuffer())
