"""A plan, `plan.yaml`: one question as a grid of conditions, and the options of each of its runs.

    name: lambda-grid
    config: ../configs/digits_replace.yaml     # relative to the plan
    set: {trainer.max_epochs: 8}
    grid:
      regime:
        replace: {data.regime: Replace, data.regime.synthetic_fraction: "{lambda}"}
        turnover: {data.regime: Turnover, data.regime.synthetic_fraction: "{lambda}"}
      lambda: [0.1, 0.5, 1.0]
      seed: [0, 1, 2]
    control: {data.regime: Replace, data.regime.synthetic_fraction: 0}

An axis of the grid is a table of labels, each with its options; or a list, of values of `seed`, of
the option that the axis is named after, or of what `{axis}` stands for elsewhere.
"""

import difflib
import itertools
import math
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lightning_collapse.data.foreign.plain_yaml import load_yaml

__all__ = ["Cell", "Plan", "plain", "texts"]

Options = dict[str, Any]

_LAUNCHERS = ("slurm", "htcondor", "wandb")
_BRACED = re.compile(r"\{([A-Za-z]\w*)\}")
_MOST_RUNS = 10_000
_LONGEST_NAME = 200
# Where a run is, and what would make it none.
_OWN_OF_TOYS = ("out", "config", "help", "print_config")
_OWN = ("run", "run_root", "share", *_OWN_OF_TOYS[1:])


@dataclass(frozen=True)
class Cell:
    """One cell of a plan's grid.

    Attributes:
        labels: of every axis, in the plan's order; of the control, `control` comes first.
        options: of the run, by their names with dots, in the order in which they hold.
        seed: of the run, None where the plan leaves it to the configuration.
    """

    labels: tuple[tuple[str, str], ...]
    options: Options
    seed: int | None = None

    @property
    def name(self) -> str:
        """Names the cell as its folder: `regime=replace-lambda=0.5-seed=0`."""
        told = "-".join(f"{axis}={label}" if label else axis for axis, label in self.labels)
        return plain(told) or "run"

    @property
    def condition(self) -> tuple[tuple[str, str], ...]:
        """The labels but the seed's: runs of one condition differ by chance alone."""
        return tuple(pair for pair in self.labels if pair[0] != "seed")


@dataclass(frozen=True)
class Plan:
    """What a plan says.

    Attributes:
        path: of its file.
        text: of its file.
        name: of the study.
        config: configuration of `fit`; None for a plan of toys.
        toy: name of the toy, of a plan of toys.
        set: options of all runs.
        grid: axis -> label -> options.
        control: options of the control; None for none.
        launchers: options of the cluster's launchers, by their names.
    """

    path: Path
    text: str
    name: str
    config: Path | None
    toy: str | None
    set: Options = field(default_factory=dict)
    grid: dict[str, dict[str, Options]] = field(default_factory=dict)
    control: Options | None = None
    launchers: dict[str, Options] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path, stored: bool = False) -> "Plan":
        """Reads a plan.

        Args:
            path: of its file.
            stored: whether it is a study's copy, beside which there is no configuration.

        Raises:
            FileNotFoundError: there is none.
            ValueError: it is not one; names the key and what it must be.
        """
        if not path.is_file():
            raise FileNotFoundError(f"plan = {path}: no such file")
        text = path.read_bytes().decode(errors="replace")
        told = load_yaml(text, f"plan = {path}")
        try:
            return cls(path, text, **_fields(told, path, stored))
        except ValueError as error:
            raise ValueError(f"plan = {path}: {error}") from error

    def cells(self) -> list[Cell]:
        """Gives the cells of the grid, its last axis running fastest, and then the control's.

        Raises:
            ValueError: a text names an axis that there is not.
        """
        made = [self._cell(chosen, {}) for chosen in _product(self.grid)]
        if self.control is None:
            return made
        # The control takes the place of the axes that set what it sets itself.
        left = {
            axis: values
            for axis, values in self.grid.items()
            if not any(_clash(options, self.control) for options in values.values())
        }
        named = _placeholders([self.set, self.control, left])
        left = {axis: v for axis, v in left.items() if axis in named or any(v.values())}
        made += [self._cell(chosen, self.control, (("control", ""),)) for chosen in _product(left)]
        return made

    def _cell(
        self, chosen: dict[str, str], last: Options, first: tuple[tuple[str, str], ...] = ()
    ) -> Cell:
        options = dict(self.set)
        for axis, label in chosen.items():
            options |= self.grid[axis][label]
        filled = {
            key: _placed(_filled(value, chosen), self.path.parent)
            for key, value in (options | last).items()
        }
        seed = filled.get("seed" if self.toy else "seed_everything")
        cell = Cell((*first, *chosen.items()), filled, seed)
        if len(cell.name) > _LONGEST_NAME:
            raise ValueError(
                f"grid: {cell.name[:40]}… is a name of {len(cell.name)} letters, of which a run's "
                f"folder can have {_LONGEST_NAME}; give shorter labels"
            )
        return cell


def _fields(told: Any, path: Path, stored: bool) -> dict[str, Any]:
    """Checks what a plan's file holds, and gives the fields of `Plan`."""
    keys = ("name", "config", "toy", "set", "grid", "control", *_LAUNCHERS)
    if not isinstance(told, dict):
        raise ValueError("must be a table")
    for key in told:
        if key not in keys:
            close = difflib.get_close_matches(str(key), keys, n=1)
            raise ValueError(f"{key}: unknown key{f'; did you mean {close[0]}?' if close else ''}")
    name, config, toy = told.get("name", path.stem), told.get("config"), told.get("toy")
    if not isinstance(name, str) or not re.fullmatch(r"\w[\w.+-]*", name):
        raise ValueError(f"name = {name!r}: must be letters, digits and ._+-")
    if not isinstance(config or toy, str) or (config and toy):
        raise ValueError("config: name the configuration of `fit`, or with `toy` a toy")
    if config and not stored and not (path.parent / config).is_file():
        raise ValueError(f"config = {config}: no such file in {path.parent} (the plan's folder)")
    tables = {key: _table(key, told.get(key)) for key in ("set", "grid", "control", *_LAUNCHERS)}
    grid, given = tables["grid"], tables["set"]
    own = _OWN_OF_TOYS if toy else _OWN
    if not grid:
        raise ValueError("grid: is empty; name an axis, such as `seed: [0, 1, 2]`")
    named = _placeholders([told.get("set"), told.get("control"), grid])
    seed = "seed" if toy else "seed_everything"
    axes = {str(axis): _axis(str(axis), values, named, seed) for axis, values in grid.items()}
    for where, options in [("set", given), ("control", tables["control"])] + [
        (f"grid.{axis}", options) for axis, values in axes.items() for options in values.values()
    ]:
        for key in options:
            if key.lstrip("-").partition(".")[0] in own:
                raise ValueError(f"{where}: {key} is for the sweep to set; leave it out")
    if unknown := named - axes.keys():
        raise ValueError(f"{{{min(unknown)}}}: the grid has no such axis")
    if (n := math.prod(map(len, axes.values()))) > _MOST_RUNS:
        raise ValueError(f"grid: has {n} runs; at most {_MOST_RUNS} are planned at a time")
    return {
        "name": name,
        "config": _seen_from_here(path.parent / config) if config else None,
        "toy": toy,
        "set": given,
        "grid": axes,
        "control": tables["control"] if told.get("control") is not None else None,
        "launchers": {key: tables[key] for key in _LAUNCHERS if key in told},
    }


def _placed(value: Any, folder: Path) -> Any:
    """Gives a value in which what is a path from a folder on is seen from here."""
    if isinstance(value, dict):
        return {key: _placed(part, folder) for key, part in value.items()}
    if isinstance(value, str) and "/" in value and not os.path.isabs(value):
        with suppress(OSError, ValueError):  # a text that no file can be called
            return str(_seen_from_here(folder / value)) if (folder / value).exists() else value
    return value


def _seen_from_here(path: Path) -> Path:
    """Gives one spelling of a path, however the plan was named: below the working folder if so."""
    path = Path(os.path.abspath(path))
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _table(name: str, value: Any) -> Options:
    if not isinstance(value or {}, dict):
        raise ValueError(f"{name}: must be a table of options")
    return {str(key): part for key, part in (value or {}).items()}


def _axis(axis: str, values: Any, named: set[str], seed: str) -> dict[str, Options]:
    """Gives an axis as a table of labels and options."""
    if not values or not isinstance(values, (list, dict)):
        raise ValueError(f"grid.{axis}: must be a list of values, or a table of options by label")
    if isinstance(values, dict):
        return {str(label): _table(f"grid.{axis}.{label}", part) for label, part in values.items()}
    labels = [str(value) for value in values]
    if twice := [label for label in labels if labels.count(label) > 1]:
        raise ValueError(f"grid.{axis}: has {twice[0]} twice")
    if axis == "seed" and any(type(value) is not int or value < 0 for value in values):
        raise ValueError(f"grid.seed = {values}: must be whole numbers from 0 on")
    option = seed if axis == "seed" else axis
    if axis in named:
        return {label: {} for label in labels}
    if axis != "seed" and "." not in axis and seed == "seed_everything":
        raise ValueError(
            f"grid.{axis}: has no effect; write {{{axis}}} in an option, or name the axis after "
            "an option, such as data.train_rows"
        )
    return {label: {option: value} for label, value in zip(labels, values, strict=True)}


def _product(grid: Mapping[str, Mapping[str, Options]]) -> Iterator[dict[str, str]]:
    for labels in itertools.product(*grid.values()):
        yield dict(zip(grid, labels, strict=True))


def _clash(options: Options, control: Options) -> bool:
    """Whether one sets what the other sets, or a part of it."""
    return any(
        f"{a}.".startswith(f"{b}.") or f"{b}.".startswith(f"{a}.")
        for a in options
        for b in control
    )


def plain(name: str) -> str:
    """Gives a name that a file can have, with _ in the place of other letters."""
    return re.sub(r"[^\w.=+-]", "_", name)


def texts(value: Any) -> Iterator[str]:
    """Gives all texts in a value, however deep in tables and lists."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, (dict, list)):
        for part in value.values() if isinstance(value, dict) else value:
            yield from texts(part)


def _placeholders(value: Any) -> set[str]:
    """Gives the names in braces in all texts of a value."""
    return {name for text in texts(value) for name in _BRACED.findall(text)}


def _filled(value: Any, chosen: Mapping[str, str]) -> Any:
    """Puts the labels that were chosen in the place of their names in braces."""
    if isinstance(value, dict):
        return {key: _filled(part, chosen) for key, part in value.items()}
    if isinstance(value, list):
        return [_filled(part, chosen) for part in value]
    if not isinstance(value, str):
        return value
    return _BRACED.sub(lambda found: chosen.get(found[1], found[0]), value)
