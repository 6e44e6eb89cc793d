"""What a record says of inpainting: the error of what was sampled, and of noise in its place."""

from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Trainer

from lightning_collapse.lit.data import data_of
from lightning_collapse.lit.processes import gather, in_order
from lightning_collapse.lit.shards import shares
from lightning_collapse.metrics.measuring import Measuring, Seen
from lightning_collapse.rows import network_units
from lightning_collapse.samples.rounds import RoundSampler
from lightning_collapse.samples.shards import read_described

__all__ = ["inpainted_figures", "merged"]

_MEAN_ROWS = 4_096


def inpainted_figures(
    trainer: Trainer, measuring: Measuring, sampler: RoundSampler, folder: Path
) -> dict[str, Any]:
    """Gives a record's fields of inpainting; all processes must ask.

    `masked_mse` is the mean squared error of the sampled numbers to those of the rows that were
    completed, in network units. Two independent draws from the same law, as samples and the truth
    are at best, differ by twice its variance: the best network does not bring it to 0. Figures
    that end in `_masked_noise` are of the same rows with normal noise in that place, of the mean
    and the standard deviation that each number has in the training rows.

    Where no rows are given there are no fields.
    """
    if (given := sampler.given) is None:
        return {}
    train = data_of(trainer).train
    rows = network_units(train[torch.arange(min(len(train), _MEAN_ROWS))], torch.float64)
    mean, std = rows.mean(0).float(), rows.std(0).float()
    seen, errors = measuring.seen(), dict[int, tuple[float, float]]()
    for mine in shares(trainer, sampler):
        for shard in mine:
            samples = range(*sampler.rows_of(shard))
            noisy = given.with_noise(samples, mean, std)
            seen.update(samples.start, noisy)
            sampled = given.squared_error(samples, read_described(folder, shard)[0])
            errors[shard] = sampled, given.squared_error(samples, noisy)
    if trainer.should_stop:
        return {}
    first = merged(trainer, seen)
    sums = torch.tensor(in_order(trainer, errors), dtype=torch.float64).sum(0)
    masked = int(given.inpainting.mask(sampler.shape).sum())
    sampled, noise = (sums / (sampler.n * masked)).tolist()
    told = {
        "inpaint_share": given.inpainting.share,
        "inpaint_resamples": given.inpainting.resamples,
        "n_given": len(given.rows),
        "masked_mse": sampled,
        "masked_mse_masked_noise": noise,
    }
    for measured in measuring.figures(first, None, labels=sampler.labels()):
        told |= {
            f"{name}_masked_noise": value
            for name, value in measured.figures.items()
            if name == "variance" or (name.count("_") <= 1 and name.startswith(("fd_", "fid")))
        }
    return told


def merged(trainer: Trainer, seen: Seen) -> Seen:
    """Puts together what all processes saw."""
    first, *others = gather(trainer, seen)
    for other in others:
        first.merge(other)
    return first
