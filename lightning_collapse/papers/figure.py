"""A claim's figure: theirs in black, ours in colour."""

from pathlib import Path

from lightning_collapse.papers.claim import Claim, Evidence
from lightning_collapse.toys.figures import draw_band, new_figure, save_figure

__all__ = ["draw_claim"]


def draw_claim(out: Path, name: str, claim: Claim, told: Evidence, verdict: str) -> None:
    """Writes NAME.png and NAME.pdf to a folder."""
    figure = new_figure(7, 4.8)
    axes = figure.subplots()
    mine = 0
    for line in told.lines:
        if line.theirs:
            axes.plot(line.x, line.y, "--", color="black", lw=1.2, label=f"theirs: {line.label}")
            if line.low is not None and line.high is not None:
                axes.fill_between(line.x, line.low, line.high, color="black", alpha=0.1, lw=0)
            continue
        low, high = (line.y if end is None else end for end in (line.low, line.high))
        draw_band(axes, line.x, line.y, low, high, i=mine, label=line.label)
        mine += 1
    for axis in told.log:
        axes.set(**{f"{axis}scale": "log"})
    axes.set(xlabel=told.x, ylabel=told.y)
    axes.set_title(f"{claim.authors} ({claim.source}), {claim.data}: {verdict}", fontsize=9)
    axes.legend(fontsize=7, frameon=False)
    axes.grid(alpha=0.3)
    save_figure(figure, out, name)
