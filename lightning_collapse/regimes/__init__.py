"""Regimes: pure rules that say which rows of the pool a round trains on.

`regime` has what a rule is made of, `rules` the six that are named in the literature, `schedules`
those that change from round to round.
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
from lightning_collapse.regimes.schedules import FreshAccumulate, Growing, SlidingWindow, Then

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
    "FreshAccumulate",
    "Growing",
    "Kept",
    "Regime",
    "Replace",
    "SlidingWindow",
    "Then",
    "Turnover",
    "joined",
]
