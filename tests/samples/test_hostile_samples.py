"""Mutants of the files that `generate` finds where it goes on."""

from pathlib import Path

import numpy as np
from fuzzing import (
    SOME_OR_THOUSANDS,
    Reader,
    broken,
    dumped,
    either,
    of,
    readers,
)
from PIL import Image

from lightning_collapse.samples.files import read_first, start_folder


def recipe_of_samples(folder: Path) -> Reader:
    recipe = {"checkpoint": "a.ckpt", "sampling": {"num_steps": 18, "rho": 7.0}, "precision": "32"}
    start_folder(folder / "out", recipe)
    read = lambda: start_folder(folder / "out", recipe)  # noqa: E731
    return of(
        folder / "out" / "recipe.json", either(dumped(recipe), recipe, dumped), read, named="out"
    )


def samples_as_png(folder: Path) -> Reader:
    path = folder / "png" / "000000" / "000000.png"
    path.parent.mkdir(parents=True)
    Image.init()  # or the first damaged file imports all of Pillow's formats
    Image.fromarray(np.arange(192, dtype=np.uint8).reshape(8, 8, 3)).save(path)
    data = path.read_bytes()
    read = lambda: read_first(folder / "png", [0], 1)  # noqa: E731
    return of(path, lambda dice: broken(data, dice), read)


@readers(recipe_of_samples, samples_as_png)
@SOME_OR_THOUSANDS
def test_mutants_are_refused_in_one_line_or_sound(tmp_path, make, mutants):
    tally = make(tmp_path).fuzz(mutants)
    assert tally.outcomes["refused"] > 0
