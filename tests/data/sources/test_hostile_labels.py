"""Mutants of the labels that a zip of images brings along."""

import io
import zipfile
from pathlib import Path

import numpy as np
from fuzzing import (
    SOME_OR_THOUSANDS,
    Reader,
    dumped,
    either,
    of,
    readers,
)
from PIL import Image

from lightning_collapse.data.sources.images import ImageZip


def labels_in_a_zip(folder: Path) -> Reader:
    names = ["0/a.png", "1/a.png", "2/a.png"]
    labels = {"labels": [[name, i] for i, name in enumerate(names)]}
    path = folder / "set.zip"

    def read():
        rows, classes = ImageZip(path).read(0)
        assert classes is None or (len(classes) == len(rows) and classes.min() >= 0)

    buffer = io.BytesIO()
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(buffer, "png")

    def encode(text: bytes) -> bytes:
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as file:
            for name in names:
                file.writestr(name, buffer.getvalue())
            file.writestr("dataset.json", text)
        return archive.getvalue()

    path.write_bytes(encode(dumped(labels)))
    mutant = either(dumped(labels), labels, dumped)
    return of(path, lambda dice: encode(mutant(dice)), read)


@readers(labels_in_a_zip)
@SOME_OR_THOUSANDS
def test_mutants_are_refused_in_one_line_or_sound(tmp_path, make, mutants):
    tally = make(tmp_path).fuzz(mutants)
    assert tally.outcomes["refused"] > 0
