"""A run as a command: what comes of it, in one line and an exit status."""

import signal
import sys
import traceback
from typing import Any, NoReturn

from lightning_fabric.utilities.exceptions import MisconfigurationException

from lightning_collapse.commands import table
from lightning_collapse.commands.quiet import quieten
from lightning_collapse.lit.assemble import run
from lightning_collapse.lit.data import PoolDataModule
from lightning_collapse.lit.loop import GenerationLoop
from lightning_collapse.lit.module import CollapseModule
from lightning_collapse.lit.processes import has_lost_process, is_first
from lightning_collapse.lit.signals import exit_status, requeue
from lightning_collapse.lit.telling import RunError
from lightning_collapse.report.figures import plot_run
from lightning_collapse.samples.memory import ran_out

__all__ = ["conduct", "refuse"]

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
        stopped_by = run(module, data, loop, **options)
        if stopped_by is None and is_first() and data.run.table.exists():
            print(f"picture: {plot_run(data.run)}")
    except Exception as error:
        _fail(error, loop.started)
    if stopped_by is not None:
        _stop(stopped_by, exit_code_on_stop)


def refuse(message: Any) -> NoReturn:
    """Says what is wrong in one line, once for all processes, and ends."""
    if not is_first():
        sys.exit(2)
    table.refuse(message)


def _stop(number: int, asked: int | None) -> NoReturn:
    """Ends a run that a signal has stopped."""
    if not is_first():
        # The first process speaks for all; where another fails, Lightning kills the first.
        sys.exit(0)
    print("stopped by a signal; the same command goes on", flush=True)
    if number == signal.SIGUSR1:
        requeue()
    sys.exit(exit_status(number) if asked is None else asked)


def _fail(error: Exception, started: bool) -> NoReturn:
    """Ends on an error: in one line if the user, the disk or another process is at fault."""
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


def _while_restoring(error: Exception) -> bool:
    """Whether Lightning could not take a checkpoint over."""
    frames = traceback.extract_tb(error.__traceback__)
    unexpected = not isinstance(error, (OSError, ValueError))
    return unexpected and any("checkpoint_connector" in frame.filename for frame in frames)
