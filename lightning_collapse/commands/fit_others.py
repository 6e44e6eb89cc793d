"""What can be told before torch is there of what torch and Lightning take."""

import ast
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from lightning_collapse.commands.declared import bound, is_defined, parsed
from lightning_collapse.commands.hints import meant
from lightning_collapse.commands.refusals import defaults, refuse_as
from lightning_collapse.data.foreign.plain_yaml import load_yaml
from lightning_collapse.lit.sections import within

__all__ = ["check_class", "check_listed", "check_optimizer"]

_LISTED = {
    "callbacks": "pytorch_lightning.callbacks",
    "logger": "pytorch_lightning.loggers",
    "plugins": "pytorch_lightning.plugins",
}


def check_listed(trainer: Mapping[str, Any], words: Sequence[str]) -> None:
    """Refuses callbacks, loggers and plugins that are named without a module and are not there.

    Args:
        trainer: the Trainer's options by name.
        words: the command line, whose `--trainer.callbacks+=NAME` adds to them.

    Raises:
        ValueError: names the option, and what may have been meant.
    """
    for name, module in _LISTED.items():
        given = trainer.get(name)
        given = load_yaml(given, f"trainer.{name}") if isinstance(given, str) else given
        known = [one for node in parsed(module).body for one in bound(node) if one[0].isupper()]
        added = f"--trainer.{name}+="
        more = [word.removeprefix(added) for word in words if word.startswith(added)]
        more = [load_yaml(word, f"trainer.{name}") for word in more]
        for each in [*(given if isinstance(given, list) else [given]), *more]:
            named = each.get("class_path") if isinstance(each, dict) else each
            if named is None or (name == "logger" and isinstance(named, bool)):
                continue
            check_class(f"trainer.{name}", str(named), known)


def check_optimizer(named: Any, words: Sequence[str]) -> None:
    """Refuses an optimizer that torch has not, and values that it does not take.

    Args:
        named: what a configuration and the command line give for it.
        words: options of it on the command line.

    Raises:
        ValueError: names the option and its value.
    """
    section = "model.optimizer"
    table = load_yaml(named, section) if isinstance(named, str) else named
    table = table if isinstance(table, dict) else {"class_path": table}
    name = table.get("class_path")
    given = dict(table.get("init_args") or {}) if name else {}
    key = ""
    for word in words:
        option, equals, value = word.partition("=")
        if option.startswith(f"--{section}."):
            key = option.removeprefix(f"--{section}.")
        if equals or not option.startswith("--"):
            given[key] = load_yaml(value if equals else word, f"{section}.{key}")
        # Which YAML takes for a text.
        if re.fullmatch(r"[-+.\d]+e[-+]?\d+", str(given.get(key)), re.I):
            given[key] = float(given[key])
    modules = {
        alias.name: node.module
        for node in parsed("torch.optim").body
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
        if alias.name[0].isupper()
    }
    if name is not None:
        check_class(section, str(name), modules)
    # What a run has if nothing is named.
    module, _, leaf = str(name or "Adam").rpartition(".")
    if leaf not in modules or (module and not module.startswith("torch.optim")):
        return
    for key, usual in defaults(modules[leaf], leaf).items():
        number = given.get(key, usual)
        if type(usual) in (int, float) and type(number) not in (int, float):
            raise ValueError(f"{section}.{key} = {number}: must be a number")
        if isinstance(usual, tuple) and not (
            isinstance(number, (list, tuple)) and len(number) == len(usual)
        ):
            raise ValueError(f"{section}.{key} = {number}: must be {len(usual)} numbers")
    with within(section):
        refuse_as(modules[leaf], leaf, given)


def check_class(section: str, name: str, known: Collection[str]) -> None:
    """Refuses what names no class, or one without a module that is none of those known.

    Raises:
        ValueError: names the section, and what may have been meant.
    """
    if not all(part.isidentifier() for part in name.split(".")):
        raise ValueError(f"{section} = {name}: must name a class")
    if name.isidentifier() and name not in known and not is_defined(name):
        raise ValueError(f"{section} = {name}: unknown class{meant(name, known)}")
