"""A run as a command: what comes of it, in one line and an exit status."""

import os
import signal
import sys
import traceback
from typing import Any, NoReturn

from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning import Callback
from pytorch_lightning.loggers import Logger
from pytorch_lightning.profilers import Profiler

from lightning_collapse.commands.quiet import quieten
from lightning_collapse.commands.table import refuse, refuse_once
from lightning_collapse.lit.assemble import run
from lightning_collapse.lit.data import PoolDataModule
from lightning_collapse.lit.loop import GenerationLoop
from lightning_collapse.lit.module import CollapseModule
from lightning_collapse.lit.processes import has_lost_process, is_first
from lightning_collapse.lit.signals import exit_status, requeue
from lightning_collapse.lit.telling import RunError, StoppedError
from lightning_collapse.metrics.figures import MeasureError
from lightning_collapse.report.figures import plot_run
from lightning_collapse.samples.memory import ran_out

__all__ = ["STOPPED", "conduct"]

STOPPED = 3
"""Exit status of a run that a callback or a limit has stopped, which the same command goes on."""

# Sampling takes smaller micro-batches by itself.
_OUT_OF_MEMORY = (
    "out of memory; what is on disk is whole, and the same command goes on with more memory or, "
    "in training, processes (trainer.devices); or start another --run with a smaller "
    "data.batch_size, and trainer.accumulate_grad_batches as much higher, a smaller "
    "model.network, trainer.precision bf16-mixed, or, in measuring, narrower loop.features"
)


def conduct(
    module: CollapseModule,
    data: PoolDataModule,
    loop: GenerationLoop,
    *,
    exit_code_on_stop: int | None = None,
    **options: Any,
) -> None:
    """Carries a run through and draws its picture, or ends the process as is due.

    Args:
        module: the network and how it is trained.
        data: real rows, regime and folder.
        loop: what ends a round.
        exit_code_on_stop: exit status after a signal; default: 130 for SIGINT, 143 for others.
        **options: what else `lit.assemble.run` takes.
    """
    quieten()
    try:
        signalled = run(module, data, loop, **options)
        if signalled is None and is_first() and data.run.table.exists():
            print(f"picture: {plot_run(data.run)}")
    except Exception as error:
        _fail(error, loop.started)
    if signalled is not None:
        _stop(signalled, exit_code_on_stop)
    if loop.ended_by is not None:
        _end_early(f"the run has ended after {data.pool.round} rounds, by {loop.ended_by}")


def _stop(number: int, asked: int | None) -> NoReturn:
    """Ends a run that a signal has stopped."""
    if not is_first():
        # The first process speaks for all; where another fails, Lightning kills the first.
        sys.exit(0)
    print("stopped by a signal; the same command goes on", flush=True)
    if number == signal.SIGUSR1:
        requeue()
    sys.exit(exit_status(number) if asked is None else asked)


def _end_early(why: str) -> NoReturn:
    """Ends a run that is not finished, by a callback or a limit, with a status of its own."""
    if not is_first():
        sys.exit(0)  # as above
    rest = "" if why.endswith("goes on") else "; the same command goes on"
    print(f"stopped: {why}{rest}", file=sys.stderr, flush=True)
    sys.exit(STOPPED)


def _fail(error: Exception, started: bool) -> NoReturn:
    """Ends on an error: in one line if the user, the disk or another process is at fault."""
    if _while_restoring(error):
        refuse_once(f"ckpt_path: cannot be gone on from ({error!r:.200}); name another checkpoint")
    if has_lost_process(error):
        refuse_once("another process of the run has ended; the same command goes on")
    if isinstance(error, OSError) and started:
        # On whichever process: the others know only that it has ended.
        rest = "; what is on disk is whole, and the same command goes on"
        refuse(f"{error}{'' if error.errno is None else rest}")
    if ran_out(error):
        # On whichever process, too.
        refuse(_OUT_OF_MEMORY)
    if isinstance(error, StoppedError):
        _end_early(str(error))
    if (named := _of_others(error)) is not None:
        # On whichever process, too.
        refuse(f"{named}{'; what is on disk is whole' * started}")
    if isinstance(error, MeasureError):
        # On whichever process, too.
        rest = "; what is on disk is whole: mend it or leave it out, and the same command goes on"
        refuse(f"loop.{error}{rest * started}")
    if isinstance(error, (MisconfigurationException, OSError, RunError)):
        refuse_once(error)
    if isinstance(error, ValueError) and not started:
        refuse_once(error)
    raise error


def _of_others(error: Exception) -> str | None:
    """Says which callback, logger or profiler from elsewhere an error comes from, and where."""
    found, at = None, ""
    for frame, line in traceback.walk_tb(error.__traceback__):
        part = frame.f_locals.get("self")
        for kind, key in ((Callback, "callbacks"), (Logger, "logger"), (Profiler, "profiler")):
            ours = type(part).__module__.startswith("lightning_collapse.")
            if isinstance(part, kind) and not ours:
                found = f"trainer.{key} = {type(part).__name__}"
        at = f"{os.path.basename(frame.f_code.co_filename)}, line {line}"
    return found and f"{found}: {error or 'fails'} ({type(error).__name__} in {at})"


def _while_restoring(error: Exception) -> bool:
    """Whether Lightning could not take a checkpoint over."""
    frames = traceback.extract_tb(error.__traceback__)
    unexpected = not isinstance(error, (OSError, ValueError))
    return unexpected and any("checkpoint_connector" in frame.filename for frame in frames)
