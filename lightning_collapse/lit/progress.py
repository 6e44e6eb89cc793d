"""Progress bars for rounds, training and sampling; on a terminal only."""

from typing import Any

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import TQDMProgressBar
from tqdm import tqdm

from lightning_collapse.records import read_records, round_table

__all__ = ["RoundProgressBar", "progress_bar"]


def progress_bar(trainer: Trainer, what: str, total: int) -> "tqdm[Any]":
    """Gives a bar that shows on rank 0, where standard error is a terminal."""
    hidden = True if not trainer.is_global_zero else None
    return tqdm(total=total, desc=what, leave=False, disable=hidden, dynamic_ncols=True)


class RoundProgressBar(TQDMProgressBar):
    """A bar for all rounds above Lightning's bar for the round's training; then a table."""

    _rounds: "tqdm[Any] | None" = None

    def init_train_tqdm(self) -> Any:
        bar = super().init_train_tqdm()
        bar.disable = not bar.fp.isatty()
        return bar

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        super().on_train_start(trainer, pl_module)
        hidden = True if not trainer.is_global_zero else None
        self._rounds = tqdm(
            total=trainer.max_epochs,
            initial=trainer.current_epoch,
            desc="rounds",
            disable=hidden,
            dynamic_ncols=True,
        )

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
