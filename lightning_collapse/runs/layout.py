"""A run's folder: every name in it, and what can be read of it, without Lightning.

    config.yaml                what the run was started with
    rounds.jsonl, rounds.csv   a record a round
    collapse.png               the run at a glance
    pool/real/                 the store of the real rows
    pool/0003/                 the store of round 3's samples, with a preview.png
    checkpoints/last.ckpt      where the run goes on from
    checkpoints/round-0003.ckpt   as round 3 has ended, with the average that its samples come from
    .rewriting                 new records of all rounds, until they are in place
    .lock, .id, wandb/         who writes, the run's own name, W&B's files

What is kept of a run whose rows are gone is a folder with rounds.jsonl and config.yaml alone: its
records are read as any run's.

No other file spells these names. torch is imported when rows or weights are asked for.
"""

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning_collapse.data.store.manifest import is_committed
from lightning_collapse.runs.config_file import ConfigFile

if TYPE_CHECKING:
    from lightning_collapse.data.store.shards import StoredRows
    from lightning_collapse.networks.edm import Precond
    from lightning_collapse.trust import Trusted

__all__ = ["Run", "check_run"]


class Run:
    """A run, by its folder; it may still be going.

    Attributes:
        path: of the folder.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Names a run; nothing is read, and the folder need not be there."""
        self.path = Path(path)
        self.config = ConfigFile(self.path / "config.yaml")
        self.table, self.csv = self.path / "rounds.jsonl", self.path / "rounds.csv"
        self.picture = self.path / "collapse.png"
        self.pool, self.checkpoints = self.path / "pool", self.path / "checkpoints"
        self.real, self.last = self.pool / "real", self.checkpoints / "last.ckpt"
        self.lock_file, self.id_file = self.path / ".lock", self.path / ".id"
        self.rewriting = self.path / ".rewriting"
        self.wandb = self.path / "wandb"

    def __fspath__(self) -> str:
        return str(self.path)

    def __str__(self) -> str:
        return str(self.path)

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"

    @classmethod
    def of_checkpoint(cls, path: Path) -> "Run":
        """Gives the run in whose folder a checkpoint lies."""
        return cls(path.resolve().parent.parent)

    @property
    def is_here(self) -> bool:
        """Whether the folder is a run's, or what is kept of one: rows, or a table of rounds."""
        return self.pool.is_dir() or self.table.is_file()

    def round(self, r: int) -> Path:
        """Gives the folder of round r's samples."""
        return self.pool / f"{r:04d}"

    def preview(self, r: int) -> Path:
        """Gives the path of the contact sheet of round r's samples."""
        return self.round(r) / "preview.png"

    def checkpoint(self, r: int) -> Path:
        """Gives the path of the checkpoint that round r has ended with."""
        return self.checkpoints / f"round-{r:04d}.ckpt"

    def round_of(self, path: Path) -> int | None:
        """Gives the round whose samples or checkpoint a file is of; None for any other file."""
        name = path.parent.name if self.pool in path.parents else path.name
        number = re.fullmatch(r"(?:round-)?(\d{4,9})(?:\.ckpt)?", name, re.ASCII)
        return int(number[1]) if number else None

    @property
    def rounds(self) -> int:
        """How many rounds are finished, and can be gone on from: up to the first without any."""
        count = 0
        while is_committed(self.round(count)):
            count += 1
        return count

    @property
    def records(self) -> list[dict[str, Any]]:
        """The record of every finished round.

        Raises:
            FileNotFoundError: there is none.
            ValueError: the table of rounds is damaged.
        """
        from lightning_collapse.runs.records import read_records

        return read_records(self)

    @property
    def real_rows(self) -> "StoredRows":
        """The real rows (n, *), training and held-out ones, in the order of their source.

        Raises:
            FileNotFoundError: there are none yet, or the run's records alone were kept.
            ValueError: their manifest is damaged.
        """
        from lightning_collapse.data.store.shards import StoredRows

        if not self.pool.is_dir():
            raise FileNotFoundError(f"{self}: has no rows, as where its records alone were kept")
        return StoredRows(self.real)

    def samples(self, r: int) -> "StoredRows":
        """Opens the samples (n, *) of round r: images uint8 in 0..255, points in network units.

        Raises:
            FileNotFoundError: the round is not finished.
            ValueError: their manifest is damaged.
        """
        from lightning_collapse.data.store.shards import StoredRows

        return StoredRows(self.round(r))

    def denoiser(self, r: int, trust_class: str | None = None) -> "Precond":
        """Loads the average network of round r, D(x, sigma), which made its samples.

        Where a guide has guided them, it made them by this network: `Guide.__call__`.

        Args:
            r: number of the round.
            trust_class: class of the network, such as `mine.Net`, if it is not of this package:
                it is imported, and called with the arguments that the checkpoint names.

        Returns:
            The denoiser on the CPU, in eval mode, none of its parameters learning.

        Raises:
            FileNotFoundError: the round's checkpoint is not there, or no longer kept.
            ValueError: it is damaged, or of a network that cannot be built.
        """
        from lightning_collapse.runs.denoiser import load_run_denoiser

        path = self.checkpoint(r)
        if not path.is_file():
            raise FileNotFoundError(f"{path}: no such file (see keep_checkpoints)")
        return load_run_denoiser(path, trust_class)

    def damage(self) -> dict[Path, str]:
        """Reads every file that the run must have; gives what is wrong with those at fault."""
        from lightning_collapse.runs.damage import examine

        return {path: fault for path, fault in examine(self) if fault is not None}

    def repair(self, trust_class: "Trusted" = None) -> dict[Path, str]:
        """Makes damaged files again, byte for byte; gives what was done, or why nothing could be.

        Args:
            trust_class: class of the network, such as `mine.Net`, if it is not of this package,
                or of the source of real rows or the guide, or several: they are imported.

        Raises:
            OSError: the run is in use.
        """
        from lightning_collapse.runs.repair import repair

        return {path: done for path, done, _ in repair(self, trust_class) if done is not None}


def check_run(path: Path) -> None:
    """Raises FileNotFoundError where a folder is no run's."""
    if not Run(path).pool.is_dir():
        raise FileNotFoundError(f"run = {path}: holds no run; name the folder of one")
