"""Classes of images by NVIDIA's convention: of a file dataset.json, or else of folders.

    {"labels": [["00000/img00000000.png", 6], ...]}, or {"labels": null} for a set without

Without that file, an image's class is the number of its top folder among the sorted ones; there
are no classes where all images are in one. NVIDIA has none either where all folders lie in one,
train/{cat,dog,wild}: here they are the classes then.
"""

import json
from collections.abc import Mapping, Sequence
from os.path import commonprefix
from typing import Any

from lightning_collapse.data.foreign.archives import Archive

__all__ = ["LABELS_FILE", "folder_classes", "read_labels"]

LABELS_FILE = "dataset.json"
# 60 bytes an image leave room for ImageNet's 1.3 million.
_MAX_LABELS_BYTES = 2**27
_MAX_CLASSES = 2**20


def read_labels(archive: Archive, images: Sequence[str]) -> dict[str, int] | None:
    """Gives the class of every image by its name, or None where not all have one.

    Args:
        archive: of the images.
        images: names of all images in it.

    Raises:
        ValueError: the archive's dataset.json is not what it must be.
    """
    if LABELS_FILE not in archive.names:
        numbers = {folder: i for i, folder in enumerate(folder_classes(images))}
        folders = zip(images, _folders(images), strict=True)
        return {name: numbers[folder] for name, folder in folders} if numbers else None
    try:
        labels = _parse(archive.read(LABELS_FILE, _MAX_LABELS_BYTES))
        unknown = sorted(labels.keys() - set(images))
        if unknown:
            raise ValueError(f"labels {unknown[0]!r:.80}, which is no image there")
    except ValueError as error:
        raise ValueError(f"{archive.path}: {LABELS_FILE} {error}") from error
    return labels if images and len(labels) == len(images) else None


def folder_classes(images: Sequence[str]) -> list[str]:
    """Gives the names of the classes that folders make; none where there is one folder."""
    folders = sorted(set(_folders(images)))
    return folders if len(folders) > 1 else []


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
