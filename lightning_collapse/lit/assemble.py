"""A run put together and carried through, for the command line, the toys and scripts alike."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import Checkpoint, ProgressBar
from pytorch_lightning.loggers import WandbLogger
from pytorch_lightning.profilers import PassThroughProfiler

from lightning_collapse.lit.data import PoolDataModule
from lightning_collapse.lit.loggers.wandb_mirror import fill_in, wandb_mirror
from lightning_collapse.lit.loop import GenerationLoop
from lightning_collapse.lit.module import CollapseModule
from lightning_collapse.lit.processes import end_with_parent, is_first
from lightning_collapse.lit.progress import RoundTable, RunLine
from lightning_collapse.lit.signals import StopAtStep, callbacks_of
from lightning_collapse.runs.config_file import Change, ConfigFile
from lightning_collapse.runs.damage import refuse_gaps
from lightning_collapse.runs.lock import RunFolder
from lightning_collapse.runs.sharing import FirstRound, share_first_round

__all__ = ["TRAINER_DEFAULTS", "assemble", "run"]

TRAINER_DEFAULTS: dict[str, Any] = {
    "max_epochs": 8,
    "enable_checkpointing": False,
    "enable_model_summary": False,
}
"""Where a run's Trainer differs from Lightning's: the loop saves, and the table sums up."""


def run(
    module: CollapseModule,
    data: PoolDataModule,
    loop: GenerationLoop,
    *,
    config: Mapping[str, Any] | None = None,
    share: Path | None = None,
    ckpt_path: Path | None = None,
    **trainer: Any,
) -> int | None:
    """Starts a run, or goes on with the one in the folder `data.run`, which is locked meanwhile.

    Ctrl-C, SIGTERM and SIGUSR1 stop it, saved. With several processes, each calls this.

    Args:
        module: the network and how it is trained.
        data: real rows, regime and folder.
        loop: what ends a round.
        config: the run's options, written to its `config.yaml`, from which `pool repair` and
            `generate` make the network again; default: nothing is written.
        share: folder of other runs, one of which may have made the same round 0: it is then
            linked, not made again; default: it is made.
        ckpt_path: checkpoint to go on from; default: the run's last one, if there is any.
        **trainer: arguments of Lightning's Trainer. Without a `logger` the run is mirrored to W&B,
            offline unless WANDB_MODE is online.

    Returns:
        The signal that has stopped the run; None for a run that is finished.

    Raises:
        ValueError: an option cannot work, or is not the one that the run was started with.
        OSError: the folder is in use, or cannot be written; or the disk fails.
        RunError: the run cannot go on, or was stopped by something other than a signal.
    """
    folder = RunFolder(data.run, make=is_first())
    if not is_first():
        end_with_parent()
    try:
        record = None if config is None else _RecordConfig(folder.config, config)
        made = _made(loop, folder, record, config or {}, trainer)
        loop.hyperparameters, loop.keep_first = config, share is not None
        (stop,) = callbacks_of(made, StopAtStep)
        try:
            with folder.locked() if is_first() else nullcontext(), stop.listening():
                if record is not None:
                    refuse_gaps(folder)
                    record.check()
                # Here and not in a hook: before other processes are started.
                data.check_share(made.world_size)
                if share is not None and config is not None and is_first():
                    _share(folder, share, made, data, loop, config)
                last = folder.last if folder.last.exists() else None
                made.fit(module, data, ckpt_path=ckpt_path or last)
        except (SystemExit, KeyboardInterrupt):
            if stop.signal is None:
                raise
        return stop.signal
    except Exception:
        if is_first():
            folder.discard_if_empty()
        raise


def _made(
    loop: GenerationLoop,
    folder: RunFolder,
    record: "_RecordConfig | None",
    config: Mapping[str, Any],
    options: dict[str, Any],
) -> Trainer:
    """Makes the Trainer of a run, with its loggers, and its profile in a file."""
    if options.get("logger") is None:
        options["logger"] = wandb_mirror(folder, config)
    for logger in _listed(options["logger"]):
        if isinstance(logger, WandbLogger) and is_first():
            fill_in(logger, folder, config)
    options["callbacks"] = [*_listed(record), *_listed(options.get("callbacks"))]
    # For files of Lightning's own: those of callbacks, of loggers that name no folder, profiles.
    options["default_root_dir"] = options.get("default_root_dir") or folder.path / "lightning"
    trainer = assemble(loop, **options)
    _keep_profile(trainer)
    return trainer


def _share(
    folder: RunFolder,
    others: Path,
    trainer: Trainer,
    data: PoolDataModule,
    loop: GenerationLoop,
    config: Mapping[str, Any],
) -> None:
    """Links round 0 from a run that has made the same, before the run's processes look for it."""
    environment = getattr(trainer.strategy, "cluster_environment", None)
    if trainer.world_size > 1 and environment and environment.creates_processes_externally:
        return  # which have looked already
    guide = None if loop.guide is None else loop.guide.at(0)
    recipe = {
        "sampling": loop.sampling.recipe,
        "micro_batch": loop.micro_batch,
        "classes": loop.classes,
        "guide": None if guide is None else guide.described(),
        "inpaint": None if loop.inpaint is None else asdict(loop.inpaint),
        "seed": data.seed,
        "device": trainer.strategy.root_device.type,
    }
    wanted = FirstRound(config, data.regime, data.seed, data.samples_per_round, recipe)
    if other := share_first_round(folder, others, wanted):
        print(f"round 0 is that of {other.path.name}")


def assemble(loop: GenerationLoop, **options: Any) -> Trainer:
    """Makes a Trainer of rounds, which prints their table and where the run is.

    Of its `options`, Lightning's own, those left out are `TRAINER_DEFAULTS`.
    """
    given = _listed(options.pop("callbacks", None))
    bars, savers = (
        any(isinstance(callback, kind) for callback in given) for kind in (ProgressBar, Checkpoint)
    )
    # The signal's callback first: the loop saves in the step that it stops.
    own: list[Callback] = [StopAtStep(), loop, RoundTable(), RunLine(live=not bars)]
    options = {**TRAINER_DEFAULTS, **options, "callbacks": [*own, *given]}
    options["enable_progress_bar"] = bars
    options["enable_checkpointing"] = savers
    return Trainer(**options)


def _keep_profile(trainer: Trainer) -> None:
    """Has a profile written to a file: what profilers print is a log that nobody sees."""
    profiler: Any = trainer.profiler  # type: ignore[attr-defined]
    if isinstance(profiler, PassThroughProfiler):
        return
    profiler.dirpath = profiler.dirpath or trainer.default_root_dir
    profiler.filename = profiler.filename or "profile"
    if is_first():
        print(f"profile, once the run ends: {profiler.dirpath}/fit-{profiler.filename}*")


def _listed(value: Any) -> list[Any]:
    """Gives what is named once, several times or not at all, as a list."""
    return list(value) if isinstance(value, list) else [] if value is None else [value]


class _RecordConfig(Callback):
    """Writes `config.yaml` once everything has been checked."""

    # Which may end a round as the fit starts, and tells the digest of the file.
    before_loop = True

    def __init__(self, file: ConfigFile, config: Mapping[str, Any]) -> None:
        self._file, self._config = file, config
        self._changes: Sequence[Change] = ()
        self._text: str | None = None

    def check(self) -> None:
        """Shows what has changed since the run was started; refuses what must not change."""
        parts = {"model": CollapseModule, "data": PoolDataModule, "loop": GenerationLoop}
        trainer = partial(Trainer, **TRAINER_DEFAULTS)
        self._changes = self._file.changes(self._config, {**parts, "trainer": trainer})
        if is_first():
            _show(self._changes)
        self._file.refuse_forbidden(self._changes)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.is_global_zero:
            self._text = self._file.write(self._config, self._changes)

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        # From which a damaged file is restored.
        checkpoint["config"] = self._text


def _show(changes: Sequence[Change]) -> None:
    if not changes:
        return
    lines = [("changed", "was", "now", "kind")]
    lines += [(change.key, change.was, change.now, change.kind) for change in changes]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        print(*(cell.ljust(width) for cell, width in zip(line, widths, strict=True)), sep="  ")
