"""What a user sees of rounds: bars on a terminal, a table everywhere."""

import sys
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import TQDMProgressBar
from tqdm import tqdm

from lightning_collapse.lit.data import data_of
from lightning_collapse.lit.telling import progress_bar
from lightning_collapse.runs.records import distance_name, table_header, table_line

__all__ = ["RoundBars", "RoundTable"]


class RoundBars(TQDMProgressBar):
    """A bar for all rounds, above Lightning's for the steps of the current one."""

    _rounds: "tqdm[Any] | None" = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._rounds = progress_bar(trainer, "rounds", trainer.max_epochs or 0)
        self._rounds.update(trainer.current_epoch)
        super().on_train_start(trainer, pl_module)

    def init_train_tqdm(self) -> Any:
        bar = super().init_train_tqdm()
        bar.leave = False
        return bar

    def on_train_epoch_start(self, trainer: Trainer, *args: Any) -> None:
        super().on_train_epoch_start(trainer, *args)
        self.train_progress_bar.set_description(f"round {trainer.current_epoch} training")

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_epoch_end(trainer, pl_module)
        if self._rounds is not None:
            self._rounds.update()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_end(trainer, pl_module)
        if self._rounds is not None:
            self._rounds.close()


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
            _say(table_header(distance_name(records[0])))
        for record in records[self._printed :]:
            _say(table_line(record))
        self._printed = len(records)


def _say(line: str) -> None:
    # Not print: it would break the bars.
    tqdm.write(line)
    sys.stdout.flush()
