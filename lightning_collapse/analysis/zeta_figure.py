"""The figure of ζ: losses of mixed rows against those of real ones, and ζ over the share."""

from collections.abc import Sequence
from pathlib import Path

from lightning_collapse.analysis.intervals import parts
from lightning_collapse.analysis.verdict import late
from lightning_collapse.analysis.zeta import Zeta
from lightning_collapse.toys.figures import draw_band, new_figure, save_figure, style

__all__ = ["draw_zetas"]


def draw_zetas(out: Path, told: Sequence[Zeta]) -> None:
    """Writes `zeta.png` and `.pdf`: the diagonal, and ζ with intervals, a line a width."""
    figure = new_figure(10, 4.2)
    diagonal, over = figure.subplots(1, 2)
    lines = dict.fromkeys((one.size, one.n) for one in told)
    ends = []
    for i, (size, n) in enumerate(lines):
        own = [one for one in told if (one.size, one.n) == (size, n)]
        option = own[0].option.rpartition(".")[2]
        label = f"N = {n:,}" if size is None else f"{option} = {size:g}, N = {n:,}"
        x = [late(one.real[None])[0] for one in own]
        y = [late(one.mixed[None])[0] for one in own]
        ends += [*x, *y]
        looks = {name: style(i)[name] for name in ("color", "marker")}
        # Larger the larger the share.
        sizes = [12 + 60 * one.share for one in own]
        diagonal.scatter(x, y, sizes, c=looks["color"], marker=looks["marker"], label=label)
        shares = [one.share for one in own]
        loops = [one.loop for one in own if one.loop]
        if len(loops) == len(own):
            draw_band(over, shares, *parts(loops), i=i, label=label)
        else:
            values = [sum(one.by_seed.values()) / one.seeds for one in own]
            over.plot(shares, values, lw=1.2, label=label, **style(i, len(own)))
    ends = [min(ends), max(ends)]
    diagonal.plot(ends, ends, color="black", lw=0.8, label="no cost")
    diagonal.set(xlabel="held-out loss on real rows alone")
    diagonal.set(ylabel="with samples; larger marks, more of them")
    over.axhline(0, color="black", lw=0.8)
    over.set(xlabel="share of samples", ylabel="ζ, last third of the rounds")
    for axes in (diagonal, over):
        axes.legend(fontsize=7)
    save_figure(figure, out, "zeta")
