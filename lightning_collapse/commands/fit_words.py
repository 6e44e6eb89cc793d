"""What can be told of `fit`'s command line before torch is there: its files, keys and values.

Classes of others, and what options of ours come to together, are left to the whole parser.
"""

import ast
import math
import re
from collections.abc import Collection, Mapping, Sequence
from functools import cache
from inspect import Signature
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

from jsonargparse import ArgumentParser, Namespace

from lightning_collapse.commands.declared import outline, parsed
from lightning_collapse.commands.fit_files import check_configs, checkpoint_at
from lightning_collapse.commands.fit_others import check_class, check_listed, check_optimizer
from lightning_collapse.commands.messages import one_line
from lightning_collapse.commands.paths import expand_home
from lightning_collapse.commands.refusals import constant, defaults, refuse_as
from lightning_collapse.commands.table import refuse_once
from lightning_collapse.data.foreign.plain_yaml import load_yaml
from lightning_collapse.lit.sections import within

expand_home()

__all__ = [
    "check_measures",
    "check_own",
    "check_words",
    "keys_of_fit",
]

_SECTIONS = {
    "model": ("lightning_collapse.lit.module", "CollapseModule"),
    "data": ("lightning_collapse.lit.data", "PoolDataModule"),
    "loop": ("lightning_collapse.lit.loop", "GenerationLoop"),
    "trainer": ("pytorch_lightning.trainer.trainer", "Trainer"),
}
# Set once for several of them, by keys without a section.
_LINKED = {"model.seed", "data.seed"}
_NESTED = {
    "data.regime": ["lightning_collapse.regimes.rules", "lightning_collapse.regimes.schedules"],
    "data.curator": [
        f"lightning_collapse.curators.{name}"
        for name in ("density", "discriminator", "entropy", "real_weight")
    ],
    "data.source": [
        "lightning_collapse.data.sources.images",
        "lightning_collapse.data.sources.points",
    ],
    "loop.sampling": ["lightning_collapse.sampling.choice"],
    "loop.features": ["lightning_collapse.metrics.features"],
    "loop.guide": ["lightning_collapse.sampling.guide"],
    "loop.inpaint": ["lightning_collapse.sampling.inpainting"],
    "model.augment": ["lightning_collapse.networks.augment"],
    "model.preconditioning": ["lightning_collapse.networks.preconditioning"],
    "model.noise": ["lightning_collapse.networks.noise"],
    "model.network": [
        "lightning_collapse.networks.mlp",
        "lightning_collapse.networks.unet",
        "lightning_collapse.networks.dit",
    ],
}
# Of one class, which nobody names.
_ALWAYS = {
    "loop.sampling": "Sampling",
    "loop.inpaint": "Inpainting",
    "model.augment": "AugmentPipe",
}
_ALONE = ("config", "seed_everything", "print_config")


def check_words(words: Sequence[str]) -> None:
    """Ends with one line for what is wrong with a command line, as far as can be told.

    Raises:
        ValueError: a value cannot be.
        OSError: a file is not there.
    """
    check_configs(words)
    options = [word.partition("=")[0].removeprefix("--") for word in words]
    # A section as a whole comes from a file of its own.
    elsewhere = {"-h", "help", "print_config", *_SECTIONS}
    if any(option in elsewhere or option.endswith(".help") for option in options):
        return
    known = _parser().parse_args(_simple(words))
    check_own(known)
    _check_values(known)
    if known.ckpt_path is not None:
        checkpoint_at(known.ckpt_path, known.run)
    told = {
        section: _check_part(section, known[section], _words_of(section, words), modules)
        for section, modules in _NESTED.items()
    }
    _check_augmented(told["model.network"], told["model.augment"])
    check_measures("loop.measures", known["loop.measures"])
    check_optimizer(known["model.optimizer"], _words_of("model.optimizer", words))
    check_listed(vars(known.trainer), words)


def check_own(config: Namespace) -> None:
    """Refuses values of the options that `fit` adds beside those of its parts.

    Raises:
        ValueError: one cannot be, or contradicts another.
    """
    if config.run is not None and config.run_root is not None:
        raise ValueError(f"run_root = {config.run_root}: --run names a folder; leave one out")
    seed = config.seed_everything
    if isinstance(seed, bool) or not 0 <= seed < 2**32:
        raise ValueError(f"seed_everything = {seed}: must be an integer >= 0 and below 2^32")
    status = config.exit_code_on_stop
    if status is not None and not 0 <= status <= 255:
        raise ValueError(f"exit_code_on_stop = {status}: must be an exit status, 0 to 255")


def _check_values(known: Namespace) -> None:
    """Refuses plain values that the constructors of a run's parts do, or its Trainer."""
    given = {
        section: {
            key: known[section][key]
            for key, parameter in outline(module)[name].parameters.items()
            if f"{section}.{key}" in known and known[section][key] is not None
            # Of what is made of others, there is but its name.
            if parameter.annotation is not Any or section == "trainer"
        }
        for section, (module, name) in _SECTIONS.items()
    }
    for section in ("model", "data", "loop"):
        refuse_as(*_SECTIONS[section], given[section])
    for room, made in (("noise", "LogNormal"), ("preconditioning", "EDM")):
        module = f"lightning_collapse.networks.{room}"
        own = outline(module)[made].parameters
        with within("model"):
            usual = {key: value for key, value in given["model"].items() if key in own}
            refuse_as(module, made, usual)
    arguments = constant("lightning_collapse.lit.assemble", "TRAINER_DEFAULTS") | given["trainer"]
    refuse_as("lightning_collapse.lit.checks", "check_arguments", {"given": arguments})


def _check_augmented(network: Mapping[str, Any] | None, augment: Mapping[str, Any] | None) -> None:
    """Refuses augmentation of which a network of ours is not told."""
    if network and augment:
        told = defaults("lightning_collapse.networks.augment", "AugmentPipe")
        given = {
            "augment_dim": network.get("augment_dim", 0),
            "augment": SimpleNamespace(label_dim=told["label_dim"]),
        }
        refuse_as("lightning_collapse.lit.module", "_check_told", given)


def _check_part(
    section: str, named: Any, words: Sequence[str], modules: Sequence[str]
) -> dict[str, Any] | None:
    """Refuses a class that cannot be, or options without one, or options that it has not.

    Returns:
        the options of a class of ours, as far as they are given; None of any other.
    """
    if named is None and not words:
        return None
    if isinstance(named, str) and named.lstrip().startswith("{"):
        named = load_yaml(named, section)
    if named is not None and not isinstance(named, (str, dict)):
        raise ValueError(f"{section} = {named}: must name a class")
    table = named if isinstance(named, dict) else {}
    name = table.get("class_path", _ALWAYS.get(section)) if table or not named else named
    given = table.get("init_args", {} if "class_path" in table else table)
    if isinstance(name, str) and name != "null":
        known = [made for module in modules for made in outline(module) if made[0] != "_"]
        check_class(section, name, known)
        keys = given if isinstance(given, dict) else {}
        return _check_options(section, name, keys, words, modules)
    if words and name is None:
        raise ValueError(f"{section}: missing; name its class, as --{section} NAME")
    return None


def check_measures(field: str, given: Any) -> None:
    """Refuses what is no list of measures, by names, class paths or tables.

    Raises:
        ValueError: it is not, or one of them cannot be.
    """
    if isinstance(given, str):
        given = load_yaml(given, field)
    if given is None:
        return
    if not isinstance(given, list):
        raise ValueError(f"{field} = {given}: must be a list, such as [Vendi, Energy]")
    imports = parsed("lightning_collapse.metrics.families").body
    named = [node.module for node in imports if isinstance(node, ast.ImportFrom) and node.module]
    modules = [module for module in named if module.startswith("lightning_collapse.metrics.")]
    for each in given:
        _check_part(field, each, [], modules)


def _check_options(
    section: str,
    name: str,
    given: Mapping[str, Any],
    words: Sequence[str],
    modules: Sequence[str],
) -> dict[str, Any] | None:
    """Refuses options that a class of ours has not, and values that they cannot have."""
    module, _, leaf = name.rpartition(".")
    made = [outline(known) for known in modules if module in ("", known)]
    if not any(leaf in each for each in made):
        return None
    kinds: dict[str, Any] = {}
    needed: set[str] = set()
    for each in made:
        own = each[leaf].parameters if leaf in each else {}
        plain = {key: one for key, one in own.items() if one.kind is one.KEYWORD_ONLY}
        needed |= {key for key, one in plain.items() if one.default is one.empty}
        if any(one.kind is one.VAR_KEYWORD for one in own.values()):
            # What it passes on is of something else there.
            kinds |= {key: Any for other in each.values() for key in other.parameters}
        kinds |= {key: one.annotation for key, one in own.items()}
    parser = _Parser(prog="lightning-collapse fit", allow_abbrev=False)
    for key, kind in kinds.items():
        parser.add_argument(f"--{section}.{key}", type=_as_written if kind is Any else kind)
    parser.parse_args([f"--{section}.{key}=null" for key in given if key not in kinds])
    told = parser.parse_args(list(words)).get(section)
    values = {**given, **{k: v for k, v in (vars(told) if told else {}).items() if v is not None}}
    for known in modules:
        with within(section):
            refuse_as(known, leaf, values)
    for key in needed - {*values}:
        raise ValueError(
            f"{section}.{key}: missing; name it in the configuration or on the command line"
        )
    if section == "model.network":
        _check_network(made, values)
    return values


def _check_network(made: Sequence[Mapping[str, Signature]], given: Mapping[str, Any]) -> None:
    """Refuses numbers that no network of ours is made with, be they of a checkpoint or not."""
    classes = [signature for each in made for name, signature in each.items() if name[0].isupper()]
    own = {key for signature in classes for key in signature.parameters}
    numbers = {k: v for k, v in given.items() if k in own and isinstance(v, (int, float))}
    try:
        # Of a network that is to be made there are no tensors yet.
        known = {"arguments": numbers, "tensors": math.inf}
        refuse_as("lightning_collapse.networks.constructor", "check_arguments", known)
    except ValueError as error:
        raise ValueError(f"model.{error}") from error


def _words_of(section: str, words: Sequence[str]) -> list[str]:
    """The options of a section's class, from where it is named last, as `--section.key` alone."""
    kept, taking = list[str](), False
    for word in words:
        option, equals, value = word.partition("=")
        if word == "-c" or option in ("--config", f"--{section}"):
            kept = []
        if word.startswith("--") or word == "-c":
            key = option.removeprefix(f"--{section}.").removeprefix("init_args.")
            taking = key.isidentifier() and key not in ("class_path", "dict_kwargs")
            taking = taking and option.startswith(f"--{section}.")
            kept += [f"--{section}.{key}{equals}{value}"] if taking else []
        elif taking:
            kept.append(word)
    return kept


@cache
def keys_of_fit() -> tuple[str, ...]:
    """All keys of `fit`, in full, with those of classes of this package."""
    keys = [*_ALONE, *_own_options()]
    keys += ["model.optimizer.lr", "model.optimizer.weight_decay", "model.optimizer.betas"]
    for section, (module, name) in _SECTIONS.items():
        keys += [f"{section}.{key}" for key in outline(module)[name].parameters]
    for section, modules in _NESTED.items():
        for module in modules:
            made = [value for name, value in outline(module).items() if not name.startswith("_")]
            options = [one for each in made for one in each.parameters.values()]
            keys += [f"{section}.{one.name}" for one in options if one.kind is one.KEYWORD_ONLY]
    return tuple(dict.fromkeys(key for key in keys if key not in _LINKED))


class _Parser(ArgumentParser):
    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        refuse_once(one_line(message, keys_of_fit(), []))


def _parser() -> ArgumentParser:
    parser = _Parser(prog="lightning-collapse fit", allow_abbrev=False)
    parser.add_argument("--config", "-c", action="config")
    parser.add_argument("--seed_everything", type=bool | int, default=0)
    for name in _own_options():
        known: dict[str, Any] = {"run": Path | None, "exit_code_on_stop": int | None}
        parser.add_argument(f"--{name}", type=known.get(name, _anything))
    for section, (module, name) in _SECTIONS.items():
        for key, parameter in outline(module)[name].parameters.items():
            if (full := f"{section}.{key}") not in _LINKED:
                needed = parameter.default is parameter.empty
                plain = parameter.annotation is not Any
                kind = parameter.annotation if plain else _anything
                parser.add_argument(f"--{full}", type=kind, required=needed)
    return parser


def _own_options() -> list[str]:
    """Options that `fit` adds beside those of its parts."""
    text = Path(__file__).with_name("fit.py").read_text("utf-8")
    return re.findall(r'\.add_argument\(\s*"--(\w+)"', text)


def _anything(value: Any) -> Any:
    """A type of argument: jsonargparse would import what `Any` names a class of."""
    return value


def _as_written(value: Any) -> Any:
    """A type of argument, for what a class passes on to another: the number that a word writes."""
    try:
        return load_yaml(value, "") if isinstance(value, str) else value
    except ValueError:
        return value


def _simple(words: Sequence[str]) -> list[str]:
    """Leaves out options of classes: their keys have three parts, or are of a list that grows."""
    kept, skipping = [], False
    classes = _classes()
    for word in words:
        option, equals, _ = word.partition("=")
        if word.startswith("--") or word == "-c":
            section = ".".join(option.removeprefix("--").split(".")[:2]).removesuffix("+")
            nested = option.count(".") > 1 or option.endswith("+")
            skipping = nested and section in classes
            if not skipping:
                kept.append(word)
            skipping = skipping and not equals
        elif not skipping:
            kept.append(word)
        else:
            skipping = False
    return kept


def _classes() -> Collection[str]:
    """Keys whose values may have keys of their own."""
    return {
        f"{section}.{key}"
        for section, (module, name) in _SECTIONS.items()
        for key, parameter in outline(module)[name].parameters.items()
        if parameter.annotation is Any
    }
