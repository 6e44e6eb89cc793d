"""Strong collapse on a network: what half of synthetic rows cost one of 8, 32 and 128 features.

ζ is the held-out loss of a round on half real, half synthetic rows above that of as many real
ones, of the same seeds. The paper's networks are of another kind, and larger.
"""

from lightning_collapse.papers.claim import Claim, Evidence, Finding, Task, ours
from lightning_collapse.papers.points import Loop, control_of, series
from lightning_collapse.regimes import Replace

_WIDTHS = (8, 32, 128)


def _measure(task: Task) -> Evidence:
    zeta, count = [], task.replicas(96, least=4)
    for width in _WIDTHS:
        loop = Loop(Replace(0.5), width=width, rounds=2)
        mixed, real = (
            series(one, count, task.seed)["val_loss"] for one in (loop, control_of(loop))
        )
        zeta.append((mixed - real)[-1])
    findings = [
        Finding(f"ζ of width {width}", "above 0", values, low=0.0)
        for width, values in zip(_WIDTHS, zeta, strict=True)
    ]
    findings.append(
        Finding("ζ of the largest less the smallest", "above 0", zeta[-1] - zeta[0], low=0.0)
    )
    lines = [ours("ζ", _WIDTHS, zeta)]
    return Evidence("width", "ζ: excess of the held-out loss", findings, lines, log="x")


CLAIM = Claim(
    authors="Dohmatob et al.",
    source="2024, 2410.04840",
    says="on networks too synthetic rows cost, and larger ones more, up to interpolation",
    setting="three Gaussians, N = 500, half synthetic, widths 8, 32, 128",
    figure="ζ > 0, growing with size (figures)",
    provenance="abstract, qualitative",
    data="points",
    cost=(6, 2),
    measure=_measure,
    why="synthetic rows cost at every size, the smallest network most; here each size learns from "
    "samples of its own, which are worse the smaller it is, and theirs from the same: which of "
    "the two decides was not run; seeds were added after the first 6 could not tell",
)
