"""Conditions: runs that differ by chance alone, and what their records say round by round.

Two runs are of one condition if their configurations agree in all that results depend on but the
seeds. Runs of scripts may have no configuration; then, and in any case, their records must agree.
"""

import json
import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lightning_collapse.runs.config_file import experiment_of
from lightning_collapse.runs.layout import Run
from lightning_collapse.runs.records import check_runs, distance_name, runs_in
from lightning_collapse.sampling.choice import Sampling

__all__ = [
    "Condition",
    "Replica",
    "check_comparable",
    "checked_records",
    "conditions",
    "controls_among",
    "find_runs",
    "grouped",
    "unlike",
]

Array = NDArray[np.float64]
Record = Mapping[str, Any]

# Of a round's record: what it depends on, for runs whose configuration does not say.
_RECORDED = (
    "regime",
    "regime_options",
    "n_train",
    "n_held_out",
    "n_samples",
    "restart",
    "real_data_in_init",
    "swap",
    # A run may go on with other measures; its figures are then others.
    "fd_n",
)
_COUNTS = ("seed", "n_real", "n_synthetic", "n_train", "n_held_out")
_SEEDS = ("seed_everything", "model.seed", "data.seed", "data.split_seed", "data.swap")
_SAME = ("n_train", "n_held_out", "fd_n")
# What round 0 depends on already, but for chance; how later rounds begin is no part of it.
_BEFORE_MIXING = ("model.", "loop.sampling", "data.source", "data.batch_size", "data.images_per_")
_LATER = ("model.restart", "model.init_from")
_SAMPLING = experiment_of({"loop": {"sampling": asdict(Sampling())}})
_CLASS = ".class_path"
_FEW = 3
"""Options that a class is told with where its name alone tells it apart."""


class Replica(NamedTuple):
    """What tells the runs of a condition apart."""

    seed: int
    split: int
    """Seed of which real rows are trained on, and which held out."""


@dataclass(frozen=True)
class Condition:
    """Runs that differ by chance alone.

    Attributes:
        name: the regime, and what else tells the condition from others that were read with it.
        runs: by replica, in order.
        records: of every finished round, likewise.
        settings: what the runs have in common, values as JSON.
    """

    name: str
    runs: Mapping[Replica, Run]
    records: Mapping[Replica, Sequence[Record]]
    settings: Mapping[str, str]

    @property
    def rounds(self) -> int:
        """Rounds that all runs have finished."""
        return min(map(len, self.records.values()))

    @property
    def is_real(self) -> bool:
        """Whether no round trains on a sample, in any run."""
        records = [record for own in self.records.values() for record in own]
        return all(record["n_synthetic"] == 0 for record in records)

    @property
    def distance(self) -> str:
        """The name of the Fréchet distance in the records, such as `fd_pixels`."""
        return distance_name(dict(self.first[0]))

    @property
    def space(self) -> str:
        """The name of its feature space, in which other figures' names end."""
        return "inception" if self.distance == "fid" else self.distance.removeprefix("fd_")

    @property
    def first(self) -> Sequence[Record]:
        """The records of the first run."""
        return next(iter(self.records.values()))

    def series(self, figure: str) -> dict[Replica, Array]:
        """A figure in every round (K,), by replica; NaN where it is null or was not recorded."""
        return {
            replica: np.array([_number(record.get(figure)) for record in own])
            for replica, own in self.records.items()
        }


def find_runs(paths: Iterable[Path]) -> list[Run]:
    """Finds the runs that are meant by folders of runs, or of many of them.

    Of many, those without a finished round are left out with a warning.

    Raises:
        ValueError: a folder holds none, or a run is named twice.
    """
    found: dict[Path, Run] = {}
    check_runs(named := list(paths))
    for path in named:
        for run in sorted(runs_in(path), key=_natural):
            if run.path != path and not run.table.exists():
                warnings.warn(f"{run} is left out: it has no finished round", stacklevel=2)
                continue
            if run.path.resolve() in found:
                raise ValueError(f"runs = {run}: is named twice")
            found[run.path.resolve()] = run
        for config in sorted(path.glob("*/config.yaml")):
            if not Run(config.parent).is_here:
                warnings.warn(
                    f"{config.parent} is left out: it has no finished round", stacklevel=2
                )
    return list(found.values())


def _natural(run: Run) -> list[tuple[float, str]]:
    """A key by which 9 comes before 18."""
    parts = re.split(r"(\d+(?:\.\d+)?)", str(run.path))
    return [(float(part), "") if i % 2 else (-1.0, part) for i, part in enumerate(parts)]


def conditions(runs: Iterable[Run]) -> list[Condition]:
    """Groups runs into conditions, in the order in which these first occur.

    Raises:
        FileNotFoundError: a run has no finished round.
        ValueError: a run is damaged, or another one of the same condition and seeds.
    """
    return grouped({run: checked_records(run) for run in runs})


def grouped(records: Mapping[Run, Sequence[Record]]) -> list[Condition]:
    """Does what `conditions` does with runs whose records, by `checked_records`, were read."""
    groups: dict[str, tuple[dict[str, str], dict[Replica, Run]]] = {}
    for run, own in records.items():
        settings, replica = _settings(run, own)
        alike = json.dumps(_set(settings), sort_keys=True)
        group = groups.setdefault(alike, (settings, {}))[1]
        if replica in group:
            if records[group[replica]] == own:
                continue  # One run, of which two studies keep the records.
            raise ValueError(
                f"runs = {run}: is of the condition and seed {replica.seed} of {group[replica]}; "
                "name one of them"
            )
        group[replica] = run
    names = _names([_set(settings) for settings, _ in groups.values()])
    return [
        Condition(
            name,
            {replica: group[replica] for replica in sorted(group)},
            {replica: records[group[replica]] for replica in sorted(group)},
            settings,
        )
        for name, (settings, group) in zip(names, groups.values(), strict=True)
    ]


def controls_among(read: Sequence[Condition]) -> list[Condition]:
    """Gives the controls: conditions of several rounds that retrain on as many real rows.

    Where some conditions train on samples, as many are what round 0 of one of these trains on.
    Fewer rows alone are thus no control; but all may train on a part of those that there are, as
    `Fresh` does.
    """
    rows = {_first_rows(one) for one in read if not one.is_real}
    real = [one for one in read if one.is_real and one.rounds > 1]
    return [one for one in real if not rows or _first_rows(one) in rows]


def _first_rows(one: Condition) -> int:
    """Rows that round 0 trains on."""
    return int(one.first[0]["n_real"]) + int(one.first[0]["n_synthetic"])


def check_comparable(condition: Condition, other: Condition) -> None:
    """Raises ValueError where two conditions' figures do not mean the same."""
    if other.distance != condition.distance:
        raise ValueError(
            f"control: its runs record {other.distance}, those of {condition.name} "
            f"{condition.distance}"
        )
    for name in _SAME:
        a, b = condition.first[0].get(name), other.first[0].get(name)
        if a != b:
            raise ValueError(
                f"control: its runs have {name} = {b}, those of {condition.name} {a}; figures are "
                "compared at equal numbers of rows"
            )
    if name := unlike(condition, other):
        a, b = condition.settings.get(name), other.settings.get(name)
        raise ValueError(
            f"control: its runs have {name} = {b}, those of {condition.name} {a}; name a control "
            "that is like them but for what its later rounds train on"
        )


def unlike(condition: Condition, other: Condition) -> str:
    """The first option on which round 0 depends in which two conditions differ; "" if none."""
    both = (condition.settings, other.settings)
    if not all(any(name.startswith("model.") for name in own) for own in both):
        return ""  # runs of a script, whose options are not known
    for name in sorted({*condition.settings, *other.settings}):
        early = name.startswith(_BEFORE_MIXING) and not name.startswith(_LATER)
        # An option, but not a part, may be one that the version of the other run did not have.
        told = name.endswith(_CLASS) or all(name in own for own in both)
        if early and told and condition.settings.get(name) != other.settings.get(name):
            return name
    return ""


def _settings(run: Run, records: Sequence[Record]) -> tuple[dict[str, str], Replica]:
    first = records[0]
    settings = {name: json.dumps(first.get(name)) for name in _RECORDED}
    settings["distance"] = json.dumps(distance_name(dict(first)))
    if run.config.path.exists():
        known = run.config.experiment()
        # What is null may be an option that the version of another run did not have.
        settings |= {k: v for k, v in known.items() if k not in _SEEDS and v != "null"}
        if "loop.sampling.solver" in known:
            for name, value in _SAMPLING.items():
                settings.setdefault(name, value)  # as it was for a version without the option
    return settings, Replica(first["seed"], first.get("split_seed", first["seed"]))


def _set(settings: Mapping[str, str]) -> dict[str, str]:
    """Without what is off or empty, which a run of before may not know as an option."""
    return {name: value for name, value in settings.items() if value not in ("false", "[]")}


def checked_records(run: Run) -> list[dict[str, Any]]:
    """Reads a run's records, and looks at what every analysis needs of each.

    Raises:
        FileNotFoundError: the run has no finished round.
        ValueError: a line is no record, or a number is missing.
    """
    if not (records := run.records):
        raise ValueError(f"{run.table}: is empty; name runs with a finished round")
    for r, record in enumerate(records):
        where = f"{run.table}: round {r}"
        for name in _COUNTS:
            if type(record.get(name)) is not int:
                raise ValueError(f"{where}: {name} = {record.get(name)}: must be a whole number")
        if not isinstance(record.get("regime"), str):
            raise ValueError(f"{where}: regime = {record.get('regime')}: must be a name")
        if not record["n_real"] + record["n_synthetic"]:
            raise ValueError(f"{where}: n_real, n_synthetic = 0: it trained on no row")
        if not isinstance(record.get("versions") or {}, dict):
            raise ValueError(
                f"{where}: versions = {record['versions']}: must be names and versions"
            )
        try:
            distance_name(record)
        except LookupError as error:
            raise ValueError(f"{where}: {error}") from None
    return records


def _names(settings: Sequence[Mapping[str, str]]) -> list[str]:
    """Names conditions by their regimes, and what else differs among those of one regime."""
    regimes = [_regime(own) for own in settings]
    names = []
    for own, regime in zip(settings, regimes, strict=True):
        alike = [other for other, of in zip(settings, regimes, strict=True) if of == regime]
        names.append(", ".join([regime, *_differences(own, alike)]))
    return names


def _regime(settings: Mapping[str, str]) -> str:
    options = json.loads(settings["regime_options"]) or {}
    told = ", ".join(f"{name}={value}" for name, value in options.items())
    return f"{json.loads(settings['regime'])}({told})"


def _differences(own: Mapping[str, str], others: Sequence[Mapping[str, str]]) -> list[str]:
    names = dict.fromkeys(name for other in others for name in other)
    differing = [name for name in names if len({other.get(name) for other in others}) > 1]
    classes = {name.removesuffix(_CLASS) for name in differing if name.endswith(_CLASS)}
    told = {}
    for name in differing:
        # The outermost of what differs in its class is told whole.
        whole = min((head for head in classes if name.startswith(f"{head}.")), key=len, default="")
        told[whole or name] = _made(whole, own, differing, others) if whole else own.get(name)
    return [f"{name} = {value}" for name, value in told.items() if value is not None]


def _made(
    name: str,
    own: Mapping[str, str],
    differing: Sequence[str],
    others: Sequence[Mapping[str, str]],
) -> str | None:
    """A class as it would be called: of several, with what tells them apart; alone, with a few."""
    if (path := own.get(f"{name}{_CLASS}")) is None:
        return None
    head = f"{name}.init_args."
    alike = [other for other in others if other.get(f"{name}{_CLASS}") == path]
    named = [key for key in differing if key in own and key.startswith(head)]
    apart = [key for key in named if len({other.get(key) for other in alike}) > 1]
    few = named if len(named) <= _FEW else []
    given = [f"{key.removeprefix(head)}={own[key]}" for key in apart or few]
    made = json.loads(path).rpartition(".")[2]
    return f"{made}({', '.join(given)})" if given else str(made)


def _number(value: Any) -> float:
    return float(value) if type(value) in (int, float) else float("nan")
