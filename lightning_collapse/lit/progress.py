"""What a user sees of a run: where it is, and a table of its rounds."""

import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from tqdm import tqdm

from lightning_collapse.lit.data import PoolDataModule, data_of
from lightning_collapse.lit.module import CollapseModule
from lightning_collapse.lit.telling import say
from lightning_collapse.runs.records import distance_name, table_header, table_line

__all__ = ["RoundTable", "RunLine"]

# Seconds between two lines: on a terminal, where one replaces the other, and elsewhere.
_TERMINAL, _ELSEWHERE = 0.5, 60.0


class RunLine(Callback):
    """Says where a run is, on standard error; comes after `GenerationLoop`.

    On a terminal that is one line, kept up to date. Elsewhere it is a line at the start, and one
    about every minute.
    """

    def __init__(self, live: bool = True) -> None:
        """Sets up the line; `live` is false beside another progress bar."""
        self._live = live and sys.stderr.isatty()
        self._line: tqdm[Any] | None = None
        self._told = 0.0

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.is_global_zero:
            say(_where(data_of(trainer), trainer.max_epochs or 0), sys.stderr)
            self._told = time.monotonic()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.is_global_zero and self._live:
            self._line = tqdm(bar_format="{desc}", leave=False, dynamic_ncols=True)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        if not trainer.is_global_zero or not isinstance(pl_module, CollapseModule):
            return
        data, waited = data_of(trainer), time.monotonic() - self._told
        trained = data.step >= data.steps_of(data.round)
        if waited < (_TERMINAL if self._line is not None else _ELSEWHERE) and not (
            # Samples may take as long again, in which there is no step.
            trained and (self._line is not None or waited > _ELSEWHERE / 6)
        ):
            return
        self._told = time.monotonic()
        text = _progress(data, pl_module, trainer.max_epochs or 0)
        if self._line is None:
            say(text, sys.stderr)
        else:
            self._line.set_description_str(text)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._close()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        self._close()

    def _close(self) -> None:
        if self._line is not None:
            self._line.close()
            self._line = None


def _where(data: PoolDataModule, rounds: int) -> str:
    """Says how a fit begins: a new run, or one that goes on."""
    folder, done = Path(data.run), data.pool.round
    if done >= rounds:
        return f"{folder} has all of its {rounds} rounds"
    if done or data.round or data.step:
        what = (
            f"step {data.step} of {data.steps_of(done)}" if data.round == done else "its samples"
        )
        return f"goes on from round {done}, {what}: {folder}"
    return f"started: {folder}, rounds 0 to {rounds - 1} of {data.steps_per_round} training steps"


def _progress(data: PoolDataModule, module: CollapseModule, rounds: int) -> str:
    """Says where a run is, its mean loss in the round so far, and the time that is left."""
    r, step, steps = data.round, data.step, data.steps_of(data.round)
    done = module.progress
    loss = f", loss {float(done.loss_sum) / done.steps:.4f}" if done.steps else ""
    at = f"step {step} of {steps}" if step < steps else "trained, makes its samples"
    left = (steps - step + (rounds - r - 1) * data.steps_per_round) * done.seconds / max(step, 1)
    ends = [record["seconds_sample"] + record["seconds_measure"] for record in data.records[-1:]]
    left += sum(ends) * (rounds - r)
    # Until a round has ended, nobody knows how long its samples take.
    time_left = f"{'' if ends else 'over '}{timedelta(seconds=round(left))} left"
    return f"round {r} of 0-{rounds - 1}, {at}{loss}, {time_left}"


class RoundTable(Callback):
    """Prints the table of rounds, a line as each ends; comes after `GenerationLoop`."""

    _printed = 0

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._print(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._print(trainer)

    def _print(self, trainer: Trainer) -> None:
        records = data_of(trainer).records
        if not trainer.is_global_zero or not records:
            return
        if self._printed == 0:
            say(table_header(distance_name(records[0])))
        for record in records[self._printed :]:
            say(table_line(record))
        self._printed = len(records)
