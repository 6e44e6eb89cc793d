"""A run at a glance: `collapse.png`, the courses of its figures and samples of every round."""

from collections.abc import Sequence
from math import prod
from pathlib import Path

from lightning_collapse.data.files import write_atomically
from lightning_collapse.data.store.shards import StoredRows
from lightning_collapse.report.comparison import compare
from lightning_collapse.report.drawn import encoded
from lightning_collapse.report.picture import draw_picture
from lightning_collapse.report.strips import read_strips
from lightning_collapse.runs.layout import Run
from lightning_collapse.sampling.bias import MixtureBias, compounded_std, data_bias, principal_std
from lightning_collapse.sampling.choice import Sampling

__all__ = ["plot_run", "run_sampler", "sampler_alone"]

_STRIPS = 12
_MOST_NUMBERS = 4_096
"""In a row, of whose covariance the axes are found within seconds."""


def plot_run(run: Run) -> Path:
    """Draws a run's finished rounds and returns the picture's path, `collapse.png` in its folder.

    Raises:
        FileNotFoundError: the run has no finished round.
        ValueError: its records cannot be read.
    """
    (one,) = compare([run])
    record = one.first.first[0]
    title = f"{run.path.resolve().name}: {one.first.name}, {record.get('restart')} restart"
    if (alone := run_sampler([run], 1)) is not None:
        course, mixture = alone
        title += f"\nthe sampler alone: {course[0]:+.2%} of total variance a round on a Gaussian"
        if mixture is not None:
            title += f", {mixture} on a mixture of the data's {mixture.groups}"
    drawn = draw_picture(one, read_strips(one, _STRIPS, 96), title)
    data = encoded(drawn.figure, "png")
    write_atomically(run.picture, lambda file: file.write(data))
    return run.picture


def run_sampler(runs: Sequence[Run], rounds: int) -> tuple[list[float], MixtureBias | None] | None:
    """Tells the sampler of the first of these runs whose rows are here; None if none are.

    That is `sampler_alone`, and `data_bias` of one round. None, too, for rows of so many numbers
    that it would take minutes.
    """
    for run in runs:
        try:
            real, samples = run.real_rows, run.samples(0)
            if prod(real.shape) > _MOST_NUMBERS:
                return None
            if (course := sampler_alone(real, samples, rounds)) is None:
                return None
            return course, data_bias(Sampling.recorded(samples.recipe["sampling"]), real)
        except (OSError, ValueError, LookupError):
            continue
    return None


def sampler_alone(real: StoredRows, samples: StoredRows, rounds: int = 1) -> list[float] | None:
    """Gives what a sampler does by itself to the real rows' total variance, as a share.

    That is with the exact denoiser of a Gaussian of their covariance, and after each of so many
    rounds in which its samples become the data; None where a guide has made
    another denoiser of the network's, samples complete given rows, or the rows do not vary.
    """
    recipe = samples.recipe
    if recipe.get("guide") or recipe.get("inpaint") or not len(std := principal_std(real)):
        return None
    course = compounded_std(Sampling.recorded(recipe["sampling"]), std, rounds)
    kept = course.square().sum(1) / std.square().sum()
    return [float(share) - 1 for share in kept[1:]]
