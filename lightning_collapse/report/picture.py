"""The picture of several runs: curves side by side on the same rounds, and samples of one seed."""

from itertools import groupby
from typing import TYPE_CHECKING, Any

from lightning_collapse.report.comparison import Comparison, Judged
from lightning_collapse.report.curves import MOST_IN_BANDS, Panel, draw_course, panels
from lightning_collapse.report.drawn import Drawn, drawing, lay_out
from lightning_collapse.report.strips import Strip, Strips
from lightning_collapse.report.words import closing

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_picture"]

_WIDTH, _PANELS, _FEW = 11.0, 3, 4
_LETTERS = 144
"""Of a legend that are as wide as the picture."""


def draw_picture(one: Comparison, strips: Strips, title: str = "") -> Drawn:
    """Draws the headline figure and what explains it, and samples below.

    Args:
        one: the comparison.
        strips: its samples; the picture is as high as they need.
        title: by default the verdict.
    """
    from matplotlib.figure import Figure

    shown, lines = _panels(one), _lines(one)
    legend = 0.0 if len(lines) > 1 else 0.25 * -(-(len(one.all) + 1) // _legend_columns(one)) + 0.2
    curves = (2.7 if len(lines) == 1 else 2.1) * len(lines) + legend
    below = _height(strips)
    with drawing():
        figure = Figure(figsize=(_WIDTH, curves + below + 0.35), layout="constrained")
        ratios = [curves, below] if below else [curves]
        parts = figure.subfigures(len(ratios), 1, squeeze=False, height_ratios=ratios)[:, 0]
        _draw_curves(parts[0], one, shown, lines)
        if below:
            (_draw_scatters if strips.points else _draw_strips)(parts[1], strips)
        figure.suptitle(title or closing(one), fontsize=11, wrap=True)
        # The layout of panels of a fixed aspect is right the second time.
        lay_out(figure, 2)
    return Drawn("picture", figure, "", closing(one))


def _panels(one: Comparison) -> list[Panel]:
    """The headline, and what tells blurring from contraction."""
    found = {panel.figure: panel for panel in panels(one, "curves")}
    wanted = [one.headline, "total_variance", f"recall_{one.first.space}", *found]
    return [found[name] for name in dict.fromkeys(wanted) if name in found][:_PANELS]


def _lines(one: Comparison) -> list[list[Judged]]:
    """What goes into a line of panels: all conditions, or of a crowd a family, or a few."""
    families = list(one.families.values())
    if not one.is_crowd:
        return [one.judged]
    if len(families) > 1 and max(map(len, families)) <= MOST_IN_BANDS:
        return families
    lines = -(-len(one.judged) // _FEW)
    each = -(-len(one.judged) // lines)
    return [one.judged[i : i + each] for i in range(0, len(one.judged), each)]


def _legend_columns(one: Comparison) -> int:
    """Of the legend below a line of panels."""
    longest = max(len(judged.label) for judged in one.all)
    return max(1, min(4, _LETTERS // (max(longest, len("held-out real rows")) + 8)))


def _controls(one: Comparison, judged: list[Judged]) -> list[Judged]:
    """The controls of some conditions; all, where none of these has any."""
    own = [control for control in one.controls if control.condition in [j.control for j in judged]]
    return own or one.controls


def _draw_curves(
    figure: Any, one: Comparison, shown: list[Panel], lines: list[list[Judged]]
) -> None:
    size = {"nrows": len(lines), "ncols": len(shown)}
    grid = figure.subplots(**size, squeeze=False, sharex=True, sharey="col")
    for i, (row, judged) in enumerate(zip(grid, lines, strict=True)):
        for axes, panel in zip(row, shown, strict=True):
            draw_course(axes, one, panel, [*judged, *_controls(one, judged)])
            if i == 0:
                axes.set_title(panel.label, fontsize=9, loc="left")
            if i == len(lines) - 1:
                axes.set_xlabel("round")
        if len(lines) > 1:
            row[-1].legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=7)
    if len(lines) == 1:
        handles, labels = figure.axes[0].get_legend_handles_labels()
        looks = {"loc": "outside lower center", "ncols": _legend_columns(one), "fontsize": 9}
        figure.legend(handles, labels, **looks)


def _height(strips: Strips) -> float:
    if not strips.strips:
        return 0.0
    if strips.points:
        columns = _columns(strips)
        return (_WIDTH / max(len(columns), 3) + 0.3) * max(map(len, columns))
    heights = _heights(strips)
    return sum(heights) * (_WIDTH - 1.8) + 0.08 * len(heights) + 0.2


def _heights(strips: Strips) -> list[float]:
    """Of each strip, in its width."""
    return [one.picture.shape[0] / one.picture.shape[1] for one in strips.strips]


def _columns(strips: Strips) -> list[list[Strip]]:
    """The scatter of real rows, and those of every condition's rounds."""
    return [list(own) for _, own in groupby(strips.strips, lambda one: one.of and one.of.look.key)]


def _draw_strips(figure: Any, strips: Strips) -> None:
    ratios = {"height_ratios": _heights(strips)}
    grid = figure.subplots(len(strips.strips), 1, squeeze=False, gridspec_kw=ratios)
    for axes, one in zip(grid[:, 0], strips.strips, strict=True):
        _show(axes, one)
        axes.set_ylabel(_name(one), rotation=0, ha="right", va="center", fontsize=9)


def _draw_scatters(figure: Any, strips: Strips) -> None:
    columns = _columns(strips)
    grid = figure.subplots(max(map(len, columns)), len(columns), squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for column, own in zip(grid.T, columns, strict=True):
        for axes, one in zip(column, own, strict=False):
            axes.set_axis_on()
            _show(axes, one)
            axes.set_title(_name(one), fontsize=8)


def _show(axes: "Axes", one: Strip) -> None:
    axes.imshow(one.picture, interpolation="nearest")
    axes.set(xticks=[], yticks=[])
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)


def _name(one: Strip) -> str:
    if one.of is None:
        return "real rows"
    return f"{one.of.label}\nround {one.round}" + (f"\n{one.note}" if one.note else "")
