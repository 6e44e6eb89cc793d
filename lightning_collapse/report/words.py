"""What a report says in words: the verdict, what is missing, what to beware of."""

import json
import re
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import numpy as np

from lightning_collapse.analysis.intervals import t_interval
from lightning_collapse.report.comparison import Comparison, Judged
from lightning_collapse.runs.layout import Run

__all__ = [
    "at_round",
    "beside",
    "closing",
    "in_words",
    "joined",
    "missing",
    "planned_rounds",
    "told",
    "warnings_of",
]

_NO_SAMPLES = {"synthetic_fraction": 0}
_ALONE = "trains on real rows alone, a control of nothing that is here"
_STILL = 1e-6
_MOST_RUNS, _MOST_NAMED, _MOST_LETTERS = 5, 4, 160


def joined(words: Sequence[str]) -> str:
    """Gives `a`, `a and b`, `a, b and c`; `a, b; c` where words have commas of their own."""
    if any(", " in word for word in words):
        return "; ".join(words)
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]])) if words else ""


def closing(one: Comparison) -> str:
    """Gives the verdicts of a comparison in one sentence."""
    by_word: dict[str, list[str]] = {}
    for judged in one.judged:
        word: str = judged.verdict.word
        if word == "undecided" and len(_ended(judged)) == len(judged.condition.runs):
            word = "ended"
        by_word.setdefault(word, []).append(judged.label)
    parts = []
    for word, one_is, many_are in (
        ("collapses", "collapses", "collapse"),
        ("ended", "collapsed outright in every run", "collapsed outright in every run"),
        ("stable", "is stable", "are stable"),
    ):
        if labels := by_word.get(word):
            parts.append(f"{_listed(labels)} {one_is if len(labels) == 1 else many_are}")
    if labels := by_word.get("undecided"):
        parts.append(f"of {_listed(labels)} it cannot be told yet")
    sentence = "; ".join(parts)
    return f"{sentence[:1].upper()}{sentence[1:]}."


def _ended(judged: Judged) -> list[str]:
    """The runs that have come to samples which no figure can be taken of, even if they went on."""
    return [
        run.path.name
        for run, own in judged.pairs
        if any(record.get("collapsed") for record in own)
    ]


def _listed(labels: Sequence[str]) -> str:
    """Names conditions, what their names begin with but once; counts them if they are many."""
    if len(labels) > _MOST_NAMED:
        return f"{len(labels)} conditions"
    head = labels[0].rpartition("= ")[0]
    values = [label.removeprefix(f"{head}= ") for label in labels]
    if head and all(re.fullmatch(r"[\d.]+(e-?\d+)?", value) for value in values):
        labels = [labels[0], *values[1:]]
    told = joined(labels)
    return told if len(labels) == 1 or len(told) <= _MOST_LETTERS else f"{len(labels)} conditions"


def told(judged: Judged, figure: str) -> str:
    """Gives the verdict on a condition, on what it rests, and the course that was seen."""
    one = judged.verdict
    first, last = (at_round(judged, figure, r) for r in (0, judged.condition.rounds - 1))
    seen = f"{figure} {first} in round 0, {last} in round {judged.condition.rounds - 1}"
    if one.excess is None:
        why = _ALONE if judged.control is None and judged.condition.is_real else one.why
        return f"undecided, {why}; {seen}"
    what = f"{one.word}, {one.course}: {one.excess} above the control; margin {one.margin:.3g}"
    what += f", {one.seeds} paired seeds"
    if one.why:
        what += f"; {one.why}: {one.seeds_wanted} would tell"
    return f"{what}; {seen}"


def at_round(judged: Judged, figure: str, r: int) -> str:
    """Gives a figure of a round: mean and 95 % interval over seeds, or the one number."""
    values = np.array([own[r] for own in judged.condition.series(figure).values()])
    if not np.isfinite(values).all():
        return "–"
    return str(t_interval(values)) if len(values) > 1 else f"{values[0]:.3g}"


def missing(one: Comparison) -> list[str]:
    """Names what would have to be there for more to be told; empty where nothing is."""
    lacking: dict[str, list[str]] = {}
    for judged in one.judged:
        lacking.setdefault(_why(one, judged), []).append(judged.label)
    found = [f"{_listed(labels)}: {why}" for why, labels in lacking.items() if why]
    for judged in one.judged:
        own, other = judged.condition.runs, judged.control.runs if judged.control else {}
        alone = [str(replica.seed) for replica in own if replica not in other]
        if other and 0 < len(alone) < len(own):
            found.append(
                f"{judged.label}: seed{'s' * (len(alone) > 1)} {joined(alone)} without a run of "
                "the control, and no part of the verdict"
            )
    found += filter(None, (_unknown(judged, one.headline) for judged in one.all))
    if len(one.controls) > 1 and any(judged.control is None for judged in one.judged):
        found.append("several controls fit a condition alike: name runs of one")
    going = [
        f"{run.path.name} ({len(records)} of {planned} rounds)"
        for judged in one.all
        for run, records in judged.pairs
        if (planned := planned_rounds(run))
        and len(records) < planned
        and not records[-1].get("collapsed")
    ]
    if going:
        found.append(f"still going, or stopped: {_some(going)}")
    return found


def in_words(one: Comparison) -> list[str]:
    """Gives a line a verdict, and what is to be said beside them, or missing."""
    return [
        *(f"{judged.label}: {told(judged, one.headline)}" for judged in one.judged),
        *(f"beside it: {line}" for line in beside(one)),
        *(f"missing: {line}" for line in missing(one)),
    ]


def beside(one: Comparison) -> list[str]:
    """Says what verdicts do not say of themselves and a reader would want to know with them."""
    ended = [
        f"{judged.label}: {len(runs)} of its {len(judged.condition.runs)} runs collapsed "
        f"outright, {_some(runs)}"
        for judged in one.all
        if (runs := _ended(judged))
    ]
    return [*filter(None, (_early(judged, one.headline) for judged in one.judged)), *ended]


def _why(one: Comparison, judged: Judged) -> str:
    """What a condition's verdict lacks; "" where it lacks nothing."""
    condition, control, why = judged.condition, judged.control, judged.verdict.why
    if condition.rounds < 2:
        return "only round 0 is there, which trains on real rows"
    if control is None and condition.is_real:
        return _ALONE
    if control is None and any(
        json.loads(other.condition.settings["regime_options"]) == _NO_SAMPLES
        for other in one.judged
        if other.condition.rounds < 2
    ):
        return "no control yet: of the one that is here only round 0"
    if control is not None and not judged.verdict.seeds:
        seeds = ({replica.seed for replica in each.runs} for each in (condition, control))
        if set.intersection(*seeds):
            return "the control's runs of these seeds are of other splits; run it on the same"
    return why


def _unknown(judged: Judged, figure: str) -> str:
    """Names rounds in which a figure is null, though their samples have not collapsed."""
    series = judged.condition.series(figure)
    rounds = {
        r
        for replica, own in judged.condition.records.items()
        for r, record in enumerate(own)
        if not np.isfinite(series[replica][r]) and not record.get("collapsed")
    }
    if not rounds:
        return ""
    return f"{judged.label}: {figure} is not known in {_spans(rounds)}"


def _spans(rounds: Collection[int]) -> str:
    """Gives rounds in few words: `round 3`, `rounds 3 to 7`, `rounds 3, 5 to 7 and 9`."""
    parts: list[list[int]] = []
    for r in sorted(rounds):
        if parts and parts[-1][-1] == r - 1:
            parts[-1] = [parts[-1][0], r]
        else:
            parts.append([r])
    told = joined([" to ".join(map(str, part)) for part in parts])
    return f"round{'s' * (len(rounds) > 1)} {told}"


def planned_rounds(run: Run) -> int | None:
    """Gives how many rounds a run was to make; None where no configuration says so."""
    try:
        planned = run.config.read().get("trainer", {}).get("max_epochs")
    except (OSError, ValueError, AttributeError):
        return None
    return planned if type(planned) is int and planned > 0 else None


def warnings_of(one: Comparison) -> list[str]:
    """Gives what makes figures of these runs worth less than they look."""
    found: dict[str, list[str]] = {}
    for run, records in (pair for judged in one.all for pair in judged.pairs):
        for what in _of_run(run, records):
            found.setdefault(what, []).append(run.path.name)
    told = [f"{what}: {_some(names)}" for what, names in found.items()]
    for judged in one.all:
        records = [record for _, own in judged.pairs for record in own]
        made = {(r["device"], r["processes"]) for r in records if "device" in r}
        if len(made) > 1:
            where = joined(sorted(f"{device} × {n}" for device, n in made))
            told.append(f"{judged.label}: rounds were made on {where}")
    return told


def _early(judged: Judged, figure: str) -> str:
    """Says so where a condition is off its control before it trains on any sample."""
    excess, control = judged.verdict.excess, judged.control
    if excess is None or control is None or judged.condition.first[0]["n_synthetic"]:
        return ""
    both = [each.series(figure) for each in (judged.condition, control)]
    pairs = [replica for replica in both[0] if replica in both[1]]
    first, other = (float(np.mean([own[replica][0] for replica in pairs])) for own in both)
    if excess.mean <= 0 or not first - other > max(judged.verdict.margin, excess.mean / 2):
        return ""
    rows = [each.first[0]["n_real"] for each in (judged.condition, control)]
    of = f", of {rows[0]} real rows and not {rows[1]}" if rows[0] != rows[1] else ""
    return (
        f"{judged.label}: most of its excess is there in round 0, before any sample: {figure} "
        f"{first:.3g} beside the control's {other:.3g}{of}"
    )


def _of_run(run: Run, records: Sequence[Any]) -> Iterator[str]:
    if not run.config.path.exists():
        yield "without config.yaml, so that conditions differ by what records hold alone"
    collapsed: dict[str, list[int]] = {}
    for record in records:
        if record.get("collapsed"):
            collapsed.setdefault(str(record["collapsed"]), []).append(record["round"])
        if record.get("n_nonfinite"):
            yield f"{record['n_nonfinite']} samples of round {record['round']} are not finite"
    for why, rounds in collapsed.items():
        yield f"collapsed in {_spans(rounds)} ({why})"
    skipped = sum(record.get("steps_skipped") or 0 for record in records)
    if skipped:
        yield f"{skipped} training steps were skipped"
    still = [
        str(record["round"])
        for record in records
        if record.get("weights_moved") is not None and record["weights_moved"] < _STILL
    ]
    if still:
        yield f"frozen average: the weights did not move in round {joined(still)}"
    sizes = sorted({record["fd_n"] for record in records if record.get("fd_n")})
    if len(sizes) > 1:
        yield f"figures of {joined(list(map(str, sizes)))} samples: rounds do not compare"
    versions = {(record.get("versions") or {}).get("lightning_collapse") for record in records}
    if len(versions) > 1:
        yield f"rounds were made by versions {joined(sorted(map(str, versions)))}"
    cautions: dict[str, list[str]] = {}
    for name, text in (records[-1].get("cautions") or {}).items():
        cautions.setdefault(str(text), []).append(name)
    yield from (f"{joined(names)}: {text}" for text, names in cautions.items())


def _some(names: Sequence[str]) -> str:
    if len(names) <= _MOST_RUNS:
        return joined(names)
    return f"{', '.join(names[:_MOST_RUNS])} and {len(names) - _MOST_RUNS} more"
