"""`lightning-collapse fit`, on LightningCLI: constructors are the configuration."""

from argparse import Action
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, NoReturn

from jsonargparse import Namespace
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning import Callback, callbacks, loggers
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI
from pytorch_lightning.loggers import Logger
from torch import nn
from torch.optim import Optimizer

# Imported so that configurations can name what is in them without a module path.
import lightning_collapse.data.sources.images
import lightning_collapse.data.sources.points  # noqa: F401
from lightning_collapse.commands.fit_files import check_configs, checkpoint_at
from lightning_collapse.commands.fit_needs import check_needs
from lightning_collapse.commands.fit_words import check_own, check_words, keys_of_fit
from lightning_collapse.commands.messages import in_section, made_line, one_line
from lightning_collapse.commands.paths import expand_home
from lightning_collapse.commands.quiet import quieten
from lightning_collapse.commands.running import conduct
from lightning_collapse.commands.table import refuse_once
from lightning_collapse.curators import Curator
from lightning_collapse.data.foreign.plain_yaml import load_yaml
from lightning_collapse.data.sources.source import Source
from lightning_collapse.lit.assemble import TRAINER_DEFAULTS
from lightning_collapse.lit.checks import check_arguments
from lightning_collapse.lit.data import PoolDataModule
from lightning_collapse.lit.loop import GenerationLoop
from lightning_collapse.lit.module import CollapseModule
from lightning_collapse.lit.processes import is_first
from lightning_collapse.lit.sections import within
from lightning_collapse.metrics.features import Features
from lightning_collapse.metrics.measure import Measure
from lightning_collapse.metrics.torch_metrics import MetricLike
from lightning_collapse.networks.loading import OURS
from lightning_collapse.networks.noise import NoiseLevels
from lightning_collapse.networks.preconditioning import Preconditioning
from lightning_collapse.regimes import Regime
from lightning_collapse.runs.config_file import run_digest
from lightning_collapse.sampling.choice import Sampling
from lightning_collapse.sampling.guide import Guide
from lightning_collapse.sampling.inpainting import Inpainting
from lightning_collapse.sweeps.claims import noted

__all__ = ["OptionsOf", "main", "run_fit"]

expand_home()

_SECTIONS: dict[type, str] = {
    Source: "data.source",
    Regime: "data.regime",
    Curator: "data.curator",
    Sampling: "loop.sampling",
    Features: "loop.features",
    Measure: "loop.measures",
    Preconditioning: "model.preconditioning",
    NoiseLevels: "model.noise",
    Guide: "loop.guide",
    Inpainting: "loop.inpaint",
}
# Of classes of others; the first that fits.
_OTHERS: dict[type, str] = {
    MetricLike: "loop.measures",
    Optimizer: "model.optimizer",
    Callback: "trainer.callbacks",
    Logger: "trainer.logger",
    nn.Module: "model.network",
}


def main(arguments: list[str]) -> None:
    """Runs `lightning-collapse fit`; a mistake is one line on standard error and exit status 2."""
    try:
        check_words(arguments)
    except (ValueError, OSError) as error:
        refuse_once(error)
    _fit(arguments)


run_fit = main
"""As scripts call it."""


def _fit(arguments: list[str]) -> None:
    OneLineParser.words = arguments
    # Lightning tells the seed while it reads the command line.
    quieten()
    try:
        cli = CollapseCLI(["--help" if word == "--help=all" else word for word in arguments])
    except (ValueError, OSError, ImportError, MisconfigurationException) as error:
        refuse_once(made_line(error))
    except TypeError as error:
        if "`devices`" not in str(error):
            raise
        refuse_once(f"trainer.devices: {error}")
    cli.fit()


class OptionsOf:
    """What tells all options that command lines of `fit` come to; they share one parser.

    Attributes:
        defaults: the options of a run of which nothing is said.
    """

    def __init__(self) -> None:
        self._seen: _Options | None = None
        self.defaults: dict[str, Any] = {}

    def __call__(self, arguments: list[str]) -> dict[str, Any]:
        """Parses the words that follow `fit`.

        It makes the regime, the source and the loop, which refuse what they cannot work with, but
        no network, no Trainer and no folder.

        Raises:
            ValueError: an option is out of its range or contradicts another.
            OSError: a file cannot be read.
        """
        if self._seen is None:
            self._seen = _Options(arguments)
            self.defaults = self._seen.told(self._seen.parser.get_defaults())
        else:
            self._seen.parse_arguments(self._seen.parser, arguments)
            self._seen.instantiate_classes()
        return self._seen.options


class OneLineParser(LightningArgumentParser):
    """A parser whose errors are one line: key, value, what is allowed."""

    words: ClassVar[Sequence[str]] = ()
    """The command line, for parsers of parts too."""

    _section: str = ""

    def add_class_arguments(self, theclass: type, *args: Any, **options: Any) -> Any:
        """Adds a class's options; a parser that has no others names their section in errors."""
        if not self._section and not args and "nested_key" not in options:
            kinds = {**_SECTIONS, **_OTHERS}
            found = [name for kind, name in kinds.items() if issubclass(theclass, kind)]
            self._section = found[0] if found else ""
        return super().add_class_arguments(theclass, *args, **options)

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        keys = {*keys_of_fit()}
        if self._section:
            # A class's own parser names its options without what they are of.
            message = in_section(message, self._section)
            keys |= {f"{self._section}.{action.dest}" for action in self._actions}
        else:
            leaves = {key.rpartition(".")[2] for key in keys if "." in key}
            keys |= {action.dest for action in self._actions} - leaves
        names = [extension.__name__ for extension in _extensions()]
        refuse_once(one_line(message, keys, names, self.words))

    def format_help(self, *args: Any, **options: Any) -> str:
        """Gives the help, of Lightning's Trainer only if it is asked for all."""
        groups, actions = self._action_groups, self._actions
        if "--help=all" not in self.words:
            self._action_groups = [
                group for group in groups if not _is_trainers(group._group_actions)
            ]
            self._actions = [action for action in actions if not _is_trainers([action])]
        try:
            text: str = super().format_help(*args, **options)
        finally:
            self._action_groups, self._actions = groups, actions
        return f"{text}\n--help=all lists the options of Lightning's Trainer (--trainer.…) too.\n"

    def instantiate_classes(self, cfg: Namespace, **options: Any) -> Namespace:
        """Makes what a configuration names; errors tell the section that they are in."""
        made_of: Namespace = self.instantiate(cfg, **options, instantiators=_instantiators())
        return made_of


def _instantiators() -> list[tuple[Callable[..., Any], type, bool]]:
    return [(partial(_made, name), kind, True) for kind, name in _SECTIONS.items()]


def _is_trainers(actions: Sequence[Action]) -> bool:
    return any(action.dest.startswith("trainer.") for action in actions)


def _made(section: str, kind: type, *args: Any, **options: Any) -> Any:
    with within(section):
        return kind(*args, **options)


class CollapseCLI(LightningCLI):
    """Makes the parts of a run from a command line."""

    def __init__(self, arguments: list[str]) -> None:
        """Parses the words that follow `fit`, and makes the parts.

        Raises:
            ValueError: an option is out of its range or contradicts another.
            OSError: a file cannot be read.
        """
        super().__init__(
            CollapseModule,
            PoolDataModule,
            save_config_callback=None,
            trainer_defaults=TRAINER_DEFAULTS,
            seed_everything_default=0,
            parser_class=OneLineParser,
            parser_kwargs={"prog": "lightning-collapse fit", "allow_abbrev": False},
            auto_configure_optimizers=False,
            args=arguments,
            run=False,
        )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        network = next(action for action in parser._actions if action.dest == "model.network")
        # Not every module of torch, which would be most of the help.
        named = ", ".join(made.__name__ for made in OURS)
        network.extra_help = lambda: f", such as {named}"  # type: ignore[attr-defined]
        parser.add_argument(
            "--run", type=Path | None, help="Folder of the run: runs/<config name>."
        )
        parser.add_argument(
            "--run_root",
            type=Path | None,
            help="Folder for a run named after its options, in place of --run: none.",
        )
        parser.add_argument(
            "--share",
            type=Path | None,
            help="Folder of other runs, of which one may have made the same round 0: none.",
        )
        parser.add_argument(
            "--ckpt_path",
            type=Path | None,
            help="Checkpoint to go on from; last: the run's.",
        )
        parser.add_argument(
            "--exit_code_on_stop",
            type=int | None,
            help="Exit status of a run that a signal stopped: 130 for SIGINT, 143 for others.",
        )
        parser.add_lightning_class_args(GenerationLoop, "loop")
        parser.link_arguments("seed_everything", "model.seed", compute_fn=int)
        parser.link_arguments("seed_everything", "data.seed", compute_fn=int)
        # `parse_arguments` has the last word: a link cannot see the configuration's name.
        parser.link_arguments("run", "data.run", compute_fn=lambda run: run or Path("runs/run"))

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        check_configs(args)
        self.config = _plain(parser.parse_args(args))
        config = self.config
        check_own(config)
        check_arguments(vars(config.trainer))
        if config.run is None:
            named = Path(str(config.config[0] if config.config else "run")).stem
            if config.run_root is None:
                config.run = Path("runs") / named
            else:
                known = run_digest(self.told(config), self.told(parser.get_defaults()))
                # A sweep's folder of the same run has another name before the digest.
                there = sorted(config.run_root.glob(f"*-{known}"))
                config.run = there[0] if there else config.run_root / f"{named}-{known}"
        config.data.run = config.run
        if config.ckpt_path is not None:
            config.ckpt_path = checkpoint_at(config.ckpt_path, config.run)

    def told(self, config: Namespace) -> dict[str, Any]:
        """Gives all options as plain values, those that follow from others too."""
        told = self.parser.dump(
            config, skip_validation=True, skip_link_targets=False, skip_none=False
        )
        options: dict[str, Any] = load_yaml(told, "options")
        return options

    def instantiate_classes(self) -> None:
        """Makes the three parts of a run; its Trainer comes with it."""
        check_needs(self.config)
        self._dump_config()
        self.config_init = self.parser.instantiate_classes(self.config)
        self.datamodule, self.model = self.config_init.data, self.config_init.model

    def fit(self) -> None:
        """Runs, or goes on with, the run; then shows what came of it."""
        root, run = self.config.run_root, self.config.run
        with noted(root, run.name) if root and is_first() else nullcontext():
            conduct(
                self.model,
                self.datamodule,
                self.config_init.loop,
                config=self.config_dump,
                share=self.config.share,
                ckpt_path=self.config.ckpt_path,
                exit_code_on_stop=self.config.exit_code_on_stop,
                **self.config_init.trainer,
            )


class _Options(CollapseCLI):
    """Makes no network and no Trainer."""

    def instantiate_classes(self) -> None:
        self.options = self.told(self.config)
        parts = self.config.clone()
        parts.model.network = None
        made = [(_unmade, CollapseModule, True), *_instantiators()]
        self.parser.instantiate(parts, instantiators=made)


def _unmade(kind: type, *args: Any, init_from: Path | None, **options: Any) -> None:
    """Looks for the file that a module starts from, in place of making the module."""
    if init_from is not None and not init_from.is_file():
        raise FileNotFoundError(f"model.init_from = {init_from}: no such file")


def _extensions() -> list[Callable[..., Any]]:
    """Gives what a configuration may name by a class, of ours and Lightning's."""
    bases = (Regime, Source, Features, Measure, Preconditioning, NoiseLevels, Guide)
    ours = [sub for base in bases for sub in base.__subclasses__()]
    others = [getattr(module, name) for module in (callbacks, loggers) for name in module.__all__]
    return [*ours, *OURS, *others, *Optimizer.__subclasses__()]


def _plain(value: Any) -> Any:
    """Gives a configuration without enumerations, which cannot be written."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, list):
        return [_plain(part) for part in value]
    if isinstance(value, Namespace):
        for key, part in vars(value).items():
            setattr(value, key, _plain(part))
    return value
