"""What a measure has told: plain numbers, under names that no field of a record has."""

import math
import os
import traceback
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lightning_collapse.metrics.measure import Figure, Measure, RealRows, Sample

__all__ = ["RECORD_FIELDS", "MeasureError", "figures_of"]

RECORD_FIELDS = frozenset(
    (
        *("round", "regime", "regime_options", "synthetic_fraction", "synthetic_ratio"),
        *("n_real", "n_synthetic", "n_train", "n_held_out", "n_samples", "n_trainable"),
        *("images_seen", "seed", "restart", "real_data_in_init", "processes", "device", "host"),
        *("config_sha256", "versions", "train_loss", "val_loss", "measured_rows", "cautions"),
        *("val_loss_by_noise", "val_loss_noise_edges", "split_seed", "swap"),
        *("weights_moved", "steps_skipped", "seconds_train", "seconds_sample"),
        *("seconds_measure", "shared_from", "guide", "guide_options"),
        *("calls_per_sample", "n_nonfinite", "collapsed"),
        *("curator", "curator_options", "n_offered", "mean_weight", "seconds_curate"),
        *("mean", "variance", "total_variance", "mass_center", "mass_tails"),
        *("real_mean", "real_variance", "real_total_variance"),
        *("real_mass_center", "real_mass_tails"),
    )
)
"""What every record has but a distance; no figure of a user's own may have such a name."""


class MeasureError(ValueError):
    """A measure of a user's own has failed, or told what no record can keep."""


def figures_of(measure: Measure, samples: Sample, real: RealRows) -> dict[str, Figure]:
    """Figures by name; numbers of numpy and of torch as plain ones.

    Raises:
        MeasureError: the measure, a user's own, fails; or its figures are none.
    """
    told: Any
    try:
        told = measure.figures(samples, real)
    except (MemoryError, OSError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # of a class that anyone may have written
        if not _own(measure):
            raise
        frame = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{os.path.basename(frame.filename)}, line {frame.lineno}"
        raise _wrong(measure, f"{error!r:.200} in {where}") from error
    if not isinstance(told, Mapping):
        raise _wrong(measure, f"tells {told!r:.80}; must tell a dict of figures by name")
    return {name: _figure(measure, name, value) for name, value in told.items()}


def _figure(measure: Measure, name: object, value: Any) -> Figure:
    if not isinstance(name, str) or not name.isprintable() or not name:
        raise _wrong(measure, f"a figure is called {name!r:.80}; name it in printable letters")
    if name in RECORD_FIELDS and _own(measure):
        raise _wrong(measure, f"{name} is a field of every record; call the figure otherwise")
    plain = value.tolist() if isinstance(value, (Tensor, np.ndarray, np.generic)) else value
    if isinstance(plain, (list, tuple)):
        # Of scalars, each a tensor perhaps.
        plain = [_number(part) for part in plain]
        wrong = any(type(part) not in (float, int) for part in plain)
    else:
        wrong = type(plain) not in (float, int, bool, str, type(None))
    if wrong:
        raise _wrong(
            measure, f"{name} = {value!r:.80}; must be a number, a list of numbers or None"
        )
    figure: Figure = plain
    return figure


def _own(measure: Measure) -> bool:
    """Whether a measure is of a user's own."""
    return not type(measure).__module__.startswith("lightning_collapse.")


def _number(part: Any) -> Any:
    """A part of a list, as JSON has it."""
    if isinstance(part, (Tensor, np.ndarray, np.generic)):
        part = part.tolist()
    return math.nan if part is None else part


def _wrong(measure: Measure, what: str) -> MeasureError:
    return MeasureError(f"measures: {type(measure).__name__}: {what}")
