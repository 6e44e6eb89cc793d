"""A study: the runs of a plan, each a plain command with a folder of its own.

    sweeps/lambda-grid/
      plan.yaml        as the study was started
      commands.txt     one command a run
      checked.json     what each came to when it was parsed, which takes longer than to read it
      regime=replace-lambda=0.5-seed=0-3dbfe8f4/        the run
      regime=replace-lambda=0.5-seed=0-3dbfe8f4.log     what it printed
      .claims/         who runs what, and what came of it: see `claims`

The last part of a folder's name is the digest of what the run's results depend on. The state of a
study is what lies in its folder: nothing else is kept, so nothing else can be lost.
"""

import hashlib
import json
import os
import re
import shlex
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lightning_collapse.data.files import make_folder, write_atomically
from lightning_collapse.data.foreign.plain_yaml import load_yaml
from lightning_collapse.runs.layout import Run
from lightning_collapse.sweeps.plan import Cell, Plan, texts

__all__ = ["STUDIES", "Check", "Checked", "PlannedRun", "Study", "has_ended"]

Condition = tuple[tuple[str, str], ...]

STUDIES = Path("sweeps")
"""Where studies lie, in the working folder."""


@dataclass(frozen=True)
class Checked:
    """What a command line comes to, once it was parsed.

    Attributes:
        digest: of all that results depend on.
        round_zero: digest of what the training of round 0 depends on; runs that have it in common
            share it. Empty for a command without rounds on disk.
        rounds: that the run is to make.
    """

    digest: str
    round_zero: str = ""
    rounds: int = 0


Check = Callable[[Sequence[str]], Checked]
"""Parses the words of a command, without starting it; raises ValueError or OSError."""


@dataclass(frozen=True)
class PlannedRun:
    """One run of a study.

    Attributes:
        cell: of the plan's grid.
        folder: of the run.
        words: that follow `lightning-collapse`.
        checked: what they come to; None if the study was opened by its folder alone.
        is_kept: whether all its records are kept elsewhere; see `kept`.
    """

    cell: Cell
    folder: Path
    words: tuple[str, ...]
    checked: Checked | None = None
    is_kept: bool = False

    @property
    def name(self) -> str:
        """The name of its folder."""
        return self.folder.name

    @property
    def log(self) -> Path:
        """The file of what it prints."""
        return self.folder.with_name(f"{self.name}.log")

    @property
    def command(self) -> str:
        """The command as a line for a shell."""
        return shlex.join(("lightning-collapse", *self.words))

    @property
    def rounds(self) -> int:
        """Rounds that it is to make."""
        return self.checked.rounds if self.checked else 0

    @property
    def rounds_done(self) -> int:
        """Finished rounds, those of which only records are kept among them."""
        return self.rounds if self.is_kept else Run(self.folder).rounds

    @property
    def is_toy(self) -> bool:
        """Whether it makes no rounds on disk."""
        return self.words[0] == "toy"

    @property
    def summary(self) -> Path:
        """The file that a toy writes last."""
        return self.folder / "summary.json"

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to do."""
        return self.is_kept or self.is_done_here

    @property
    def is_done_here(self) -> bool:
        """Whether its folder holds all that it was to make."""
        if self.is_toy:
            return self.summary.is_file()
        run = Run(self.folder)
        return has_ended(run, run.rounds, self.rounds)


def has_ended(run: Run, done: int, rounds: int) -> bool:
    """Whether a run that has finished so many rounds makes no more, of those planned."""
    if not rounds or not done:
        return False
    if done >= rounds:
        return True
    if not (run.table.is_file() and run.records[-1].get("collapsed")):
        return False
    return bool(run.config.read().get("loop", {}).get("on_collapse") == "stop")


@dataclass(frozen=True)
class Study:
    """The runs of a plan.

    Attributes:
        plan: what the plan says.
        folder: of the study.
        runs: in the plan's order, the control's last.
    """

    plan: Plan
    folder: Path
    runs: list[PlannedRun]

    @classmethod
    def of(cls, plan: Plan, check: Check, within: Path = STUDIES) -> "Study":
        """Plans all runs, and checks each, before any is started.

        A command that the study was started with is not parsed again, unless its configuration
        has changed.

        Args:
            plan: what the plan says.
            check: parses the words of one command.
            within: where studies lie.

        Raises:
            ValueError: an option is wrong, or two cells of the grid are the same run.
            OSError: a file that an option names cannot be read.
        """
        folder = within / plan.name
        runs: list[PlannedRun] = []
        cell_of: dict[str, str] = {}
        known = _known(plan, folder)
        for cell in plan.cells():
            words = _words(plan, cell, folder / "run", folder)
            try:
                checked = known.get(shlex.join(words)) or check(words)
            except ValueError as error:
                raise ValueError(f"{cell.name}: {error}") from error
            except OSError as error:
                raise OSError(f"{cell.name}: {error}") from error
            if (other := cell_of.setdefault(checked.digest, cell.name)) != cell.name:
                raise ValueError(
                    f"grid: {other} and {cell.name} are the same run; leave one of them out"
                )
            path = folder / f"{cell.name}-{checked.digest}"
            runs.append(PlannedRun(cell, path, _words(plan, cell, path, folder), checked))
        return cls(plan, folder, runs)

    @classmethod
    def at(cls, folder: str | os.PathLike[str]) -> "Study":
        """Opens a study that was started, by its folder alone.

        Raises:
            FileNotFoundError: there is none.
            ValueError: its files do not belong together.
        """
        folder = Path(folder)
        if not (commands := folder / "commands.txt").is_file():
            raise FileNotFoundError(f"{commands}: no such file; {folder} holds no study")
        plan = Plan.read(folder / "plan.yaml", stored=True)
        lines = [shlex.split(line)[1:] for line in commands.read_text().splitlines()]
        cells = plan.cells()
        if len(lines) != len(cells):
            raise ValueError(f"{commands}: is not of the plan beside it; start the sweep again")
        option = "--out" if plan.toy else "--run"
        runs = []
        for cell, words in zip(cells, lines, strict=True):
            name = Path(words[words.index(option) + 1]).name
            runs.append(PlannedRun(cell, folder / name, tuple(words)))
        return cls(plan, folder, runs)

    @property
    def conditions(self) -> dict[Condition, list[Run]]:
        """The runs of each condition, which differ by their seed; the control's begins so."""
        found: dict[Condition, list[Run]] = {}
        for run in self.runs:
            found.setdefault(run.cell.condition, []).append(Run(run.folder))
        return found

    def check_unchanged(self) -> None:
        """Raises ValueError where the study was started by another plan."""
        commands = self.folder / "commands.txt"
        if commands.is_file() and (before := commands.read_text()) != self._commands:
            raise ValueError(
                f"plan = {self.plan.path}: plan or configuration have changed since {self.folder} "
                f"was started ({_difference(before, self._commands)}); restore them, or give the "
                "plan another name"
            )

    def open(self) -> None:
        """Makes the study's folder, with its plan and commands, or finds them as they are here.

        Raises:
            ValueError: the study was started by another plan.
            OSError: the folder cannot be written.
        """
        self.check_unchanged()
        content = {"plan.yaml": self.plan.text, "commands.txt": self._commands}
        started = (self.folder / "commands.txt").is_file()
        # In this order: a study with commands was started.
        for name, text in {"checked.json": self._checked, **({} if started else content)}.items():
            path = self.folder / name
            if not path.is_file() or path.read_bytes() != text.encode():
                make_folder(self.folder)
                _write(path, text)

    @property
    def _commands(self) -> str:
        return "".join(f"{run.command}\n" for run in self.runs)

    @property
    def _checked(self) -> str:
        """The content of `checked.json`."""
        told = {
            shlex.join(_words(self.plan, run.cell, self.folder / "run", self.folder)): asdict(
                run.checked
            )
            for run in self.runs
            if run.checked is not None
        }
        return json.dumps({"of": _parsed_by(self.plan), "commands": told}, indent=0)


def _known(plan: Plan, folder: Path) -> dict[str, Checked]:
    """What the commands of a study came to as it was started; nothing, if that may not hold."""
    with suppress(OSError, ValueError, LookupError, TypeError, AttributeError):
        kept = json.loads((folder / "checked.json").read_bytes())
        if kept["of"] == _parsed_by(plan):
            made = {words: Checked(**told) for words, told in kept["commands"].items()}
            if all(map(_is_sound, made.values())):
                return made
    return {}


def _is_sound(told: Checked) -> bool:
    whole = type(told.rounds) is int and isinstance(told.round_zero, str)
    return whole and re.fullmatch("[0-9a-f]{8}", told.digest) is not None


_FILES = (".yaml", ".yml", ".json")


def _parsed_by(plan: Plan) -> str:
    """The digest of what commands come to something by, beside their words."""
    digest, folder = hashlib.sha256(), Path()
    told: list[Any] = [plan.set, plan.grid, plan.control]
    if plan.config and plan.config.is_file():
        digest.update(text := plan.config.read_bytes())
        with suppress(ValueError):  # of which `fit` will tell
            told.append(load_yaml(text.decode(errors="replace"), str(plan.config)))
        folder = plan.config.parent
    # Sections of a configuration may be files of their own.
    for name in sorted({text for text in texts(told) if text.endswith(_FILES)}):
        for path in {Path(name), folder / name}:
            if path.is_file():
                digest.update(path.read_bytes())
    return digest.hexdigest()


def _write(path: Path, text: str) -> None:
    write_atomically(path, lambda file: file.write(text.encode()))


def _words(plan: Plan, cell: Cell, path: Path, study: Path) -> tuple[str, ...]:
    if plan.toy:
        words = ["toy", plan.toy, "--out", str(path)]
    else:
        words = ["fit", "--config", str(plan.config), "--run", str(path), "--share", str(study)]
    for key, value in cell.options.items():
        words += [f"--{key}", value if isinstance(value, str) else json.dumps(value)]
    return tuple(words)


def _difference(before: str, after: str) -> str:
    old, new = before.splitlines(), after.splitlines()
    if len(old) != len(new):
        return f"{len(old)} runs then, {len(new)} now"
    pair = next((a, b) for a, b in zip(old, new, strict=True) if a != b)
    words = [(x, y) for x, y in zip(*map(shlex.split, pair), strict=False) if x != y]
    was, now = words[0] if words else pair
    return f"{now} was {was}"
