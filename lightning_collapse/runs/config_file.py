"""A run's `config.yaml`: what it was started with, and what was changed when it went on.

Its first line is the SHA-256 of the rest. Comments below it tell the recorded changes.
"""

import hashlib
import inspect
import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, is_dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import yaml

from lightning_collapse.data.files import write_atomically
from lightning_collapse.data.foreign.plain_yaml import load_yaml

__all__ = [
    "Change",
    "ConfigFile",
    "config_digest",
    "experiment_of",
    "run_digest",
    "same_first_round",
]

Kind = Literal["free", "recorded", "forbidden"]

# What a run that goes on may change, by the longest of these that the key begins with. Free:
# touches nothing that is computed. Recorded: when rounds end, how fast, or in the last bits on
# another machine. Forbidden, and so is what is not here: it would be another experiment.
_KINDS: dict[str, Kind] = {
    "run": "free",
    "run_root": "free",
    "share": "free",
    "config": "free",
    "ckpt_path": "free",
    "weights_only": "free",
    "exit_code_on_stop": "free",
    "data.run": "free",
    "data.num_workers": "recorded",
    "loop.checkpoint_every": "recorded",
    "loop.keep_checkpoints": "recorded",
    "loop.on_collapse": "recorded",
    # Of the samples, which are the same.
    "loop.features": "recorded",
    "loop.fd_rows": "recorded",
    "loop.measures": "recorded",
    "loop.default_measures": "recorded",
    "model.max_skipped_steps": "recorded",
    "trainer": "free",
    "trainer.max_epochs": "recorded",
    "trainer.accelerator": "recorded",
    "trainer.devices": "recorded",
    "trainer.num_nodes": "recorded",
    "trainer.strategy": "recorded",
    "trainer.deterministic": "recorded",
    "trainer.benchmark": "recorded",
    "trainer.precision": "forbidden",
    "trainer.accumulate_grad_batches": "forbidden",
    "trainer.gradient_clip_val": "forbidden",
    "trainer.gradient_clip_algorithm": "forbidden",
}
# What means the same to Lightning, by how it is spelt in lower case.
_PRECISIONS = {"none": "32-true", "32": "32-true", "64": "64-true"}
_SPELLINGS: dict[str, dict[str, Any]] = {
    "trainer.precision": {**_PRECISIONS, "16": "16-mixed", "bf16": "bf16-mixed"},
    "trainer.accumulate_grad_batches": {"none": 1},
    "trainer.gradient_clip_val": {"none": 0},
    "trainer.gradient_clip_algorithm": {"none": "norm"},
}
# Of the options that a run may change, those that its figures depend on.
_FIGURES = ("loop.features", "loop.fd_rows", "loop.measures", "loop.default_measures")
# Of those that it may not, what the training of round 0 does not depend on; and beside them what
# it does in its last bits.
_LATER = ("loop", "data.regime", "data.curator", "data.samples_per_round", "model.restart")
_MACHINE = (
    "trainer.accelerator",
    "trainer.devices",
    "trainer.num_nodes",
    "trainer.strategy",
    "trainer.deterministic",
    "trainer.benchmark",
)


@dataclass(frozen=True)
class Change:
    """A key whose value is not the one that the run was started with, or went on with last."""

    key: str  # with dots
    was: str  # as JSON
    now: str  # as JSON
    kind: Kind  # whether a run may go on with it

    def __str__(self) -> str:
        return f"{self.key:.100} = {self.now:.200} (was {self.was:.200})"


class ConfigFile:
    """The file, which need not exist yet."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> dict[str, Any]:
        """Reads the configuration; raises ValueError where it is not as it was written."""
        text = self.path.read_bytes().decode(errors="replace")
        body = text.partition("\n")[2]
        if _sealed(body) != text:
            raise ValueError(
                f"{self.path}: is damaged, or was edited; see `lightning-collapse pool verify`"
            )
        config = load_yaml(body, str(self.path))
        if not isinstance(config, dict):
            raise ValueError(f"{self.path}: must be a table of options")
        return config

    def experiment(self) -> dict[str, str]:
        """Reads what results depend on: keys with dots, and their values as JSON."""
        return experiment_of(self.read())

    def changes(
        self, config: Mapping[str, Any], parts: Mapping[str, Callable[..., Any]] | None = None
    ) -> list[Change]:
        """Compares a configuration with the file's; no file, no changes.

        An option that the file lacks did not exist when the run was started, which was as if by
        today's default; one of which no default is known is not compared. `parts` are what is
        called with the options of each section.
        """
        if not self.path.exists():
            return []
        usual = {name: _defaults(part) for name, part in (parts or {}).items()}
        before = _filled(self.read(), config, usual)
        return [
            Change(key, was, now, _kind(key))
            for key, was in _flatten(before)
            if _meaning(key, was) != _meaning(key, now := _value(config, key))
        ]

    @property
    def digest(self) -> str | None:
        """The digest of the file's configuration; None where there is no file."""
        return config_digest(self.read()) if self.path.exists() else None

    def refuse_forbidden(self, changes: Iterable[Change]) -> None:
        """Raises ValueError where a key has changed that results depend on."""
        if forbidden := [str(change) for change in changes if change.kind == "forbidden"]:
            raise ValueError(
                f"{', '.join(forbidden)}: the run in {self.path.parent} was started differently; "
                "restore what changed, or choose another folder"
            )

    def write(self, config: Mapping[str, Any], changes: Iterable[Change] = ()) -> str:
        """Writes a configuration, and changes after those recorded before; gives the text."""
        lines = self.path.read_text().splitlines()[1:] if self.path.exists() else []
        told = [line for line in lines if line.startswith("# ")]
        now = datetime.now().isoformat(timespec="seconds")
        told += [f"# {now}: {change}" for change in changes if change.kind == "recorded"]
        body = "".join(f"{line}\n" for line in told)
        self.restore(text := _sealed(body + yaml.safe_dump(dict(config), sort_keys=False)))
        return text

    def restore(self, text: str) -> None:
        """Writes the file as it was."""
        write_atomically(self.path, lambda file: file.write(text.encode()))


def config_digest(config: Mapping[str, Any]) -> str:
    """The SHA-256 of what results depend on in a configuration: equal for equal experiments.

    What a run that goes on may change is left out, and so are the modules of our classes.
    """
    return _sha256(json.dumps(sorted(experiment_of(config).items())))


def experiment_of(config: Mapping[str, Any]) -> dict[str, str]:
    """Gives what results depend on of a configuration, as `ConfigFile.experiment` reads it."""
    return {k: _meaning(k, v) for k, v in _flatten(config) if _kind(k) == "forbidden"}


def run_digest(config: Mapping[str, Any], defaults: Mapping[str, Any]) -> str:
    """Gives 8 hexadecimal digits that tell experiments apart by what their results depend on.

    Options at their default are left out, those of the classes that it names too, and the digest
    outlasts the options that a later version adds; so are those that a run may change as it goes
    on, but for its measures. `defaults` are the options of a run of which nothing is said.
    """
    usual = set(_flatten(defaults))
    return _digest(
        (key, value)
        for key, value in _flatten(_chosen(config))
        # What is usual of one class may be unusual of another: a class's own defaults are gone.
        if ("init_args" in key.split(".") or (key, value) not in usual)
        and (_kind(key) == "forbidden" or _begins(key, _FIGURES))
    )


def _chosen(config: Any) -> Any:
    """Gives a configuration less the arguments of classes that are the class's own defaults."""
    if isinstance(config, list):
        return [_chosen(each) for each in config]
    if not isinstance(config, Mapping):
        return config
    chosen = {name: _chosen(value) for name, value in config.items()}
    if isinstance(path := config.get("class_path"), str) and "init_args" in config:
        own = {name: _said(default) for name, default in _defaults(_imported(path)).items()}
        given, args = config["init_args"] or {}, chosen.pop("init_args")
        if left := {k: args[k] for k in given if _said(given[k]) != own.get(k)}:
            chosen["init_args"] = left
    return chosen


def _filled(old: Any, new: Any, usual: Any) -> Any:
    """Gives an old configuration with the options that only a new one has, at their defaults."""
    if isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        return [_filled(*pair, {}) for pair in zip(old, new, strict=True)]
    if not isinstance(old, Mapping) or not isinstance(new, Mapping):
        return old
    path = new.get("class_path")
    if _said(old.get("class_path")) != _said(path):
        return old
    # Of a class that nobody names, a configuration is a plain table.
    usual = vars(usual) if is_dataclass(usual) else usual
    known = dict(usual) if isinstance(usual, Mapping) else {}
    if isinstance(path, str):
        known["init_args"] = _defaults(_imported(path))
    told = {name: _filled(old[name], new.get(name), known.get(name)) for name in old}
    lacking = [name for name in new if name not in old and name in known]
    return told | {name: known[name] for name in lacking if _is_plain(known[name])}


def _imported(path: str) -> Any:
    """Gives a class, or a function, that was imported before; else None."""
    module, _, name = path.rpartition(".")
    return getattr(sys.modules.get(module), name, None)


def _defaults(made: Any) -> dict[str, Any]:
    """Gives the defaults of what can be called."""
    own = inspect.signature(made).parameters.values() if callable(made) else ()
    return {each.name: each.default for each in own if each.default is not each.empty}


def _is_plain(value: Any) -> bool:
    """Whether a configuration has a default as it is."""
    try:
        json.dumps(value)
    except TypeError:
        return False
    return True


def _said(value: Any) -> str:
    return _meaning("", json.dumps(value, default=str))


def same_first_round(config: Mapping[str, Any]) -> str:
    """Gives the digest of what the training of round 0 depends on, but for its real rows.

    Of those a regime may take some, in round 0 too.
    """
    return _digest(
        (key, value)
        for key, value in _flatten(config)
        if (_kind(key) == "forbidden" and not _begins(key, _LATER)) or _begins(key, _MACHINE)
    )


def _digest(told: Iterable[tuple[str, str]]) -> str:
    meant = {key: _meaning(key, value) for key, value in told}
    counts = [pair for pair in meant.items() if pair[1] != _meaning(pair[0], "null")]
    return _sha256(json.dumps(sorted(counts)))[:8]


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()


def _begins(key: str, heads: Iterable[str]) -> bool:
    return any(f"{key}.".startswith(f"{head}.") for head in heads)


def _sealed(body: str) -> str:
    return f"# sha256 {_sha256(body)} of the lines below\n{body}"


def _flatten(config: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(config, Mapping) and config:
        for name, value in config.items():
            yield from _flatten(value, f"{prefix}.{name}" if prefix else str(name))
    else:
        yield prefix, json.dumps(config, default=str)


def _value(config: Any, key: str) -> str:
    """Gives what a configuration has at a key, be it a table of its own; else null."""
    for name in key.split("."):
        config = config.get(name) if isinstance(config, Mapping) else None
    return json.dumps(config, default=str)


def _meaning(key: str, value: str) -> str:
    """Gives a value, as JSON, in one of the ways in which it can be written.

    Our classes go by their last name only: their modules have moved, and may again.
    """
    value = re.sub(r'"lightning_collapse\.(?:\w+\.)+(\w+)"', r'"lightning_collapse.\1"', value)
    plain = json.loads(value)
    plain = _SPELLINGS.get(key, {}).get(str(plain).lower(), plain)
    if isinstance(plain, str) and "/" in plain:
        plain = os.path.normpath(os.path.expanduser(plain))
    elif isinstance(plain, float) and plain.is_integer():
        plain = int(plain)
    return json.dumps(plain)


def _kind(key: str) -> Kind:
    parts = key.split(".")
    heads = (".".join(parts[:n]) for n in range(len(parts), 0, -1))
    return next((_KINDS[head] for head in heads if head in _KINDS), "forbidden")
