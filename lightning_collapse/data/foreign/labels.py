"""Classes of images by NVIDIA's convention: of a file dataset.json, or else of folders.

    {"labels": [["00000/img00000000.png", 6], ...]}, or {"labels": null} for a set without

Its names count from the folder that it lies in, which need not be the top one. Without that file,
an image's class is the number of its top folder among the sorted ones; there are no classes where
all images are in one. NVIDIA has none either where all folders lie in one, train/{cat,dog,wild}:
here they are the classes then.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from os.path import commonprefix
from pathlib import PurePosixPath
from typing import Any

from lightning_collapse.data.foreign.archives import Archive
from lightning_collapse.data.foreign.hidden import is_hidden, shown

__all__ = ["LABELS_FILE", "Labels", "folder_classes", "label_gaps", "read_labels"]

LABELS_FILE = "dataset.json"
# 60 bytes an image leave room for ImageNet's 1.3 million.
_MAX_LABELS_BYTES = 2**27
_MAX_CLASSES = 2**20
_NAMED = 10


@dataclass(frozen=True)
class Labels:
    """What is known of the classes of a set of images.

    Attributes:
        of: the class of every image by its name, or None where not all have one.
        classes: their names, where they have names.
        told: what a user should know of them, a line each.
    """

    of: Mapping[str, int] | None = None
    classes: list[str] = field(default_factory=list)
    told: list[str] = field(default_factory=list)


def read_labels(archive: Archive, images: Sequence[str]) -> Labels:
    """Reads the classes of all images in an archive, given by their names.

    Raises:
        ValueError: a dataset.json of the archive is not what it must be.
    """
    if archive.labels is not None:
        return _complete(archive.labels, images, list(archive.classes), "the label column")
    files = _label_files(archive)
    if not files:
        classes = folder_classes(images)
        numbers = {folder: i for i, folder in enumerate(classes)}
        folders = zip(images, _folders(images), strict=True)
        of = {name: numbers[folder] for name, folder in folders} if numbers else None
        return Labels(of, classes)
    labels: dict[str, int] = {}
    # What cannot be used may have a label too.
    there = {*images, *archive.names, *archive.faults}
    for file in files:
        try:
            labels |= _placed(_parse(archive.read(file, _MAX_LABELS_BYTES)), file, there)
        except ValueError as error:
            raise ValueError(f"{archive.path}: {file} {error}") from error
    return _complete(labels, images, [], ", ".join(files[:_NAMED]))


def folder_classes(images: Sequence[str]) -> list[str]:
    """Gives the names of the classes that folders make; none where there is one folder."""
    folders = sorted(set(_folders(images)))
    return folders if len(folders) > 1 else []


def label_gaps(labels: Sequence[int]) -> str:
    """Says which classes below the last have no image: `1, 3 and 5 more`; empty for none."""
    there = set(labels)
    gaps = [i for i in range(max(there, default=0)) if i not in there]
    more = f" and {len(gaps) - _NAMED} more" if len(gaps) > _NAMED else ""
    return ", ".join(map(str, gaps[:_NAMED])) + more


def _label_files(archive: Archive) -> list[str]:
    """Gives the dataset.json at the top, or else all those further down."""
    files = [name for name in archive.names if PurePosixPath(name).name == LABELS_FILE]
    shown = [name for name in files if not is_hidden(name)]
    return [LABELS_FILE] if LABELS_FILE in shown else shown


def _placed(labels: dict[str, int], file: str, there: set[str]) -> dict[str, int]:
    """Gives labels by the names that their images have in the archive."""
    folder = file.removesuffix(LABELS_FILE)
    if any(name in there for name in labels) and not any(
        folder + name in there for name in labels
    ):
        folder = ""  # names that count from the top
    placed = {folder + name: label for name, label in labels.items()}
    if unknown := sorted(placed.keys() - there):
        raise ValueError(f"labels {unknown[0]!r:.80}, which is no image there")
    return placed


def _complete(
    labels: Mapping[str, int], images: Sequence[str], classes: list[str], whence: str
) -> Labels:
    """Drops labels that not all images have, and tells of that, and of gaps."""
    without = [name for name in images if name not in labels]
    if without:
        found = len(images) - len(without)
        first = shown(without[0])
        line = f"{whence} labels {found} of {len(images)} images, {first} is the first without"
        return Labels(told=[f"no classes: {line}"] if found else [])
    gaps = label_gaps(list(labels.values()))
    told = [f"classes without an image: {gaps}"] if gaps else []
    return Labels(labels or None, classes if labels else [], told)


def _folders(images: Sequence[str]) -> list[str]:
    """Gives every image's folder, the first below what all share; "" for an image outside."""
    paths = [name.split("/")[:-1] for name in images]
    shared = len(commonprefix(paths))
    return ["".join(path[shared : shared + 1]) for path in paths]


def _parse(text: bytes) -> dict[str, int]:
    """Reads the labels out of a dataset.json; an image without one is left out."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"is no JSON ({error})") from error
    if not isinstance(document, Mapping):
        raise ValueError("must be an object with a key labels")
    entries = document.get("labels")
    if entries is None:
        return {}
    if not isinstance(entries, list):
        raise ValueError("must have labels that are a list, or null")
    labels: dict[str, int] = {}
    for entry in entries:
        name, label = _entry(entry)
        # As Windows writes them, and as `find` does.
        name = name.replace("\\", "/").removeprefix("./")
        if name in labels:
            raise ValueError(f"labels {name!r:.80} twice")
        labels[name] = label
    return labels


def _entry(entry: Any) -> tuple[str, int]:
    match entry:
        # A bool is an int to Python.
        case [str(name), int(label)] if not isinstance(label, bool):
            if 0 <= label < _MAX_CLASSES:
                return name, label
    raise ValueError(
        f"has the label {str(entry)[:80]}; each must be [name, class], the class a whole number "
        f"from 0 and below {_MAX_CLASSES}"
    )
