"""`lightning-collapse fit`, on LightningCLI: constructors are the configuration."""

import inspect
import logging
import os
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, NoReturn

import torch
from jsonargparse import Namespace
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI

# Imported so that configurations can name what is in them without a module path.
import lightning_collapse.data.sources.images
import lightning_collapse.data.sources.points  # noqa: F401
from lightning_collapse.commands import table
from lightning_collapse.commands.messages import one_line
from lightning_collapse.data.foreign.plain_yaml import load_yaml
from lightning_collapse.data.sources.source import Source
from lightning_collapse.lit.checkpoint_io import AtomicCheckpointIO
from lightning_collapse.lit.data import PoolDataModule
from lightning_collapse.lit.loggers.wandb_mirror import wandb_mirror
from lightning_collapse.lit.loop import GenerationLoop
from lightning_collapse.lit.module import CollapseModule
from lightning_collapse.lit.processes import end_with_parent, has_lost_process
from lightning_collapse.lit.progress import RoundBars, RoundTable
from lightning_collapse.lit.signals import StopAtStep, requeue
from lightning_collapse.lit.telling import RunError
from lightning_collapse.metrics.features import Features
from lightning_collapse.networks.mlp import SigmaMLP
from lightning_collapse.networks.unet import ddpmpp, ncsnpp
from lightning_collapse.regimes import Regime
from lightning_collapse.report.figures import plot_run
from lightning_collapse.runs.config_file import Change, ConfigFile
from lightning_collapse.runs.damage import refuse_gaps
from lightning_collapse.runs.lock import RunFolder
from lightning_collapse.samples.memory import ran_out

__all__ = ["run_fit"]

_TRAINER_DEFAULTS = {
    "max_epochs": 8,
    "use_distributed_sampler": False,
    "enable_checkpointing": False,
    "enable_model_summary": False,
    "limit_val_batches": 0,
    "num_sanity_val_steps": 0,
}

_STRATEGIES = (
    "auto",
    "ddp",
    "ddp_find_unused_parameters_false",
    "ddp_find_unused_parameters_true",
)
_PRECISIONS = ("32-true", "32", "bf16-mixed", "bf16", "16-mixed", "16")

# Sampling takes smaller micro-batches by itself.
_OUT_OF_MEMORY = (
    "out of memory; what is on disk is whole, and the same command goes on with more memory or, "
    "in training, processes (trainer.devices); or start another --run with a smaller "
    "data.batch_size, and trainer.accumulate_grad_batches as much higher, a smaller "
    "model.network, trainer.precision bf16-mixed, or, in measuring, narrower loop.features"
)

# Set by Lightning, torchrun and SLURM for every process but the first.
_RANKS = ("RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID")


def run_fit(arguments: list[str]) -> None:
    """Runs `lightning-collapse fit`; a mistake is one line on standard error and exit status 2."""
    _quieten()
    # Sampling with an untrained network makes denormal numbers, which slow a CPU severalfold.
    torch.set_flush_denormal(True)
    try:
        cli = CollapseCLI(
            CollapseModule,
            PoolDataModule,
            save_config_callback=None,
            trainer_defaults=_TRAINER_DEFAULTS,
            seed_everything_default=0,
            parser_class=OneLineParser,
            parser_kwargs={"prog": "lightning-collapse fit", "allow_abbrev": False},
            auto_configure_optimizers=False,
            args=arguments,
            run=False,
        )
    except (ValueError, OSError, MisconfigurationException) as error:
        refuse(error)
    cli.fit()


class OneLineParser(LightningArgumentParser):
    """A parser whose errors are one line: key, value, what is allowed."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        extensions = _extensions()
        keys = {key for action in self._actions for key in (action.dest, _leaf(action.dest))}
        for extension in extensions:
            keys.update(inspect.signature(extension).parameters)
        refuse(one_line(message, keys, [extension.__name__ for extension in extensions]))


class CollapseCLI(LightningCLI):
    """Assembles a run: folder, data, network, loop, loggers."""

    run_folder: RunFolder

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        network = next(action for action in parser._actions if action.dest == "model.network")
        # Not every module of torch, which would be most of the help.
        network.extra_help = lambda: ", such as ddpmpp, ncsnpp, SigmaMLP"  # type: ignore[attr-defined]
        parser.add_argument(
            "--run", type=Path | None, help="Folder of the run: runs/<config name>."
        )
        parser.add_argument(
            "--ckpt_path", type=Path | None, help="Checkpoint to go on from: the run's last one."
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
        for path in _config_files(args):
            text = path.read_bytes().decode(errors="replace")
            if not isinstance(load_yaml(text, f"config = {path}"), dict):
                raise ValueError(f"config = {path}: must be a table of options")
        self.config = parser.parse_args(args)
        config = self.config
        if config.run is None:
            named = config.config[0] if config.config else "run"
            config.run = Path("runs") / Path(str(named)).stem
        config.data.run = config.run
        _check(config)

    def before_instantiate_classes(self) -> None:
        self.run_folder = RunFolder(self.config.run, make=_is_rank_zero())
        self._dump_config()

    def instantiate_classes(self) -> None:
        try:
            super().instantiate_classes()
        except BaseException:
            self._discard_if_empty()
            raise

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        config = self.config_init.trainer
        if config.logger is None:
            config.logger = wandb_mirror(self.run_folder, self.config_dump)
        self.stop = StopAtStep()
        # The signal's callback first: the loop saves in the step that it stops.
        self.record = _RecordConfig(self.run_folder.config, self.config_dump)
        own: list[Callback] = [self.stop, self.config_init.loop, self.record, RoundTable()]
        if sys.stderr.isatty():
            own.append(RoundBars())
        config.enable_progress_bar = sys.stderr.isatty()
        config.callbacks = own + _listed(config.callbacks)
        config.plugins = [*_listed(config.plugins), AtomicCheckpointIO()]
        return Trainer(**config)

    def fit(self) -> None:
        """Runs, or goes on with, the run; then shows what came of it."""
        if not _is_rank_zero():
            end_with_parent()
        try:
            with self._locked(), self.stop.listening():
                self._fit()
            if self.trainer.is_global_zero and self.stop.signal is None:
                self._show()
        except (SystemExit, KeyboardInterrupt):
            if self.stop.signal is None:
                raise
        except Exception as error:
            self._fail(error)
        if self.stop.signal is not None:
            self._stopped()

    def _fail(self, error: Exception) -> NoReturn:
        """Ends on an error: in one line if the user, the disk or another process is at fault."""
        started = self.config_init.loop.started
        self._discard_if_empty()
        if _while_restoring(error):
            refuse(f"ckpt_path: cannot be gone on from ({error!r:.200}); name another checkpoint")
        if has_lost_process(error):
            refuse("another process of the run has ended; the same command goes on")
        if isinstance(error, OSError) and started:
            # On whichever process: the others know only that it has ended.
            rest = "; what is on disk is whole, and the same command goes on"
            table.refuse(f"{error}{'' if error.errno is None else rest}")
        if ran_out(error):
            # On whichever process, too.
            table.refuse(_OUT_OF_MEMORY)
        if isinstance(error, (MisconfigurationException, OSError, RunError)):
            refuse(error)
        if isinstance(error, ValueError) and not started:
            refuse(error)
        raise error

    def _discard_if_empty(self) -> None:
        if _is_rank_zero():
            self.run_folder.discard_if_empty()

    def _stopped(self) -> NoReturn:
        """Ends a run that a signal has stopped."""
        if not self.trainer.is_global_zero:
            # The first process speaks for all; where another fails, Lightning kills the first.
            sys.exit(0)
        print("stopped by a signal; the same command goes on", flush=True)
        if self.stop.signal == signal.SIGUSR1:
            requeue()
        asked = self.config.exit_code_on_stop
        sys.exit(self.stop.status if asked is None else asked)

    def _locked(self) -> AbstractContextManager[None]:
        return self.run_folder.locked() if _is_rank_zero() else nullcontext()

    def _fit(self) -> None:
        refuse_gaps(self.run_folder)
        self._refuse_fewer_rounds()
        file = self.run_folder.config
        changes = self.record.changes = file.changes(self.config_dump)
        try:
            file.refuse_forbidden(changes)
        except ValueError:
            _show_changes(changes)
            raise
        # Here and not in a hook: before other processes are started.
        self.datamodule.check_share(self.trainer.world_size)
        checkpoint = self.config.ckpt_path or self.run_folder.last_checkpoint
        self.trainer.fit(self.model, self.datamodule, ckpt_path=checkpoint)

    def _refuse_fewer_rounds(self) -> None:
        rounds, most = self.run_folder.rounds, self.trainer.max_epochs or 0
        if rounds > most:
            raise ValueError(
                f"trainer.max_epochs = {most}: the run in {self.run_folder.path} has {rounds} "
                "rounds already; name at least as many, or choose another --run"
            )

    def _show(self) -> None:
        if self.run_folder.table.exists():
            print(f"picture: {plot_run(self.run_folder)}")


class _RecordConfig(Callback):
    """Writes `config.yaml` once everything has been checked, and tells what has changed in it.

    Attributes:
        changes: to a configuration that the run was started with.
    """

    changes: Sequence[Change] = ()
    _text: str | None = None

    def __init__(self, file: ConfigFile, config: dict[str, Any]) -> None:
        self._file, self._config = file, config

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.is_global_zero:
            self._text = self._file.write(self._config, self.changes)
            _show_changes(self.changes)

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        # From which a damaged file is restored.
        checkpoint["config"] = self._text


def _show_changes(changes: Sequence[Change]) -> None:
    if not changes:
        return
    lines = [("changed", "was", "now", "kind")]
    lines += [(change.key, change.was, change.now, change.kind) for change in changes]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        print(*(cell.ljust(width) for cell, width in zip(line, widths, strict=True)), sep="  ")


def refuse(message: Any) -> NoReturn:
    """Says what is wrong in one line, once, and ends."""
    if not _is_rank_zero():
        sys.exit(2)
    table.refuse(message)


def _extensions() -> list[Callable[..., Any]]:
    """Gives everything that a configuration may name by a class path of ours."""
    bases = (Regime, Source, Features)
    return [sub for base in bases for sub in base.__subclasses__()] + [ddpmpp, ncsnpp, SigmaMLP]


def _config_files(words: Sequence[str]) -> list[Path]:
    """Gives the configuration files that a command line names and that there are."""
    options = ("--config", "-c")
    named = [value for option, value in zip(words, words[1:], strict=False) if option in options]
    named += [word.partition("=")[2] for word in words if word.startswith("--config=")]
    return [path for path in map(Path, named) if path.is_file()]


def _leaf(key: str) -> str:
    return key.rpartition(".")[2]


def _is_rank_zero() -> bool:
    """Tells rank 0 apart before there is a trainer, by what launchers set for the others."""
    return all(os.environ.get(name, "0") == "0" for name in _RANKS)


def _while_restoring(error: Exception) -> bool:
    """Whether Lightning could not take a checkpoint over."""
    frames = traceback.extract_tb(error.__traceback__)
    unexpected = not isinstance(error, (OSError, ValueError))
    return unexpected and any("checkpoint_connector" in frame.filename for frame in frames)


def _listed(value: Any) -> list[Any]:
    """Gives what a configuration names once, several times or not at all, as a list."""
    return list(value) if isinstance(value, list) else [] if value is None else [value]


def _check(config: Namespace) -> None:
    if config.ckpt_path is not None and not config.ckpt_path.is_file():
        raise FileNotFoundError(f"ckpt_path = {config.ckpt_path}: no such file")
    seed = config.seed_everything
    if isinstance(seed, bool) or not 0 <= seed < 2**32:
        raise ValueError(f"seed_everything = {seed}: must be an integer >= 0 and below 2^32")
    status = config.exit_code_on_stop
    if status is not None and not 0 <= status <= 255:
        raise ValueError(f"exit_code_on_stop = {status}: must be an exit status, 0 to 255")
    trainer = config.trainer
    if trainer.max_epochs is None or trainer.max_epochs < 1:
        raise ValueError(f"trainer.max_epochs = {trainer.max_epochs}: must be at least 1 round")
    if trainer.precision is not None and str(trainer.precision) not in _PRECISIONS:
        raise ValueError(
            f"trainer.precision = {trainer.precision}: must be one of {', '.join(_PRECISIONS)}; "
            "noise and preconditioning are in float32"
        )
    if isinstance(trainer.strategy, str) and trainer.strategy not in _STRATEGIES:
        raise ValueError(
            f"trainer.strategy = {trainer.strategy}: must be one of {', '.join(_STRATEGIES)}; "
            "every process holds the whole network, and is started as a command"
        )
    for name, neutral, instead in [
        ("max_steps", -1, "data.images_per_round and trainer.max_epochs"),
        ("limit_train_batches", None, "data.images_per_round"),
        ("reload_dataloaders_every_n_epochs", 0, "data.regime"),
        ("use_distributed_sampler", False, "data.batch_size, which counts all processes"),
        ("enable_checkpointing", False, "loop.checkpoint_every"),
        ("fast_dev_run", False, "data.images_per_round"),
        ("overfit_batches", 0, "data.train_rows"),
        ("min_epochs", None, "trainer.max_epochs"),
        ("min_steps", None, "data.images_per_round"),
    ]:
        if trainer[name] != neutral:
            raise ValueError(
                f"trainer.{name} = {trainer[name]}: would break the rounds; use {instead}"
            )


def _quieten() -> None:
    """Keeps notes that a user can do nothing about off the screen."""
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    for message in (
        ".*does not have many workers.*",  # raw shards are read fastest without
        ".*smaller than the logging interval.*",
        ".*in eval mode at the start of training.*",  # the average
        ".*isinstance.treespec, LeafSpec.*",
    ):
        warnings.filterwarnings("ignore", message=message)
