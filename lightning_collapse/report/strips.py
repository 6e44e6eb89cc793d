"""Samples of the same numbers in every condition, beside real rows, cut from the rows themselves."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from lightning_collapse.analysis.conditions import Replica
from lightning_collapse.report.comparison import Comparison, Judged
from lightning_collapse.rows import Rows
from lightning_collapse.runs.layout import Run
from lightning_collapse.runs.split import recorded_split
from lightning_collapse.samples.sheet import contact_sheet

__all__ = ["Strip", "Strips", "encode_picture", "read_strips"]

_CONDITIONS, _ROUNDS, _IMAGES, _POINTS = 8, 4, 20, 1000
_SMALL = 16
"""Pixels of a side up to which an image is kept as it is; larger ones lose what none sees."""
_LARGEST = 40


@dataclass(frozen=True)
class Strip:
    """Some rows of one set.

    Attributes:
        of: the condition; None for real rows.
        round: whose samples they are.
        picture: RGB (h, w, 3).
        note: such as that the round has collapsed.
    """

    of: Judged | None
    round: int
    picture: NDArray[np.uint8]
    note: str


@dataclass(frozen=True)
class Strips:
    """The strips of a comparison.

    Attributes:
        strips: real rows first, then condition by condition; empty where there are no rows.
        points: whether rows are points.
        small: whether images are few pixels, to be enlarged.
        replica: seed and split of the runs.
        why: what is missing; "" where nothing is.
    """

    strips: list[Strip]
    points: bool
    small: bool
    replica: Replica
    why: str


def read_strips(one: Comparison, rounds: int = _ROUNDS, images: int = _IMAGES) -> Strips:
    """Reads the first rows of every set, of one seed; of real rows, training ones.

    Sample i of two runs of a seed is made of the same noise. Rows with classes are in their order.

    Args:
        one: the comparison.
        rounds: that are shown of each condition, evenly spaced, the last among them.
        images: in a strip.
    """
    shown = (
        one.all
        if len(one.all) <= _CONDITIONS
        else [*one.judged[: _CONDITIONS - len(one.controls[:1])], *one.controls[:1]]
    )
    replica = _shared(shown)
    strips, why = [], []
    if len(shown) < len(one.all):
        why.append(f"{len(one.all) - len(shown)} conditions are left out")
    for judged in shown:
        run = judged.condition.runs.get(replica)
        if run is None:
            why.append(f"{judged.label} has no run of seed {replica.seed}")
            continue
        try:
            strips += _of_run(judged, run, judged.condition.records[replica], rounds, images)
        except (OSError, ValueError):
            why.append(f"{judged.label}: no sample rows here")
    real = _real(one, shown, replica, images) if strips else None
    points = real is not None and real[1]
    small = real is not None and real[2]
    before = [] if real is None else [Strip(None, 0, real[0], "")]
    return Strips([*before, *strips], points, small, replica, "; ".join(why))


def _shared(shown: Sequence[Judged]) -> Replica:
    """The first seed that the most conditions have."""
    replicas = [replica for judged in shown for replica in judged.condition.runs]
    return min(set(replicas), key=lambda replica: (-replicas.count(replica), replica))


def _of_run(
    judged: Judged, run: Run, records: Sequence[object], rounds: int, images: int
) -> list[Strip]:
    last = len(records) - 1
    numbers = np.unique(np.linspace(0, last, min(rounds, last + 1)).round().astype(int))
    strips = []
    for r in map(int, numbers):
        rows = run.samples(r)
        collapsed = records[r].get("collapsed") if isinstance(records[r], dict) else None
        note = f"collapsed: {collapsed}" if collapsed else ""
        strips.append(Strip(judged, r, _picture(rows, rows.labels, images), note))
    return strips


def _real(
    one: Comparison, shown: Sequence[Judged], replica: Replica, images: int
) -> tuple[NDArray[np.uint8], bool, bool] | None:
    for judged in shown:
        run = judged.condition.runs.get(replica)
        try:
            if run is None:
                continue
            train = recorded_split(run, judged.condition.records[replica][0])[1]
            picture = _picture(train, train.labels, images)
            shape = run.real_rows.shape
            return picture, len(shape) == 1, shape[-1] <= _SMALL
        except (OSError, ValueError):
            continue
    return None


def _picture(rows: Rows, labels: Tensor | None, images: int) -> NDArray[np.uint8]:
    first = rows[torch.arange(min(len(rows), _POINTS))]
    if first.ndim == 2:
        picture: NDArray[np.uint8] = contact_sheet(first).numpy()
        return picture
    if labels is not None:
        first = rows[_by_class(labels, images)]
    some = first[:images]
    some = some[:, :3].expand(-1, 3, -1, -1) if some.shape[1] < 3 else some[:, :3]
    side = some.shape[-1]
    if side > _LARGEST:
        # Whole pixels are averaged, so that nothing is made up.
        by = -(-side // _LARGEST)
        some = torch.nn.functional.avg_pool2d(some.float(), by).round().to(torch.uint8)
    gap = torch.full((*some.shape[:3], 1), 255, dtype=torch.uint8)
    strip: NDArray[np.uint8] = (
        torch.cat([torch.cat([some, gap], 3)[i] for i in range(len(some))], 2)[:, :, :-1]
        .permute(1, 2, 0)
        .contiguous()
        .numpy()
    )
    return strip


def _by_class(labels: Tensor, images: int) -> Tensor:
    """Numbers of the first rows of every class, class by class, as many of each."""
    classes = labels.unique().tolist()[:images]
    each = images // len(classes)
    return torch.cat([(labels == one).nonzero()[:each, 0] for one in classes])


def encode_picture(picture: NDArray[np.uint8], small: bool) -> tuple[str, bytes]:
    """Gives a picture as a small file, and its kind: PNG of few pixels or few colours, or JPEG."""
    buffer = io.BytesIO()
    image = Image.fromarray(picture)
    if small:
        grey = (picture == picture[:, :, :1]).all()
        (
            image.convert("L") if grey else image.quantize(16) if picture.shape[0] > 100 else image
        ).save(buffer, format="PNG", optimize=True)
        return "png", buffer.getvalue()
    image.save(buffer, format="JPEG", quality=85)
    return "jpeg", buffer.getvalue()
