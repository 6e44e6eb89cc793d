"""Samples of the same seed in every condition, beside real rows, cut from the rows themselves."""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from lightning_collapse.analysis.conditions import Replica
from lightning_collapse.report.comparison import Comparison, Judged
from lightning_collapse.rows import Rows
from lightning_collapse.runs.split import recorded_split
from lightning_collapse.samples.sheet import contact_sheet

__all__ = ["Strip", "Strips", "encode_picture", "read_strips"]

_CONDITIONS, _IMAGES, _POINTS = 8, 20, 1000
_SMALL = 16
"""Pixels of a side up to which an image is kept as it is; larger ones lose what none sees."""


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
    note: str = ""


@dataclass
class Strips:
    """The strips of a comparison.

    Attributes:
        replica: seed and split of the runs.
        strips: real rows first, then condition by condition; empty where there are no rows.
        shape: of one row.
        why: what is missing.
    """

    replica: Replica
    strips: list[Strip] = field(default_factory=list)
    shape: tuple[int, ...] = ()
    why: list[str] = field(default_factory=list)

    @property
    def points(self) -> bool:
        """Whether rows are points."""
        return len(self.shape) == 1

    @property
    def small(self) -> bool:
        """Whether rows are of so few numbers that pictures are kept as they are."""
        return self.points or self.shape[-1:] <= (_SMALL,)


def read_strips(one: Comparison, rounds: int, side: int = 40) -> Strips:
    """Reads the first rows of every set, of one seed; of real rows, training ones.

    Sample i of two runs of a seed is made of the same noise. Rows with classes are in their order.

    Args:
        one: the comparison.
        rounds: that are shown of each condition, evenly spaced, the last among them.
        side: pixels of an image; a larger one is shrunk by a whole number.
    """
    first_control = one.controls[:1]
    shown = [*one.judged[: _CONDITIONS - len(first_control)], *first_control]
    read = Strips(_shared(shown))
    if len(shown) < len(one.all):
        read.why.append(f"{len(one.all) - len(shown)} conditions are left out")
    for judged in shown:
        if read.replica not in judged.condition.runs:
            read.why.append(f"{judged.label} has no run of seed {read.replica.seed}")
            continue
        try:
            _add(read, judged, rounds, side)
        except (OSError, ValueError):
            read.why.append(f"{judged.label}: no sample rows here")
    return read


def _shared(shown: Sequence[Judged]) -> Replica:
    """The first seed that the most conditions have."""
    replicas = [replica for judged in shown for replica in judged.condition.runs]
    return min(set(replicas), key=lambda replica: (-replicas.count(replica), replica))


def _add(read: Strips, judged: Judged, rounds: int, side: int) -> None:
    run = judged.condition.runs[read.replica]
    records = judged.condition.records[read.replica]
    if not read.strips:
        _, train, _ = recorded_split(run, records[0])
        read.strips.append(Strip(None, 0, _picture(train, train.labels, side)))
        read.shape = tuple(run.real_rows.shape)
    last = len(records) - 1
    for r in np.unique(np.linspace(0, last, min(rounds, last + 1)).round().astype(int)).tolist():
        rows, collapsed = run.samples(r), records[r].get("collapsed")
        note = f"collapsed: {collapsed}" if collapsed else ""
        read.strips.append(Strip(judged, r, _picture(rows, rows.labels, side), note))


def _picture(rows: Rows, labels: Tensor | None, side: int) -> NDArray[np.uint8]:
    some = rows[torch.arange(min(len(rows), _POINTS))]
    if some.ndim == 2:
        return np.asarray(contact_sheet(some))
    some = some[:_IMAGES] if labels is None else rows[torch.tensor(list(_by_class(labels)))]
    some = some[:, :3].expand(-1, 3, -1, -1) if some.shape[1] < 3 else some[:, :3]
    if some.shape[-1] > side:
        # Whole pixels are averaged, so that nothing is made up.
        by = -(-some.shape[-1] // side)
        some = torch.nn.functional.avg_pool2d(some.float(), by).round().to(torch.uint8)
    framed = torch.nn.functional.pad(some, (0, 1), value=255)
    return np.ascontiguousarray(torch.cat(list(framed), 2)[:, :, :-1].permute(1, 2, 0))


def _by_class(labels: Tensor) -> Iterator[int]:
    """Numbers of the first rows of every class, class by class, as many of each."""
    classes = sorted(set(labels.tolist()))[:_IMAGES]
    for one in classes:
        yield from (labels == one).nonzero()[: _IMAGES // len(classes), 0].tolist()


def encode_picture(picture: NDArray[np.uint8], exact: bool) -> tuple[str, bytes]:
    """Gives a picture as a file, and its kind: an exact PNG, or a JPEG."""
    buffer, image = io.BytesIO(), Image.fromarray(picture)
    if exact:
        grey = (picture == picture[:, :, :1]).all()
        (image.convert("L") if grey else image).save(buffer, format="PNG", optimize=True)
        return "png", buffer.getvalue()
    image.save(buffer, format="JPEG", quality=85)
    return "jpeg", buffer.getvalue()
