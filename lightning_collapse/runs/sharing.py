"""Round 0 made once for the runs of a study: linked from the run that has made it.

It depends on data, network, seed and budget, and on no regime but for the real rows that this
takes in round 0. What is shared are the files: the checkpoint that the round has ended with, real
rows, and the samples too where they would be made in the same way. Figures are measured anew. The
files of a run are only ever replaced, so that none is written to through a link.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from lightning_collapse.data.files import link_atomically, make_folder, remove
from lightning_collapse.data.store.manifest import finite, is_committed
from lightning_collapse.data.store.shards import StoredRows, link_rows
from lightning_collapse.regimes import Regime
from lightning_collapse.runs.checkpoints import is_sealed
from lightning_collapse.runs.config_file import same_first_round
from lightning_collapse.runs.layout import Run
from lightning_collapse.runs.split import samples_of
from lightning_collapse.samples.shards import clear_round, link_described, note_shared
from lightning_collapse.seeds import key

__all__ = ["FirstRound", "rows_digest", "share_first_round", "sharers"]


@dataclass(frozen=True)
class FirstRound:
    """What a run's round 0 would be."""

    config: Mapping[str, Any]
    regime: Regime
    seed: int
    samples_per_round: int | None  # None for what the regime needs
    recipe: Mapping[str, Any]  # how its samples would be made

    def has_training_of(self, other: Run, made: StoredRows) -> bool:
        """Whether another run, which has made those samples, has trained the same."""
        n_train = (made.record or {}).get("n_train")
        if not isinstance(n_train, int) or not is_sealed(other.checkpoint(0)):
            return False
        rows = rows_digest(self.regime.select([n_train], key(self.seed, "regime")))
        same_rows = made.recipe.get("trained_on") == rows
        return same_rows and same_first_round(other.config.read()) == same_first_round(self.config)

    def has_samples(self, made: StoredRows) -> bool:
        """Whether samples of the same training are those that this round would make."""
        record = made.record or {}
        sizes = record["n_train"], record["n_held_out"]
        n, _ = samples_of(self.regime, *sizes, self.samples_per_round)
        recipe = finite(self.recipe)  # as a manifest has it
        same = all(made.recipe.get(name) == value for name, value in recipe.items())
        # How many of each shard were not finite is not kept.
        return same and record.get("n_nonfinite") == 0 and len(made) == n


def rows_digest(selection: Tensor) -> str:
    """Gives 16 hexadecimal digits of the positions (n,) that a round trains on."""
    return hashlib.sha256(selection.numpy().tobytes()).hexdigest()[:16]


def share_first_round(run: Run, folder: Path, wanted: FirstRound) -> Run | None:
    """Links round 0 of a run, which is locked, from another in a folder, unless it was started.

    A run that gets its samples too still has to measure them; one that does not, to make them.
    Gives the run that they are from, or None.
    """
    if run.last.exists():
        return None
    for other in _others(run, folder):
        try:
            made = other.samples(0)
            if not wanted.has_training_of(other, made):
                continue
            _link(run, other, made, with_samples=wanted.has_samples(made))
        except (ValueError, FileNotFoundError):
            continue  # it is damaged, and not for this run to mend
        return other
    return None


def _others(run: Run, folder: Path) -> Iterator[Run]:
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        other = Run(path)
        if is_committed(other.round(0)) and path.resolve() != run.path.resolve():
            yield other


def _link(run: Run, other: Run, made: StoredRows, with_samples: bool) -> None:
    if not is_committed(run.real):
        real = other.real_rows
        link_rows(real, run.real, real.recipe)
    make_folder(run.round(0))
    # What an earlier attempt has linked may be another run's.
    clear_round(run.round(0))
    if with_samples:
        link_described(made, run.round(0))
    # By the name of the run that has trained it, be it linked from one that has not.
    note_shared(run.round(0), str(made.recipe.get("shared_from", other.path.name)))
    link_atomically(other.checkpoint(0), run.checkpoint(0))
    if not is_sealed(run.checkpoint(0)):
        remove([run.checkpoint(0)])
        raise ValueError(f"{other.checkpoint(0)}: is damaged")
    # The last: from now on the run has been started.
    link_atomically(run.checkpoint(0), run.last)


def sharers(run: Run, path: Path) -> list[str]:
    """Names the runs beside this one of which a file is the same file, by a link."""
    if not path.exists() or path.stat().st_nlink == 1:
        return []
    within = path.relative_to(run.path)
    beside = (folder / within for folder in sorted(run.path.absolute().parent.iterdir()))
    return [
        other.parents[len(within.parts) - 1].name
        for other in beside
        if other.exists() and other != path.absolute() and other.samefile(path)
    ]
