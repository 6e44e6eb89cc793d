"""A figure that was drawn once: as SVG within a page, and as files for papers."""

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from lightning_collapse.data.files import make_folder, write_atomically
from lightning_collapse.report.looks import FAINT, INK, PAPER, THEME

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["SERIES", "Drawn", "drawing", "encoded", "inline_svg", "lay_out", "place", "save_drawn"]

SERIES = "series:"
"""What a `gid` begins with that names the series an artist is of."""

_SETTINGS: Any = {
    "svg.fonttype": "none",
    # Of the ids in an SVG, which would be another in every process.
    "svg.hashsalt": "lightning-collapse",
    # A label may hold a dollar.
    "text.parse_math": False,
    "font.size": 9,
    "font.sans-serif": ["DejaVu Sans", "Verdana"],
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.5,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "figure.facecolor": PAPER,
    "legend.frameon": False,
    "pdf.fonttype": 42,
}
_METADATA: Mapping[str, dict[str, Any]] = {
    "png": {},
    "pdf": {"CreationDate": None},
    "svg": {"Date": None},
}
_DIGITS = re.compile(r"(\.\d)\d+")
_NUMBERED = re.compile(r' id="[a-zA-Z2.]+_\d+"')
_MARKERS = re.compile(r'(<g clip-path="[^"]*">)((?: <use [^>]* style="[^"]*"/>)+) </g>')
_FAMILY = re.compile(r" font-family: [^;\"]*;")
# Rotations by nothing, and what SVG takes for granted.
_IDLE = re.compile(r' transform="rotate\(-?0 [^"]*"| text-anchor: start;| stroke-dashoffset: 0;')
_HASHED = re.compile(r'(?:(?<= id=")|(?<=href="#)|(?<=url\(#))[mp][0-9a-f]{10}')
_PLACES = re.compile(r' (?:d|x|y)="[^"]*"')


@dataclass(frozen=True)
class Drawn:
    """A figure.

    Attributes:
        name: of its files, and its id on a page.
        figure: matplotlib's.
        caption: a sentence below it.
        told: what it shows, for those who do not see it.
        values: what its points are, by series, and where on it they are; see `place`.
    """

    name: str
    figure: "Figure"
    caption: str
    told: str
    values: dict[str, Any] = field(default_factory=dict)


@contextmanager
def drawing() -> Iterator[None]:
    """Has matplotlib draw as all figures of reports are drawn, and nothing beside."""
    from matplotlib import rc_context, rcdefaults

    with rc_context():
        rcdefaults()
        with rc_context(_SETTINGS):
            yield


def lay_out(figure: "Figure", times: int = 1) -> None:
    """Places all parts of a figure, once for all files that it is written to."""
    for _ in range(times):
        figure.draw_without_rendering()
    figure.set_layout_engine("none")


def encoded(figure: "Figure", suffix: str) -> bytes:
    """Gives a figure as PNG, PDF or SVG; equal bytes for an equal figure."""
    buffer = io.BytesIO()
    with drawing():
        figure.savefig(buffer, format=suffix, dpi=200, metadata=_METADATA[suffix])
    if suffix != "svg":
        return buffer.getvalue()
    # Matplotlib writes six digits, of which a page of 72 points an inch shows few; and what only a
    # reader of the source would see.
    text = re.sub(r"<metadata>.*?</metadata>", "", buffer.getvalue().decode(), flags=re.S)
    text = _PLACES.sub(_shortened, re.sub(r"\s*\n\s*", " ", _NUMBERED.sub("", text)))
    text = _MARKERS.sub(_styled_once, _IDLE.sub("", text))
    family = _FAMILY.search(text)
    if family:
        text = _FAMILY.sub("", text).replace("<svg ", f'<svg style="{family[0][1:-1]}" ', 1)
    ids: dict[str, str] = {}
    return _HASHED.sub(lambda one: ids.setdefault(one[0], f"i{len(ids)}"), text).encode()


def _styled_once(markers: re.Match[str]) -> str:
    """Gives the markers of a line the style that they have in common as that of their group."""
    group, uses = markers.groups()
    styles = set(re.findall(r' style="[^"]*"', uses))
    if len(styles) > 1:
        return markers[0]
    (style,) = styles
    return f"{group[:-1]}{style}>{uses.replace(style, '')} </g>"


def _shortened(place: re.Match[str]) -> str:
    return re.sub(r" ([MLCQz]) ?", r"\1", _DIGITS.sub(r"\1", place[0]))


def save_drawn(drawn: Drawn, folder: Path) -> None:
    """Writes NAME.png, NAME.svg and NAME.pdf."""
    make_folder(folder)
    for suffix in _METADATA:
        data = encoded(drawn.figure, suffix)
        write_atomically(folder / f"{drawn.name}.{suffix}", partial(_put, data))


def _put(data: bytes, file: BinaryIO) -> None:
    file.write(data)


def inline_svg(drawn: Drawn, prefix: str, colours: Mapping[str, str]) -> str:
    """Gives a figure as an SVG element of a page.

    Args:
        drawn: the figure.
        prefix: of its ids, which must be unlike any other's on the page.
        colours: variables of the page by the colours that they stand in for.
    """
    text = encoded(drawn.figure, "svg").decode()
    text = text[text.index("<svg") :]
    text = re.sub(rf'<g id="{SERIES}([\w-]+)">', r'<g data-series="\1">', text)
    text = re.sub(r'\bid="', f'id="{prefix}-', text)
    text = re.sub(r'(href="#|url\(#)', rf"\1{prefix}-", text)
    text = re.sub(
        r'<svg ([^>]*?)(?:width|height)="[^"]*" ([^>]*?)(?:width|height)="[^"]*"',
        r"<svg \1\2",
        text,
        count=1,
    )
    for colour, variable in {**THEME, **colours}.items():
        text = text.replace(colour.lower(), f"var({variable})")
    # One family, as the page has it.
    text = re.sub(r"font-family: [^;\"]*", "font-family: var(--font)", text)
    return text.replace("<svg ", '<svg aria-hidden="true" ', 1)


def place(axes: "Axes", x: Sequence[float]) -> dict[str, Any]:
    """Tells where a panel is on its figure, which was laid out: shares from left and from top.

    Args:
        axes: the panel.
        x: numbers along it.

    Returns:
        `box`, left, top, right and bottom, and `px`, where each x is.
    """
    figure = axes.get_figure(root=True)
    assert figure is not None
    width, height = figure.bbox.size
    box = axes.get_window_extent()
    edges = [box.x0 / width, 1 - box.y1 / height, box.x1 / width, 1 - box.y0 / height]
    px = [float(axes.transData.transform((one, 0))[0] / width) for one in x]
    return {"box": [round(edge, 4) for edge in edges], "px": [round(one, 4) for one in px]}
