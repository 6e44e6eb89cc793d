"""Collapse against how much of the data is synthetic: the share λ, and the real rows left."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lightning_collapse.analysis.intervals import Interval, t_interval
from lightning_collapse.analysis.real_rows import RealRows, of_conditions
from lightning_collapse.analysis.verdict import late
from lightning_collapse.report.comparison import Comparison, Judged
from lightning_collapse.report.drawn import SERIES, Drawn, drawing, lay_out, place
from lightning_collapse.report.looks import INK, MUTE, looks_of

__all__ = ["draw_doses", "end_state", "least_real"]


@dataclass(frozen=True)
class _Axis:
    name: str
    field: str
    label: str
    caption: str


_AXES = (
    _Axis("dose", "synthetic_fraction", "synthetic share λ of the last round", "By the share λ."),
    _Axis("real_rows", "n_real", "real rows in the last round", "By the real rows in a round."),
)


def end_state(judged: Judged, figure: str, *, controlled: bool) -> Interval | None:
    """Gives the excess over the control, or the figure itself, in the last third of the rounds.

    None where it is not known; of one run, an interval without width.
    """
    if judged.verdict.excess is not None:
        return judged.verdict.excess
    own = judged.condition.series(figure)
    beside = judged.control.series(figure) if controlled and judged.control else {}
    rounds = min(len(values) for values in (*own.values(), *beside.values()))
    values = [
        y[:rounds] - (beside[replica][:rounds] if controlled else 0.0)
        for replica, y in own.items()
        if not controlled or replica in beside
    ]
    last = late(np.array(values)) if values else np.array([np.nan])
    if not np.isfinite(last).all():
        return None
    return t_interval(last) if len(last) > 1 else Interval(last[0], last[0], last[0], 1)


def least_real(one: Comparison) -> list[tuple[str, RealRows]]:
    """Gives the least number of real rows by the verdicts of each regime of which it is asked.

    That is of conditions which differ in it, and keep as many real rows from round 1 on.
    """
    found = []
    for regime, judged in one.families.items():
        kept = [{int(r["n_real"]) for r in each.condition.first[1:]} for each in judged]
        controls = {id(each.control) for each in judged}
        control = judged[0].control
        mixed = not all(each.condition.is_real for each in judged)
        told = all(len(rows) == 1 for rows in kept) and len(set().union(*kept)) == len(judged) > 1
        if control and mixed and told and len(controls) == 1:
            found.append((regime, of_conditions([each.condition for each in judged], control)))
    return found


def draw_doses(one: Comparison, *, legend: bool) -> list[Drawn]:
    """Draws the end state against each axis along which conditions of a regime differ."""
    return [
        _draw(one, axis, told, legend)
        for axis in _AXES
        if (
            told := {
                regime: judged
                for regime, judged in one.families.items()
                if len({each.condition.first[-1].get(axis.field) for each in judged}) > 1
            }
        )
    ]


def _draw(
    one: Comparison, axis: _Axis, told: Mapping[str, Sequence[Judged]], legend: bool
) -> Drawn:
    from matplotlib.figure import Figure

    # Excess and figure are not of one axis.
    controlled = any(judged.control is not None for each in told.values() for judged in each)
    points: list[tuple[float, Judged, Interval]] = []
    with drawing():
        figure = Figure(figsize=(4.6, 3.0 + 0.4 * legend), layout="constrained")
        axes = figure.subplots()
        dashes = {
            regime: each.dash
            for regime, each in zip(one.families, looks_of(len(one.families)), strict=True)
        }
        for regime, judged in told.items():
            ends = [
                (float(each.condition.first[-1][axis.field]), each, end)
                for each in judged
                if (end := end_state(each, one.headline, controlled=controlled)) is not None
            ]
            known = sorted(ends, key=lambda row: row[0])
            x = [at for at, _, _ in known]
            means = [end.mean for *_, end in known]
            axes.plot(x, means, label=regime, color=INK, lw=1, linestyle=dashes[regime])
            for at, each, end in known:
                error = [[end.mean - end.low], [end.high - end.mean]]
                axes.errorbar(
                    [at],
                    [end.mean],
                    error,
                    capsize=3,
                    lw=1.2,
                    ms=6,
                    color=each.look.light,
                    marker=each.look.marker,
                    gid=f"{SERIES}{each.look.key}",
                )
                points.append((at, each, end))
        margin = one.judged[0].verdict.margin
        if controlled and np.isfinite(margin):
            axes.axhline(margin, color=MUTE, lw=1.2, label="margin")
        axes.set_xlabel(axis.label)
        what = f"excess of {one.headline} over the control" if controlled else one.headline
        figure.suptitle(f"{what}, last third of rounds", fontsize=9, ha="left", x=0.01)
        if legend:
            figure.legend(loc="outside lower center", ncols=3, fontsize=8)
        lay_out(figure)
        px = place(axes, [at for at, *_ in points])["px"]
    said = [
        f"{each.label}, at {at:.4g}: {end if end.n > 1 else f'{end.mean:.3g}, one seed'}"
        for at, each, end in points
    ]
    values = {"points": [list(pair) for pair in zip(px, said, strict=True)]}
    caption = f"{axis.caption} Bars: Student's 95 % interval over seeds; one line a regime"
    caption += ", grey: the margin." if controlled else "."
    return Drawn(axis.name, figure, caption, f"{what} against the {axis.label}", values)
