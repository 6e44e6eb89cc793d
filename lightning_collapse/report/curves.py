"""Figures over rounds: every condition's mean, band and seeds, beside floor and control.

One function draws a panel for the page, for papers and for the picture of `plot`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np

from lightning_collapse.report.comparison import Comparison, Course, Judged, course
from lightning_collapse.report.drawn import SERIES, Drawn, drawing, lay_out, place
from lightning_collapse.report.looks import INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["MOST_IN_BANDS", "Panel", "draw_course", "draw_panel", "draw_profiles", "panels"]

MOST_IN_BANDS = 12
"""Conditions in a panel whose bands can be told apart."""

_MOST_PANELS, _WIDE = 16, 10.0
_SHARES = ("precision", "recall", "coverage")
_LONGEST_OF_TWO = 28
"""Letters of a name, where two stand side by side below a figure."""
_REAL: dict[str, Any] = {"color": INK, "ls": (0, (1, 1.5)), "lw": 1.1}
_LINE = 0.17
"""Inches of a line of names."""
_MOST_SEED_POINTS = 3_000
"""Beyond them the seeds' own lines are left to the band, and numbers to the table."""


@dataclass(frozen=True)
class Panel:
    """A figure to be drawn over rounds.

    Attributes:
        figure: its name in the record.
        label: of the axis.
        caption: what it tells.
        reference: name in the record of what real rows, or noise, have in its place; "" for none.
    """

    figure: str
    label: str
    caption: str
    reference: str

    @property
    def of(self) -> str:
        """What the reference is of."""
        ends = {"_floor": "held-out real rows", "_masked_noise": "noise in that place"}
        return next(
            (said for end, said in ends.items() if self.reference.endswith(end)), "real rows"
        )


def panels(one: Comparison, section: str) -> list[Panel]:
    """Gives the panels of a section for which there is any number."""
    fd, space, n = one.first.distance, one.first.space, one.first.first[0].get("fd_n")
    told = (
        (
            f"sw2_{space}",
            f"sliced W2 ({space})",
            "Distance to the real rows; lower is closer.",
            "_",
        ),
        (fd, f"Fréchet distance ({space}, n = {n})", "Lower is closer to the real rows.", "_"),
        ("val_loss", "held-out loss", "On real rows never trained on.", ""),
        ("total_variance", "total variance", "Contraction lowers it, blurring raises it.", "real"),
        ("mean", "mean (network units)", "Its drift adds up over rounds.", "real"),
        (f"precision_{space}", "precision", "Share of samples that lie among real rows.", "_"),
        (f"recall_{space}", "recall", "Share of real rows that lie among samples.", "_"),
        (
            "masked_mse",
            "squared error",
            "Of what was sampled to what stood there; dots: of noise in that place.",
            "noise",
        ),
    )
    structure = (
        (f"coverage_{space}", "coverage", "Share of real rows with a sample near by.", "_"),
        (f"effective_rank_{space}", "effective rank", "Directions that samples vary in.", "_"),
        (f"trace_ratio_{space}", "variance of features", "As a multiple of the real rows'.", "_"),
        (f"modes_{space}", "modes", "That have any samples.", "_"),
        ("class_entropy", "class entropy (nats)", "By a classifier of real rows.", "_"),
        ("inter_class_ratio", "distance of classes", "As a multiple of the real rows'.", "_"),
    )
    first = one.headline
    ranked = sorted(told if section == "curves" else structure, key=lambda row: row[0] != first)
    found = []
    for name, label, caption, kind in ranked:
        kinds = {"_": f"{name}_floor", "real": f"real_{name}", "noise": f"{name}_masked_noise"}
        reference = kinds.get(kind, "")
        if any(course(judged.condition, name).is_known for judged in one.all):
            found.append(Panel(name, label, caption, reference))
    return found


def draw_panel(one: Comparison, panel: Panel, *, legend: bool) -> Drawn:
    """Draws a figure of all conditions of a comparison; above eight, in several panels.

    These are a panel for each condition, or, of what explains the headline of many, for each
    regime.

    Args:
        one: the comparison.
        panel: the figure.
        legend: whether names are drawn, which a page tells beside its figures.
    """
    from matplotlib.figure import Figure

    groups = _groups(one, panel)
    several, alone = len(groups) > 1, all(len(group) == 1 for group in groups)
    columns = int(np.ceil(len(groups) ** 0.5))
    lines = -(-len(groups) // columns)
    each = (1.5, 1.2) if alone else (3.2 + 1.6 * legend, 2.2)
    size = (4.6, 3.0 + _names_height(one) * legend)
    if several:
        size = (each[0] * columns, each[1] * lines + 0.3)
    with drawing():
        figure = Figure(figsize=size, layout="constrained")
        grid = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
        shown = list(zip(grid.flat, [[*group, *one.controls] for group in groups], strict=False))
        for axes, group in shown:
            draw_course(axes, one, panel, group)
            if several:
                axes.grid(visible=False)
                first = group[0]
                name = first.label if alone else str(first.condition.first[-1]["regime"])
                axes.set_title(fill(name, 24), fontsize=7)
            if several and legend and not alone:
                axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=6)
        for axes in grid.flat[len(groups) :]:
            axes.set_axis_off()
        figure.supxlabel("round", fontsize=9)
        figure.suptitle(panel.label, fontsize=9, ha="left", x=0.01)
        if legend and not several:
            figure.legend(loc="outside lower center", ncols=_columns(one), fontsize=8)
        lay_out(figure)
        values = _values(one, panel)
        values["axes"] = [
            place(axes, values["x"]) | {"series": [judged.look.key for judged in group]}
            for axes, group in shown
        ]
    told = f"{panel.label}, by round, of {', '.join(judged.label for judged in one.all)}"
    return Drawn(panel.figure, figure, panel.caption, told, values)


@dataclass(frozen=True)
class _Profile:
    """A figure that is a list, drawn of the last round."""

    name: str
    record: str
    title: str
    axis: str
    caption: str


def _profiles(one: Comparison) -> list[_Profile]:
    """The spectrum, and shares of classes or else of modes, as far as records have them."""
    space, record = one.first.space, one.first.first[-1]
    lost = "A share that falls to 0 is lost for good where no real row comes back."
    told = [
        _Profile(
            "spectrum",
            f"spectrum_{space}",
            "leading variances",
            "direction, by its variance",
            "Eigenvalues of the features' covariance; few of them left is contraction.",
        ),
        _Profile("shares", "class_shares", "share of classes", "class", lost),
        _Profile("shares", f"mode_shares_{space}", "share of modes", "mode", lost),
    ]
    known = [each for each in told if isinstance(record.get(each.record), list)]
    return list({each.name: each for each in reversed(known)}.values())[::-1]


def draw_profiles(one: Comparison, *, legend: bool) -> list[Drawn]:
    """Draws figures that are lists, of the last round that all runs have; none of a crowd."""
    return [] if one.is_crowd else [_draw_profile(one, each, legend) for each in _profiles(one)]


def _draw_profile(one: Comparison, profile: _Profile, legend: bool) -> Drawn:
    from matplotlib.figure import Figure

    with drawing():
        size = (4.6, 3.0 + _names_height(one) * legend)
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots()
        longest = 0
        for judged in one.all:
            own = [
                np.array(records[judged.condition.rounds - 1].get(profile.record) or [], float)
                for records in judged.condition.records.values()
            ]
            if len({part.shape for part in own}) == 1 and own[0].size:
                longest = max(longest, len(own[0]))
                options = judged.look.line | {"lw": 1.4, "ms": 5}
                axes.plot(
                    np.mean(own, 0), label=judged.label, gid=SERIES + judged.look.key, **options
                )
        real = one.first.first[0].get(f"{profile.record}_floor")
        if isinstance(real, list) and None not in real:
            axes.plot(real, **_REAL, label="held-out real rows")
        axes.set_xlabel(profile.axis)
        axes.set_xticks(range(0, longest, max(1, longest // 8)))
        axes.set_ylim(bottom=0)
        figure.suptitle(f"{profile.title}, last round", fontsize=9, ha="left", x=0.01)
        if legend:
            figure.legend(loc="outside lower center", ncols=_columns(one), fontsize=8)
        lay_out(figure)
    return Drawn(profile.name, figure, profile.caption, f"{profile.title} in the last round")


def _names_height(one: Comparison) -> float:
    """Inches of the names of all conditions, and of real rows, in their columns."""
    return _LINE * -(-(len(one.all) + 1) // _columns(one))


def _columns(one: Comparison) -> int:
    return 2 if max(len(judged.label) for judged in one.all) <= _LONGEST_OF_TWO else 1


def _groups(one: Comparison, panel: Panel) -> list[list[Judged]]:
    """The conditions of each panel."""
    if not one.is_crowd:
        return [one.judged]
    families = list(one.families.values())
    few = len(one.judged) <= _MOST_PANELS or panel.figure == one.headline
    if few or max(map(len, families)) > MOST_IN_BANDS:
        return [[judged] for judged in one.judged]
    return families


def draw_course(axes: "Axes", one: Comparison, panel: Panel, shown: Sequence[Judged]) -> None:
    """Draws conditions, and what real rows have, on a panel."""
    from matplotlib.ticker import MaxNLocator, NullFormatter

    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
    courses = [course(judged.condition, panel.figure) for judged in shown]
    points = sum(len(own) for drawn in courses for own in drawn.runs)
    for judged, drawn in zip(shown, courses, strict=True):
        band = len(drawn.runs) > 1 and len(shown) <= MOST_IN_BANDS + len(one.controls)
        detail = not one.is_crowd and points < _MOST_SEED_POINTS
        _draw_one(axes, judged, drawn, band, detail, is_marked=band or detail)
    if (real := _reference(one, panel)) is not None:
        axes.axhline(real, **_REAL, label=panel.of)
    distances = (one.first.distance, one.headline)
    if panel.figure in (*distances, "total_variance") and _is_wide(one, panel):
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter(NullFormatter())
    elif panel.figure in (*distances, f"modes_{one.first.space}"):
        # Panels that share the axis are drawn one after the other: the top is still to rise.
        axes.set_ylim(bottom=0, auto=None)
    if panel.figure.partition("_")[0] in _SHARES:
        axes.set_ylim(0, 1.03)


def _is_wide(one: Comparison, panel: Panel) -> bool:
    """Whether a figure has such a span that on a linear scale most curves lie on its ground."""
    ends = np.concatenate([course(judged.condition, panel.figure).mean[-1:] for judged in one.all])
    known = ends[np.isfinite(ends)]
    return len(known) > 1 and known.min() > 0 and known.max() > _WIDE * np.median(known)


def _draw_one(
    axes: "Axes", judged: Judged, drawn: Course, band: bool, detail: bool, is_marked: bool
) -> None:
    look = judged.look
    same: dict[str, Any] = {"color": look.light, "gid": f"{SERIES}{look.key}"}
    rounds = len(drawn.mean)
    options = look.line | {"lw": 1.8, "ms": 4.5, "markevery": max(1, rounds // 12)}
    if not is_marked and rounds > 1:
        del options["marker"]
    axes.plot(range(rounds), drawn.mean, label=judged.label, **options | same)
    if band:
        axes.fill_between(range(rounds), drawn.low, drawn.high, alpha=0.16, lw=0, **same)
    # A run may have gone on farther than the others.
    for own in drawn.runs if band and detail else []:
        axes.plot(range(len(own)), own, lw=0.6, alpha=0.55, **same)
    cross: dict[str, Any] = {"ls": "", "marker": "x", "ms": 8, "mew": 2, **same}
    for records, own in zip(judged.condition.records.values(), drawn.runs, strict=True):
        for r in (r for r, record in enumerate(records) if record.get("collapsed")):
            if np.isfinite(own[r]):
                axes.plot([r], [own[r]], **cross)
            else:
                axes.plot([r], [0.02], transform=axes.get_xaxis_transform(), **cross)


def _reference(one: Comparison, panel: Panel) -> float | None:
    """The mean over all runs; None where there is none."""
    if not panel.reference:
        return None
    told = [judged.condition.series(panel.reference).values() for judged in one.all]
    first = np.array([own[0] for series in told for own in series])
    return float(first[np.isfinite(first)].mean()) if np.isfinite(first).any() else None


def _values(one: Comparison, panel: Panel) -> dict[str, Any]:
    """The numbers that are drawn: mean, lowest and highest seed, but of a crowd; null if none."""
    courses = {judged.look.key: course(judged.condition, panel.figure) for judged in one.all}
    longest = max(len(drawn.mean) for drawn in courses.values())
    crowd = one.is_crowd and panel.figure != one.headline
    if crowd and longest * len(courses) > _MOST_SEED_POINTS:
        courses = {}
    only = 1 if crowd else 3
    series = {
        key: [
            [_plain(value) for value in three[:only]]
            for three in zip(drawn.mean, drawn.low, drawn.high, strict=True)
        ]
        for key, drawn in courses.items()
    }
    floor = _reference(one, panel)
    real = {} if floor is None else {"floor": _plain(floor), "of": panel.of}
    return {"x": list(range(longest)), "series": series, **real}


def _plain(value: float) -> float | None:
    # One digit more than is shown.
    return float(f"{value:.5g}") if np.isfinite(value) else None
