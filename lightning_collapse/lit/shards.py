"""A round's shards written by all processes, again with smaller micro-batches if memory runs out.

All samples of a round have one recipe: what was made with a larger micro-batch is removed before
the smaller one is noted, so that what is noted holds for all shards there are.
"""

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
from pytorch_lightning import Trainer
from tqdm import tqdm

from lightning_collapse.lit.processes import gather
from lightning_collapse.lit.signals import told_to_stop
from lightning_collapse.lit.telling import RunError, warn
from lightning_collapse.samples.memory import ran_out
from lightning_collapse.samples.rounds import RoundSampler
from lightning_collapse.samples.shards import clear_round, note_micro_batch

__all__ = ["halved", "shares", "sample_shards"]


def sample_shards(trainer: Trainer, sampler: RoundSampler, folder: Path) -> bool:
    """Writes a round's shards that are not there; gives whether memory ran out in any process."""
    what = f"round {sampler.round} sampling"
    hidden = not (trainer.is_global_zero and sys.stderr.isatty())
    with tqdm(total=sampler.n, desc=what, leave=False, disable=hidden, dynamic_ncols=True) as bar:
        for mine in shares(trainer, sampler):
            out = False
            try:
                for shard in mine:
                    for made in sampler.write_shard(folder, shard):
                        bar.update(made * trainer.world_size)
            except (RuntimeError, MemoryError) as error:
                if not (out := ran_out(error)):
                    raise
            if any(gather(trainer, out)):
                return True
    return False


def halved(trainer: Trainer, sampler: RoundSampler, folder: Path) -> RoundSampler:
    """Gives the sampler with half the micro-batch, after memory ran out; its shards are removed.

    Raises RunError where a micro-batch is a single sample already.
    """
    torch.cuda.empty_cache()  # its pieces may have been too small
    half = sampler.micro_batch // 2
    fault = f"round {sampler.round}: out of memory with loop.micro_batch = {sampler.micro_batch}"
    if half == 0:
        raise RunError(
            f"{fault}: a single sample does not fit; what is on disk is whole, and the same "
            "command goes on where there is more memory"
        )
    if trainer.is_global_zero:
        clear_round(folder)
        note_micro_batch(folder, half)
        warn(trainer, f"{fault}; the round's samples are made again, {half} at a time")
    trainer.strategy.barrier("samples cleared")
    return replace(sampler, micro_batch=half)


def shares(trainer: Trainer, sampler: RoundSampler) -> Iterator[range]:
    """Deals shards out to the processes, one or none at a time, until the run is told to stop."""
    for first in range(0, sampler.n_shards, trainer.world_size):
        if told_to_stop(trainer):
            return
        mine = first + trainer.global_rank
        yield range(mine, min(mine + 1, sampler.n_shards))
