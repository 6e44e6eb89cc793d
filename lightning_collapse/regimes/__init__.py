"""Regimes: pure rules that say which rows of the pool a round trains on.

`regime` has what a rule is made of, `rules` has the six that are named in the literature.
"""

from lightning_collapse.regimes.regime import REAL, Block, Draw, Drawn, Fixed, Kept, Regime, joined
from lightning_collapse.regimes.rules import (
    Accumulate,
    AccumulateSubsample,
    Augment,
    Fresh,
    Replace,
    Turnover,
)

__all__ = [
    "REAL",
    "Accumulate",
    "AccumulateSubsample",
    "Augment",
    "Block",
    "Draw",
    "Drawn",
    "Fixed",
    "Fresh",
    "Kept",
    "Regime",
    "Replace",
    "Turnover",
    "joined",
]
