"""Which samples to keep: the least likely keep a minority, the most likely lose it.

As theirs: digits of four classes in 8 principal components, of which one class is a fifth of the
others, and its share after 4 rounds of retraining on a half. What model theirs retrains is not
told by what was read: ours is a small diffusion network on these components.
"""

from lightning_collapse.curators import ByDensity
from lightning_collapse.data.sources.points import DigitComponents
from lightning_collapse.metrics.classes import Classes
from lightning_collapse.metrics.families import ALWAYS
from lightning_collapse.papers.claim import Claim, Evidence, Finding, Task, over_rounds, theirs
from lightning_collapse.papers.points import Loop, replicas, series
from lightning_collapse.regimes import Replace

_DIGITS = DigitComponents(8, classes=(0, 1, 2, 3), rarer=5)
_ROUNDS, _N, _HELD_OUT = 5, 400, 170
_KEPT = {"bottom": 1.49, "random": 1.11, "top": 0.68}


def _measure(task: Task) -> Evidence:
    count = replicas(task)
    loops = {
        order: Loop(
            Replace(),
            _DIGITS,
            *(_N, _ROUNDS),
            measures=(*ALWAYS, Classes(rows=_N)),
            curator=ByDensity(order=order),
            dim=_DIGITS.dim,
            held_out_rows=_HELD_OUT,
        )
        for order in ("bottom", "random", "top")
    }
    told = {order: series(loop, count, task.seed) for order, loop in loops.items()}
    kept = {}
    for order, one in told.items():
        # Of those that round 0 made, so that every order has the same to start from.
        share = one["class_shares"][:, :, -1]
        kept[order] = share / share[0]
    end = {order: values[-1] for order, values in kept.items()}
    findings = [
        Finding("minority kept, bottom less random", "above 0", end["bottom"] - end["random"], 0),
        Finding("minority kept, random less top", "above 0", end["random"] - end["top"], 0),
    ]
    lines = over_rounds(kept)
    lines += [theirs(f"theirs, {order}", [3, 4], [value] * 2) for order, value in _KEPT.items()]
    return Evidence("round", "share of the minority over that of round 0", findings, lines)


CLAIM = Claim(
    authors="likelihood ranking",
    source="2025, public code",
    says="keeping the least likely samples keeps minorities, keeping the most likely loses them",
    setting="digits 0 to 3 in 8 components, one class a fifth, Replace by half of 400, 4 rounds",
    figure="minority kept: bottom 1.49 ± .11, random 1.11 ± .08, top .68 ± .17",
    provenance="table of their repository, as read",
    data="points",
    cost=(3, 1),
    measure=_measure,
    why="the order is theirs; the shares move farther here, down to none for the most likely",
)
