"""What the toys' figures share: colours, bands, and files for the screen and for print."""

import io
import textwrap
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from lightning_collapse.data.files import write_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "draw_band",
    "draw_replicas",
    "label_lines",
    "new_figure",
    "ramp_of",
    "save_figure",
    "style",
]

# Those of Okabe & Ito's that are seen on white; black is left for the truth. More lines are told
# by their markers.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#7F7F7F")
_MARKERS = "os^DvP*"
_FEW_POINTS = 20
_FEW_LINES = 4
_GAP = 0.055
"""Between labels, as a share of the panel's height."""


def ramp_of(shares: Sequence[float | None]) -> int:
    """Gives how many lines there are if they are many that differ by a number, else 0."""
    return len(shares) * (len(shares) > _FEW_LINES and None not in shares)


def style(i: int, points: int | None = None, ramp: int = 0) -> dict[str, Any]:
    """Gives colour and markers of the i-th line of a figure; markers also tell it in grey.

    Args:
        i: from 0.
        points: of the line, each of which has its marker if they are few; None for many.
        ramp: lines whose colours rise with i; 0 for colours of their own.
    """
    start = 0.02 * (i % len(_MARKERS))
    few = points is not None and points <= _FEW_POINTS
    return {
        "color": _rising(i, ramp) if ramp else _COLOURS[i % len(_COLOURS)],
        "marker": _MARKERS[i % len(_MARKERS)],
        "markersize": 4,
        # As shares of the panel, so that lines' markers stay apart.
        "markevery": None if few else (start, 0.12),
    }


def _rising(i: int, n: int) -> str:
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    # The rest of viridis is too bright on white.
    return to_hex(colormaps["viridis"](0.85 * i / max(1, n - 1)))


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
    ramp: int = 0,
    alpha: float = 0.15,
) -> None:
    """Draws a figure's i-th line, and the band around it, fainter where the lines are a ramp."""
    looks = style(i, np.size(x), ramp)
    axes.plot(x, middle, lw=1.2, label=label, **looks)
    alpha = 0.4 * alpha if ramp else alpha
    if alpha:
        axes.fill_between(x, low, high, color=looks["color"], alpha=alpha, lw=0)


def label_lines(axes: "Axes", title: str, ramp: int = 0) -> None:
    """Tells what lines are beside the panel, where no curve is hidden.

    Args:
        axes: the panel, all of whose lines are drawn and whose scales are set.
        title: what lines and bands are.
        ramp: the first lines that are told at their ends, in their colours; a legend has the rest.
    """
    told: Any = axes.get_legend_handles_labels()
    handles, labels = told
    ends = [
        (_height(axes, line), line, str(label))
        for line, label in list(zip(handles, labels, strict=True))[:ramp]
    ]
    at = -np.inf
    placed = []
    for height, line, label in sorted(ends, key=lambda end: end[0]):
        at = max(at + _GAP, height)
        placed.append((at, height, line, label))
    over = max(0.0, at - 1)
    for at, height, line, label in placed:
        colour = line.get_color()
        axes.annotate(
            label,
            (1, height),
            (1.03, at - over),
            xycoords="axes fraction",
            textcoords="axes fraction",
            color=colour,
            fontsize=7,
            va="center",
            arrowprops={"arrowstyle": "-", "lw": 0.5, "relpos": (0, 0.5), "color": colour},
        )
    axes.legend(
        handles[ramp:],
        labels[ramp:],
        title=title,
        fontsize=7,
        title_fontsize=7,
        frameon=False,
        loc="upper center",
        bbox_to_anchor=(0.5, -0.16),
        ncols=2,
    )


def _height(axes: "Axes", line: Any) -> float:
    """Where a line ends, as a share of the panel's height."""
    x, y = line.get_xdata()[-1], line.get_ydata()[-1]
    low = axes.get_ylim()[0]
    with np.errstate(all="ignore"):
        drawn = axes.transData.transform((x, y if np.isfinite(y) else low))
    share = axes.transAxes.inverted().transform(drawn)[1]
    return float(np.clip(share, 0, 1)) if np.isfinite(share) else 0.0


def draw_replicas(axes: "Axes", courses: Mapping[str, NDArray[np.float64]], ramp: int = 0) -> None:
    """Draws, by label, the mean of replicas (R, T) over rounds, and the band of 5 to 95 %."""
    from matplotlib.ticker import MaxNLocator

    for i, (label, values) in enumerate(courses.items()):
        low, high = np.quantile(values, [0.05, 0.95], 0)
        rounds = np.arange(values.shape[1])
        draw_band(axes, rounds, values.mean(0), low, high, i=i, label=label, ramp=ramp)
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
        if suffix == "png":
            # Lines and marks have few colours: a third of the bytes.
            few = Image.open(buffer).convert("RGB").quantize(256)
            few.save(buffer := io.BytesIO(), format="png", optimize=True)
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
