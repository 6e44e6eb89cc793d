"""The DataModule: real rows and the pool on disk, drawn by a regime in a keyed order.

The batch of a step is a pure function of (seed, round, step), so a run goes on from any step; its
position is kept here, in the DataModule's own state.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import LightningDataModule, Trainer
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, DistributedSampler

from lightning_collapse.curators import Curator
from lightning_collapse.curators.curation import Curated, CuratorError, check_curator, curated
from lightning_collapse.data.sources.imports import import_notes
from lightning_collapse.data.sources.source import Source
from lightning_collapse.data.store.manifest import is_committed
from lightning_collapse.data.store.shards import MAX_SHARD_ROWS, StoredRows
from lightning_collapse.lit.sections import within
from lightning_collapse.lit.telling import RunError
from lightning_collapse.pool import Pool, Subset, batch_order
from lightning_collapse.regimes import Regime
from lightning_collapse.rows import Rows
from lightning_collapse.runs.layout import Run
from lightning_collapse.runs.records import check_record
from lightning_collapse.runs.split import samples_of, set_apart, split

__all__ = ["PoolDataModule", "data_of"]

_KEPT_BYTES = 2**24
"""Of a pool whose rows are kept in memory for a round, once they are read."""

Batch = dict[str, Tensor]
"""`rows` (B, *) as stored, `labels` (B,) int64 where every row has one, and `weights` (B,) in the
loss, float32, where there is a curator."""


class PoolDataModule(LightningDataModule):
    """Trains each round on the rows that a regime draws from real data and earlier samples.

    Attributes, from `setup` on:
        set_apart: real rows that are neither trained on nor held out.
        n_samples: samples that a round makes.
        n_trainable: how many of them, the first ones, later rounds may train on.
    """

    pool: Pool
    train: Subset
    held_out: Subset
    set_apart: Subset

    def __init__(
        self,
        source: Source,
        regime: Regime,
        train_rows: int | None = None,
        held_out_rows: int | None = None,
        images_per_round: int = 76_800,
        batch_size: int = 128,
        samples_per_round: int | None = None,
        train_first_round: bool = True,
        num_workers: int = 0,
        seed: int = 0,
        split_seed: int | None = None,
        swap: int | None = None,
        curator: Curator | None = None,
        run: Path = Path("runs/run"),
    ) -> None:
        """Sets up the data of a run; nothing is read yet.

        Args:
            source: the real rows; their order is shuffled by the seed of the split.
            regime: which rows a round trains on.
            train_rows: N, real rows that may be trained on; default: all but the held-out ones.
            held_out_rows: real rows never trained on, at least 2; default: a fifth of the set.
            images_per_round: rows seen in training each round, rounded up to whole batches.
            batch_size: rows in a step, over all processes.
            samples_per_round: samples made each round, all of which may be trained on; default:
                what the regime needs, or N where it needs none, and more for the measures alone
                where that is less than the held-out rows, of which they take 5,000 at most.
            train_first_round: false makes the initial network itself generation 0.
            num_workers: processes that read; 0 is fastest for a local disk.
            seed: keys the order of the data in training, and samples.
            split_seed: keys which real rows there are, and which are held out; default: the seed.
            swap: number of one training row, in [0, N), in whose place another real row comes:
                one not used before, or, where there is none, a held-out one, which it changes
                places with. Everything else of chance stays.
            curator: weighs the samples that the regime takes, and leaves some out; default: all
                are taken alike.
            run: the run's folder.
        """
        super().__init__()
        self.source, self.regime = source, regime
        self.train_rows, self.held_out_rows = train_rows, held_out_rows
        self.images_per_round, self.batch_size = images_per_round, batch_size
        self.samples_per_round = samples_per_round
        self.train_first_round = train_first_round
        self.num_workers, self.seed, self.run = num_workers, seed, Run(run)
        self.split_seed, self.swap = seed if split_seed is None else split_seed, swap
        self.curator, self._curated = curator, (-1, Curated.none())
        self.round, self.step = 0, 0
        self._check_fields()

    def _check_fields(self) -> None:
        # Of one row there is no variance.
        for name, least in [
            ("images_per_round", 1),
            ("batch_size", 1),
            ("train_rows", 2),
            ("held_out_rows", 2),
            ("samples_per_round", 2),
            ("num_workers", 0),
            ("split_seed", 0),
            ("swap", 0),
        ]:
            value = getattr(self, name)
            if value is not None and value < least:
                raise ValueError(f"data.{name} = {value}: must be at least {least}")
        # A run that has its rows does not need their source any more.
        if not is_committed(self.run.real):
            with within("data.source"):
                self.source.check()

    @property
    def steps_per_round(self) -> int:
        """Training steps of a round."""
        return -(-self.images_per_round // self.batch_size)

    def steps_of(self, round: int) -> int:
        """Training steps of one round: none in the first, where that is not trained."""
        return self.steps_per_round if round or self.train_first_round else 0

    def prepare_data(self) -> None:
        """Imports the real rows into the run's store, once.

        Raises:
            ValueError: the run has samples, but other real rows than the source's.
        """
        folder = self.run.real
        recipe = {"source": repr(self.source), "seed": self.split_seed}
        if is_committed(folder):
            kept = StoredRows(folder).recipe
            imported = {key: kept.get(key) for key in recipe}
            if imported == recipe:
                return
            if self.run.rounds:
                raise ValueError(
                    f"data.source = {recipe}: the run in {self.run} was started with {imported}; "
                    "restore it, or choose another run"
                )
        with within("data.source"):
            self.source.keep(folder, self.split_seed, recipe)
        for note in import_notes(StoredRows(folder).recipe):
            print(f"data.source: {note}", file=sys.stderr)

    def setup(self, stage: str | None = None) -> None:
        """Opens the store: real rows, and every finished round's samples.

        Raises:
            ValueError: there are not enough rows for what was asked.
        """
        real = self.run.real_rows
        with within("data"):
            self.train, self.held_out = split(
                real, self.split_seed, self.train_rows, self.held_out_rows, self.swap
            )
        self.set_apart = set_apart(real, self.split_seed, len(self.train), len(self.held_out))
        self.pool = Pool(self.train, self.seed)
        sizes = len(self.train), len(self.held_out)
        self.n_samples, self.n_trainable = samples_of(self.regime, *sizes, self.samples_per_round)
        self.generations: list[StoredRows] = []
        for r in range(self.run.rounds):
            samples = self.run.samples(r)
            if (samples.shape, samples.dtype) != (real.shape, real.dtype):
                raise ValueError(
                    f"{samples.folder}: holds {samples.dtype} {samples.shape}, but real rows are "
                    f"{real.dtype} {real.shape}"
                )
            if (was := check_record(samples.record or {}, r).get("swap")) != self.swap:
                raise ValueError(
                    f"data.swap = {self.swap}: the run in {self.run} was started with {was}; "
                    "restore it, or choose another run"
                )
            self.deposit(samples)

    def check(self, rounds: int, world_size: int) -> None:
        """Raises ValueError for what cannot be satisfied in any of `rounds` rounds."""
        if self.pool.round > rounds:
            raise ValueError(
                f"trainer.max_epochs = {rounds}: the run in {self.run} has {self.pool.round} "
                "rounds already; name at least as many, or choose another --run"
            )
        self.check_share(world_size)
        self.regime.check(len(self.train), self.n_trainable, rounds)
        if self.curator is not None:
            sizes = [len(self.train)] + [self.n_trainable] * (rounds - 1)
            with within("data"):
                check_curator(self.curator, self.regime, sizes, self.seed)

    def check_share(self, world_size: int) -> None:
        """Raises ValueError where the processes cannot have equal shares of a batch."""
        if self.batch_size % world_size:
            raise ValueError(
                f"data.batch_size = {self.batch_size}: must be a multiple of the {world_size} "
                "processes that share it"
            )

    def deposit(self, samples: StoredRows) -> None:
        """Adds a finished round's samples."""
        self.generations.append(samples)
        self.pool.deposit(samples, self.n_trainable)

    @property
    def row_shape(self) -> tuple[int, ...]:
        """The shape of one row."""
        return tuple(self.held_out[torch.arange(1)].shape[1:])

    @property
    def records(self) -> list[dict[str, Any]]:
        """The record of every finished round."""
        return [samples.record for samples in self.generations if samples.record is not None]

    def curation(self) -> Curated:
        """What the current round trains on, and the weights of its rows.

        Raises:
            RunError: the curator cannot choose, or keeps too little.
        """
        if self._curated[0] != self.pool.round:
            # A function of the pool and the seed, so that it is the same after a resume.
            try:
                with within("data"):
                    made = curated(self.curator, self.pool, self.regime, self.train, self.seed)
            except CuratorError as error:
                raise RunError(str(error)) from error
            self._curated = self.pool.round, made
        return self._curated[1]

    @property
    def trained_on(self) -> Rows:
        """The rows that the current round trains on, read only as they are asked for."""
        return self.pool.at(self.curation().positions)

    def read_selection(self) -> None:
        """Reads all that the current round trains on; raises OSError for a damaged row."""
        rows = torch.unique(self.pool.select(self.regime))
        for positions in torch.split(rows, MAX_SHARD_ROWS):
            self.pool[positions]

    def train_dataloader(self) -> DataLoader[Batch]:
        return _RoundLoader(
            _PoolDataset(self.pool),
            sampler=_RoundBatches(self),
            batch_size=None,
            num_workers=self.num_workers,
        )

    def state_dict(self) -> dict[str, Any]:
        return {"round": self.round, "step": self.step}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        found = state_dict if isinstance(state_dict, dict) else {}
        position = [found.get(name) for name in ("round", "step")]
        if not all(type(value) is int and value >= 0 for value in position):
            raise ValueError(f"ckpt_path: {state_dict!r:.80} is no position in a run")
        self.round, self.step = state_dict["round"], state_dict["step"]


Wanted = Tensor | tuple[Tensor, Tensor]
"""Positions in the pool (B,); with the weights of the rows there where there is a curator."""


class _PoolDataset(Dataset[Batch]):
    """Reads whole batches; rows of a small pool once a round."""

    def __init__(self, pool: Pool) -> None:
        self._pool, self._round = pool, -1
        self._kept: Tensor | None = None
        self._known = torch.empty(0)

    def __getitem__(self, wanted: Wanted) -> Batch:
        positions, weights = wanted if isinstance(wanted, tuple) else (wanted, None)
        batch = {"rows": self._rows(positions)}
        if weights is not None:
            batch["weights"] = weights
        labels = self._pool.labels
        return batch if labels is None else batch | {"labels": labels[positions]}

    def _rows(self, positions: Tensor) -> Tensor:
        if self._round != self._pool.round:
            row, n = self._pool[positions[:1]], len(self._pool)
            few = row.nbytes * n <= _KEPT_BYTES
            self._round, self._known = self._pool.round, torch.zeros(n, dtype=torch.bool)
            self._kept = row.new_empty((n, *row.shape[1:])) if few else None
        if self._kept is None:
            return self._pool[positions]
        new = positions[~self._known[positions]]
        if len(new):
            self._kept[new], self._known[new] = self._pool[new], True
        return self._kept[positions]


class _RoundBatches(DistributedSampler[Wanted]):  # or Lightning would deal the batches out again
    """This process's share of every batch of the current round, from the current step on."""

    def __init__(self, data: PoolDataModule) -> None:
        # Not torch's, which shuffles and deals out: here `__iter__` does.
        self._data = data

    def __len__(self) -> int:
        # The whole round also where it goes on from a step: Lightning counts from that step.
        # Not 0 for an untrained round, which Lightning would skip with its hooks.
        return self._data.steps_per_round

    def __iter__(self) -> Iterator[Wanted]:
        data = self._data
        positions, weights = data.curation().positions, data.curation().weights
        trainer = data.trainer
        assert trainer is not None
        share = data.batch_size // trainer.world_size
        mine = slice(trainer.global_rank * share, (trainer.global_rank + 1) * share)
        for step in range(data.step, data.steps_of(data.round)):
            order = batch_order(len(positions), data.batch_size, step, (data.seed, data.round))
            now = order[mine]
            yield positions[now] if data.curator is None else (positions[now], weights[now])


class _RoundLoader(DataLoader[Batch]):
    """Tells Lightning that going on mid-round is in order; the DataModule knows the position."""

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        pass


def data_of(trainer: Trainer) -> PoolDataModule:
    """Gives the trainer's data module; raises TypeError where it is of another class."""
    data = getattr(trainer, "datamodule", None)
    if not isinstance(data, PoolDataModule):
        raise TypeError(f"the trainer's data module must be a PoolDataModule, got {data!r}")
    return data
