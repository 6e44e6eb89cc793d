"""Importing a set of images: every one is judged, and what is wrong with any is told at once.

An image differs from its set in its mode or its size, or cannot be decoded at all. One such image
refuses the set, unless the policy says otherwise.
"""

import csv
import hashlib
import io
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from lightning_collapse.data.files import write_atomically
from lightning_collapse.data.foreign.archives import Archive
from lightning_collapse.data.foreign.decoding import convert, decode, describe_mode, resize
from lightning_collapse.data.foreign.hidden import shown
from lightning_collapse.data.foreign.labels import read_labels
from lightning_collapse.data.foreign.listing import list_images
from lightning_collapse.data.store.shards import MAX_SHARD_ROWS

__all__ = [
    "BadImage",
    "BadImagesError",
    "ImageImport",
    "Policy",
    "RefusedSetError",
    "import_notes",
    "write_table",
]

T = TypeVar("T")
_MAX_PART_BYTES = 2**28
_NAMED = 20


@dataclass(frozen=True)
class Policy:
    """What the images of a set must be, and what becomes of those that are not.

    Attributes:
        mode: `RGB`, or `L` for gray, of 8 bits; None: `L` where most images are.
        size: width and height in pixels, before any resize; default: those of most images.
        on_bad_image: `refuse` the whole set; `convert` other modes and sizes, but refuse a set
            with an image that cannot be decoded; or `skip` whatever is bad.
    """

    mode: Literal["RGB", "L"] | None = "RGB"
    size: tuple[int, int] | None = None
    on_bad_image: Literal["refuse", "convert", "skip"] = "refuse"


@dataclass(frozen=True)
class BadImage:
    """One line of the table of what is wrong.

    Attributes:
        name: of the file, relative to the set.
        what: is wrong with it.
        convertible: whether the image is there, but differs from its set in mode or size.
    """

    name: str
    what: str
    convertible: bool = False


class RefusedSetError(ValueError):
    """A set that cannot be used as it is.

    Attributes:
        told: why, without the ways out, which not every command has.
    """

    def __init__(self, told: str, ways_out: str) -> None:
        self.told = told
        super().__init__(f"{told}; {ways_out}")


class BadImagesError(RefusedSetError):
    """A set of `total` was refused; `bad` lists all images that did it, the message the first."""

    ways_out = (
        "repair or remove them, declare another mode or size, or set on_bad_image to convert or "
        "skip"
    )

    def __init__(self, path: Path, bad: Sequence[BadImage], total: int) -> None:
        self.bad, self.total = bad, total
        more = [f"and {len(bad) - _NAMED} more"] if len(bad) > _NAMED else []
        named = "; ".join(
            [*(f"{shown(image.name)} {image.what}" for image in bad[:_NAMED]), *more]
        )
        super().__init__(
            f"{path}: {len(bad)} of {total} images cannot be used: {named}", self.ways_out
        )


def import_notes(recipe: Mapping[str, Any]) -> list[str]:
    """Gives what a user should know of an import, a line each, from a store's recipe, any."""
    done: Any = recipe
    while isinstance(done, Mapping) and "import" in done:
        done = done["import"]
    if not isinstance(done, Mapping):
        return []
    told = done.get("told")
    notes = [str(line) for line in told] if isinstance(told, list) else []
    if ignored := done.get("ignored"):
        notes.append(f"ignored: {ignored}")
    if turned := done.get("turned"):
        notes.append(f"turned as EXIF says: {turned}")
    return notes


def write_table(path: Path, bad: Iterable[BadImage]) -> None:
    """Writes all lines of the table as CSV."""
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(["file", "what is wrong"])
    lines.writerows((image.name, image.what) for image in bad)
    data = text.getvalue().encode(errors="backslashreplace")
    write_atomically(path, lambda file: file.write(data))


class ImageImport:
    """One pass over the images of an archive, in the order of their names.

    Attributes:
        bad: the images found bad so far.
        mode: `RGB` or `L`, which the images must have.
        size: width and height that the images must have.
        side: of the squares that they become.
        classes: the folders that are classes, where folders are.
        told: what a user should know of the labels, a line each.
    """

    def __init__(self, archive: Archive, resolution: int | None, policy: Policy) -> None:
        """Lists the images, and finds the mode and size of most of them.

        Args:
            archive: the set.
            resolution: side of the square to resize to, in pixels; None: as they are.
            policy: what the images must be.

        Raises:
            FileNotFoundError: there is no image.
            ValueError: the labels are not in order, or the images not square.
        """
        self._archive, self._policy = archive, policy
        self._listing = listing = list_images(archive)
        self._images = listing.images
        self._kept = self._turned = 0
        self._digest = hashlib.sha256()
        self.bad = [BadImage(name, what) for name, what in listing.bad.items()]
        self._total = len(self._images) + len(self.bad)
        if not self._total:
            hidden = [f"{listing.hidden} hidden"] if listing.hidden else []
            others = ", ".join([listing.told_ignored()] * bool(listing.ignored) + hidden)
            raise FileNotFoundError(
                f"{archive.path}: holds no image that can be read{others and f', but {others}'}"
            )
        looks = listing.looks.values()
        self.size = policy.size or _most([look.size for look in looks], (1, 1))
        gray = _most([look.mode for look in looks], "RGB") == "L"
        self.mode = policy.mode or ("L" if gray else "RGB")
        self.side = self.size[0] if resolution is None else resolution
        if resolution is None and self.size[0] != self.size[1]:
            raise RefusedSetError(
                f"{archive.path}: the images are {_by(self.size)}, not square", "set a resolution"
            )
        labels = read_labels(archive, self._images)
        self._labels, self.classes, self.told = labels.of, labels.classes, labels.told

    def parts(self) -> Iterator[tuple[Tensor, Tensor | None]]:
        """Gives rows (n, C, side, side) uint8, and their labels (n,), a shard at a time.

        Raises:
            BadImagesError: the policy does not allow an image that is there, known at the end.
            ValueError: no image is left.
        """
        rows: list[NDArray[np.uint8]] = []
        names: list[str] = []
        bar = tqdm(self._images, "reading images", leave=False, disable=None, dynamic_ncols=True)
        for name in bar:
            row = self._row(name)
            if row is None:
                continue
            rows.append(row)
            names.append(name)
            if len(rows) == min(MAX_SHARD_ROWS, max(1, _MAX_PART_BYTES // row.nbytes)):
                yield self._part(rows, names)
                rows, names = [], []
        self._end()
        if rows:
            yield self._part(rows, names)

    def _row(self, name: str) -> NDArray[np.uint8] | None:
        """Reads one image; gives None for one that is not kept."""
        try:
            data = self._archive.read(name)
            self._digest.update(name.encode(errors="surrogateescape") + b"\0%d\0" % len(data))
            self._digest.update(data)
            image = decode(data)
            turned = bool(image.info["turned"])
        except (OSError, ValueError) as error:
            self.bad.append(BadImage(name, str(error)))
            return None
        if differs := self._difference(describe_mode(image), image.size):
            self.bad.append(BadImage(name, differs, convertible=True))
            if self._policy.on_bad_image != "convert":
                return None
            try:
                image = convert(image, self.mode)
            except ValueError as error:
                self.bad[-1] = BadImage(name, str(error))
                return None
        if self.bad and self._policy.on_bad_image == "refuse":
            return None  # the set is lost: only what else is wrong is wanted
        self._kept += 1
        self._turned += turned
        return resize(image, self.side)

    def _difference(self, mode: str, size: tuple[int, int]) -> str:
        wrong = []
        if mode != self.mode:
            wrong.append(f"mode is {mode}, not {self.mode}")
        if size != self.size:
            wrong.append(f"size is {_by(size)}, not {_by(self.size)}")
        return ", ".join(wrong)

    def _part(
        self, rows: Sequence[NDArray[np.uint8]], names: Sequence[str]
    ) -> tuple[Tensor, Tensor | None]:
        labels = self._labels
        tags = None if labels is None else torch.tensor([labels[name] for name in names])
        return torch.from_numpy(np.stack(rows)), tags

    def _end(self) -> None:
        refused = {
            "refuse": self.bad,
            "convert": [image for image in self.bad if not image.convertible],
            "skip": [],
        }[self._policy.on_bad_image]
        if refused:
            raise BadImagesError(self._archive.path, refused, self._total)
        if not self._kept:
            raise ValueError(f"{self._archive.path}: no image is left: all {self._total} are bad")

    def recipe(self) -> dict[str, Any]:
        """Describes what was done, after the last part.

        `sha256` is over the names, lengths and bytes of the image files, in order.
        """
        converted = self._policy.on_bad_image == "convert"
        return {
            **asdict(self._policy),
            "mode": self.mode,
            "size": list(self.size),
            "resolution": self.side,
            "resize": "lanczos",
            "images": self._total,
            "kept": self._kept,
            "converted": len(self.bad) if converted else 0,
            "skipped": 0 if converted else len(self.bad),
            "turned": self._turned,
            "ignored_files": sum(self._listing.ignored.values()) + self._listing.hidden,
            "ignored": self._listing.told_ignored(),
            "classes": self.classes,
            "told": self.told,
            "sha256": self._digest.hexdigest(),
        }


def _most(values: Sequence[T], default: T) -> T:
    """Gives the value that is there most often, the first of several."""
    counted = Counter(values)
    return max(counted, key=lambda value: counted[value], default=default)


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
