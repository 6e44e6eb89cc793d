"""What may stand in one figure: conditions whose figures mean the same, each with its verdict.

Runs are told apart by what their figures depend on: the feature space, the numbers of training,
held-out and measured rows, where the real rows are from, and the version that made them. Each set
of these is a comparison of its own; no curve goes across.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lightning_collapse.analysis.conditions import (
    Condition,
    checked_records,
    controls_among,
    grouped,
    unlike,
)
from lightning_collapse.analysis.meanings import headline, headline_figure
from lightning_collapse.analysis.profile import chosen_control
from lightning_collapse.analysis.verdict import Verdict
from lightning_collapse.report.looks import CONTROL, Look, looks_of, looks_of_families
from lightning_collapse.runs.layout import Run

__all__ = [
    "MOST_TOGETHER",
    "Comparison",
    "Course",
    "Judged",
    "compare",
    "course",
    "told_in_a_line",
]

Array = NDArray[np.float64]
Record = Mapping[str, Any]

MOST_TOGETHER = 8
"""Conditions in one panel; more are a crowd."""

_MOST_LETTERS = 40
"""Of a value in a title."""

_ROWS = ("n_train", "n_held_out", "fd_n")
_REGIME = ("regime", "regime_options", "n_samples", "data.regime", "data.samples_per_round")


@dataclass(frozen=True)
class Judged:
    """A condition as it is told.

    Attributes:
        condition: its runs.
        label: short, unlike any other's in its comparison.
        look: colour, dash and marker.
        verdict: on the headline figure.
        control: runs on real rows alone that it is judged beside; None where there are none.
    """

    condition: Condition
    label: str
    look: Look
    verdict: Verdict
    control: Condition | None

    @property
    def pairs(self) -> list[tuple[Run, Sequence[Record]]]:
        """Each run of the condition, and its records."""
        own = self.condition
        return list(zip(own.runs.values(), own.records.values(), strict=True))


@dataclass(frozen=True)
class Comparison:
    """Conditions that may stand in one figure.

    Attributes:
        judged: the conditions, but for controls.
        controls: runs on real rows alone, likewise told; their verdict is not asked for.
        ramp: name of the number that the conditions differ by, if it is all they do; else "".
        apart: what tells it from others that were read with it and are else of one title.
    """

    judged: list[Judged]
    controls: list[Judged]
    ramp: str
    apart: str = ""

    @property
    def all(self) -> list[Judged]:
        """Conditions and controls."""
        return [*self.judged, *self.controls]

    @property
    def is_crowd(self) -> bool:
        """Whether there are more conditions than one panel shows."""
        return len(self.judged) > MOST_TOGETHER

    @property
    def families(self) -> dict[str, list[Judged]]:
        """Conditions by regime, in the order in which these first occur."""
        found: dict[str, list[Judged]] = {}
        for judged in self.judged:
            found.setdefault(str(judged.condition.first[-1]["regime"]), []).append(judged)
        return found

    @property
    def first(self) -> Condition:
        """The first condition, for what all have in common."""
        return self.all[0].condition

    @property
    def headline(self) -> str:
        """The figure that the verdicts are on."""
        return headline_figure(self.first)

    @property
    def runs(self) -> list[Run]:
        """All runs."""
        return [run for one in self.all for run in one.condition.runs.values()]

    @property
    def title(self) -> str:
        """What all runs have in common, in a few words, and no other comparison's do."""
        first = self.first.first[0]
        named = json.loads(self.first.settings.get("data.source.class_path", '""'))
        source = str(named).rpartition(".")[2]
        rows = f"N = {first['n_train']}, {first['n_held_out']} held out, n = {first.get('fd_n')}"
        return ", ".join(filter(None, [source, self.first.space, rows, self.apart]))


@dataclass(frozen=True)
class Course:
    """A figure over the rounds of a condition.

    Attributes:
        runs: of each run (K,), which may be of different lengths.
        mean: over runs, of the rounds that all have; NaN where any lacks it.
        low: the lowest run, likewise.
        high: the highest.
    """

    runs: list[Array]
    mean: Array
    low: Array
    high: Array

    @property
    def is_known(self) -> bool:
        """Whether there is any number to tell."""
        return any(np.isfinite(own).any() for own in self.runs)


def course(condition: Condition, figure: str) -> Course:
    """Reads a figure of all rounds of a condition's runs."""
    runs = list(condition.series(figure).values())
    both = np.stack([own[: condition.rounds] for own in runs])
    return Course(runs, both.mean(0), both.min(0), both.max(0))


@contextmanager
def told_in_a_line(path: Path) -> Iterator[None]:
    """Has records that nobody could read, such as a text for a number, be a ValueError."""
    try:
        yield
    except (LookupError, TypeError, AttributeError, ArithmeticError) as error:
        raise ValueError(f"{path}: holds records that cannot be read ({error!r:.300})") from error


def compare(runs: Iterable[Run]) -> list[Comparison]:
    """Groups runs into comparisons, in the order in which these first occur.

    Raises:
        FileNotFoundError: a run has no finished round.
        ValueError: a run is damaged, or two are of one condition and seed.
    """
    groups: dict[str, tuple[dict[str, str], dict[Run, Sequence[Record]]]] = {}
    for run in runs:
        records = checked_records(run)
        key = _key(run, records)
        groups.setdefault(json.dumps(key, sort_keys=True), (key, {}))[1][run] = records
    found = [(key, _compared(grouped(group))) for key, group in groups.values()]
    return [
        replace(one, apart=_apart(key, [own for own, other in found if other.title == one.title]))
        for key, one in found
    ]


def _key(run: Run, records: Sequence[Record]) -> dict[str, str]:
    """What figures depend on, beside the condition, by names that can be read."""
    first = records[0]
    named = sorted(name for name in first if name.startswith(("fd_", "fid", "sw2_points")))
    version = (first.get("versions") or {}).get("lightning_collapse")
    known = run.config.experiment() if run.config.path.exists() else {}
    # A run may have gone on with measures of other numbers of samples.
    sizes = sorted({str(record.get("fd_n")) for record in records})
    return {
        "figures": " and ".join(named),
        "version": str(version),
        **{name: str(first.get(name)) for name in _ROWS},
        "samples measured": " and ".join(sizes),
        **{key: value for key, value in known.items() if key.startswith("data.source")},
    }


def _apart(key: Mapping[str, str], keys: Sequence[Mapping[str, str]]) -> str:
    """What of a key is not in all of some."""
    names = dict.fromkeys(name for other in keys for name in other if name not in _ROWS)
    told = [name for name in names if len({other.get(name) for other in keys}) > 1]
    if (
        any(name.startswith("data.source") for name in told)
        and "data.source.class_path" not in key
    ):
        return "of an unknown source, without config.yaml"
    return ", ".join(
        f"{name.rpartition('.')[2]} {_cut(key[name])}" for name in told if name in key
    )


def _cut(text: str) -> str:
    return text if len(text) <= _MOST_LETTERS else f"{text[:_MOST_LETTERS]}…"


def _compared(read: Sequence[Condition]) -> Comparison:
    controls = controls_among(read)
    others = [one for one in read if one not in controls]
    if not others:
        # A control has nothing beside it; several retrain differently, each a condition.
        others, controls = list(read), []
    labels = _labels(others)
    ramp = _ramp(others)
    grouped = [list(own) for _, own in groupby(others, lambda one: one.settings["regime"])]
    if len(others) > MOST_TOGETHER and not ramp and all(map(_ramp, grouped)):
        looks = looks_of_families(list(map(len, grouped)))
    else:
        looks = looks_of(len(others), ramped=bool(ramp))
    judged = []
    for one, label, look in zip(others, labels, looks, strict=True):
        beside = _control_of(one, controls)
        judged.append(Judged(one, label, look, headline(one, beside), beside))
    named = ["control"] if len(controls) == 1 else [_control_label(one) for one in controls]
    kept = [
        Judged(one, label, CONTROL.numbered(i), headline(one, None), None)
        for i, (one, label) in enumerate(zip(controls, named, strict=True))
    ]
    return Comparison(judged, kept, ramp)


def _control_of(one: Condition, controls: Sequence[Condition]) -> Condition | None:
    """The control that differs the least from a condition, and not in round 0; None in doubt."""

    def apart(other: Condition) -> int:
        names = {name for name in {*one.settings, *other.settings} if not name.startswith(_REGIME)}
        return sum(one.settings.get(name) != other.settings.get(name) for name in names)

    fitting = sorted((other for other in controls if not unlike(one, other)), key=apart)
    if len(fitting) == 1:
        return chosen_control([one], fitting)[1]
    return fitting[0] if fitting and apart(fitting[0]) < apart(fitting[1]) else None


def _labels(told: Sequence[Condition]) -> list[str]:
    """The shortest of four ways to name conditions that tells them apart."""
    regimes = [json.loads(one.settings["regime"]) for one in told]
    options = [json.loads(one.settings["regime_options"]) or {} for one in told]
    differing = []
    for regime, own in zip(regimes, options, strict=True):
        same = [o for r, o in zip(regimes, options, strict=True) if r == regime]
        names = [name for name in own if any(o.get(name) != own[name] for o in same)]
        differing.append(", ".join([regime, *(f"{_short(n)} = {_value(own[n])}" for n in names)]))
    # A setting by the last part of its name.
    settings = list(map(_options, told))
    named = [", ".join(filter(None, pair)) for pair in zip(differing, settings, strict=True)]
    for labels in (regimes, differing, named):
        if len(set(labels)) == len(labels):
            return labels
    return [one.name for one in told]


def _options(one: Condition) -> str:
    """What tells a condition from others of its regime: by the last parts of names, in short."""
    told = re.sub(r'[\w.]+\.(\w+ = )|"', r"\1", one.name.partition("), ")[2])
    told = re.sub(r"\d+\.\d{4,}", lambda number: f"{float(number[0]):.3g}", told)
    return re.sub(r"\[([^],]*, [^],]*), [^]]{20,}\]", r"[\1, …]", told)


def _control_label(one: Condition) -> str:
    return (
        f"control, {_options(one)}"
        if ", " in one.name.partition(")")[2]
        else f"control: {one.name}"
    )


def _value(value: Any) -> str:
    """A value in few words: of a regime inside another, its name and options."""
    if isinstance(value, dict) and "class_path" in value:
        options = (value.get("init_args") or {}).items()
        inside = ", ".join(f"{_short(name)} = {_value(each)}" for name, each in options)
        return f"{value['class_path'].rpartition('.')[2]}({inside})"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _short(option: str) -> str:
    return "λ" if option == "synthetic_fraction" else option


def _ramp(told: Sequence[Condition]) -> str:
    """The one option of one regime, a number, by which three or more conditions differ."""
    if len(told) < 3 or len({one.settings["regime"] for one in told}) > 1:
        return ""
    options = [json.loads(one.settings["regime_options"]) or {} for one in told]
    names = [name for name in options[0] if len({str(own.get(name)) for own in options}) > 1]
    if len(names) != 1 or len({str(own.get(names[0])) for own in options}) < len(told):
        return ""
    numbers = all(isinstance(own.get(names[0]), (int, float)) for own in options)
    return _short(names[0]) if numbers else ""
