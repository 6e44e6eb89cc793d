"""ζ on a network: what samples among the training rows cost, over their share and the width.

ζ = L(mixed) - L(all real), the held-out loss on real rows at the same number of rows and the same
compute, paired by seed, whose noise both share: the estimator of theory for Strong Model Collapse
(Dohmatob et al. 2025, 2410.04840). Round 1 is the paper's setting, as its samples come from a
network that has seen real rows alone; but that network is of the same width, so that what a width
amplifies holds the quality of its own samples too. The loop's ζ is the mean over the last third
of the rounds. On the plot of one loss against the other the diagonal is no collapse.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lightning_collapse.analysis.conditions import Condition, Replica, controls_among
from lightning_collapse.analysis.intervals import Interval, t_interval
from lightning_collapse.analysis.verdict import late

__all__ = ["Amplification", "Zeta", "amplification", "zetas"]

Array = NDArray[np.float64]

_LOSS = "val_loss"
_NETWORK = "model.network."
# What tells a mixed condition from its control.
_MIXES = ("regime", "data.regime", "data.samples_per_round", "n_samples")


@dataclass(frozen=True)
class Zeta:
    """One share of samples at one width.

    Attributes:
        size: of the network, in terms of `option`; None where all runs have the same.
        option: that sets it; "" likewise.
        share: of samples among the rows of a round, in [0, 1].
        n: N, training rows of round 0.
        seeds: that the condition has in common with its control.
        mixed: held-out loss of each round (K,), the mean over seeds.
        real: the same of the control.
        rounds: ζ of each round from round 1 on; None for fewer than two seeds.
        loop: ζ in the last third of the rounds, likewise.
        by_seed: the same for each seed.
    """

    size: float | None
    option: str
    share: float
    n: int
    seeds: int
    mixed: Array
    real: Array
    rounds: list[Interval | None]
    loop: Interval | None
    by_seed: dict[Replica, float]


@dataclass(frozen=True)
class Amplification:
    """Whether larger networks lose more at one share of samples.

    Attributes:
        share: of samples.
        n: N.
        slope: of the loop's ζ over the logarithm of the width to base 2, over seeds; None where
            there are fewer than two seeds, or one width.
        word: `amplified` where it is above 0, `mitigated` where it is below, else `not told`.
    """

    share: float
    n: int
    slope: Interval | None
    word: str


def zetas(conditions: Sequence[Condition]) -> list[Zeta]:
    """Compares every condition that trains on samples with its control.

    Args:
        conditions: of mixed runs, and of runs on real rows that are like them otherwise.

    Returns:
        By width, rows and share.

    Raises:
        ValueError: a condition has no control, or no seed in common with it; two have the same
            share; or networks differ in more than one number.
    """
    mixed = [one for one in conditions if not one.is_real]
    controls = controls_among(conditions)
    if not mixed:
        raise ValueError("runs: none trains on samples; name those that do, beside their control")
    option = _option(mixed)
    found: dict[tuple[float, int, float], Zeta] = {}
    for one in mixed:
        told = _zeta(one, _control_of(one, controls), option)
        at = (told.size or 0.0, told.n, told.share)
        if at in found:
            raise ValueError(
                f"runs: {one.name} is of a share, {told.share:.3g}, that another condition has "
                "too; name runs of one regime"
            )
        found[at] = told
    return [found[at] for at in sorted(found)]


def _option(conditions: Sequence[Condition]) -> str:
    names = dict.fromkeys(name for one in conditions for name in one.settings)
    differing = [
        name
        for name in names
        # What some do not name, their version may not have known.
        if name.startswith(_NETWORK) and len({one.settings.get(name) for one in conditions}) > 1
        if name.endswith(".class_path") or all(name in one.settings for one in conditions)
    ]
    if len(differing) > 1:
        raise ValueError(f"runs: networks differ in {', '.join(differing)}; name runs of one kind")
    if differing and not all(_is_number(one.settings.get(differing[0])) for one in conditions):
        raise ValueError(f"runs: {differing[0]} differs, and is no number")
    return differing[0] if differing else ""


def _is_number(text: str | None) -> bool:
    value = json.loads(text or "null")
    return isinstance(value, (int, float)) and value > 0


def _control_of(one: Condition, controls: Sequence[Condition]) -> Condition:
    for control in controls:
        if _but_mixing(one.settings) == _but_mixing(control.settings):
            return control
    raise ValueError(
        f"control: {one.name} has none; add runs on real rows alone, Replace at λ = 0, that are "
        "like it otherwise"
    )


def _but_mixing(settings: Mapping[str, str]) -> dict[str, str]:
    return {
        name: value
        for name, value in settings.items()
        if not any(name == head or name.startswith((f"{head}.", f"{head}_")) for head in _MIXES)
    }


def _zeta(one: Condition, control: Condition, option: str) -> Zeta:
    rounds = min(one.rounds, control.rounds)
    seeds = [replica for replica in one.runs if replica in control.runs]
    if not seeds:
        raise ValueError(f"control: has no seed in common with {one.name}; run the same ones")
    mixed, real = (
        np.stack([of.series(_LOSS)[seed][:rounds] for seed in seeds]) for of in (one, control)
    )
    apart = mixed - real
    loop = late(apart)
    last = one.first[-1]
    return Zeta(
        float(json.loads(one.settings[option])) if option else None,
        option,
        int(last["n_synthetic"]) / (int(last["n_synthetic"]) + int(last["n_real"])),
        int(one.first[0]["n_train"]),
        len(seeds),
        mixed.mean(0),
        real.mean(0),
        [_interval(column) for column in apart.T[1:]],
        _interval(loop),
        dict(zip(seeds, loop.tolist(), strict=True)),
    )


def _interval(values: Array) -> Interval | None:
    return t_interval(values) if len(values) > 1 and np.isfinite(values).all() else None


def amplification(told: Sequence[Zeta]) -> list[Amplification]:
    """Tells at each share whether ζ grows with the width, by the slope of each seed."""
    found = []
    for n, share in dict.fromkeys((one.n, one.share) for one in told):
        at = [one for one in told if (one.n, one.share) == (n, share) and one.size]
        seeds = set.intersection(*(set(one.by_seed) for one in at)) if at else set()
        slope = None
        if len(at) > 1 and len(seeds) > 1:
            width = np.log2([one.size or 1.0 for one in at])
            width -= width.mean()
            values = np.array([[one.by_seed[seed] for seed in sorted(seeds)] for one in at])
            slope = _interval(width @ values / np.square(width).sum())
        word = "not told"
        if slope is not None and (slope.low > 0 or slope.high < 0):
            word = "amplified" if slope.low > 0 else "mitigated"
        found.append(Amplification(share, n, slope, word))
    return sorted(found, key=lambda one: (one.n, one.share))
