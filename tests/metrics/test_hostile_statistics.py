"""Mutants of the statistics that `evaluate` reads."""

import io
import math
import random
from pathlib import Path

import numpy as np
import torch
from fuzzing import SOME_OR_THOUSANDS, Reader, broken, of, readers

from lightning_collapse.metrics.frechet import FrechetReference
from lightning_collapse.metrics.statistics import Statistics, read_statistics, write_statistics


def statistics(folder: Path) -> Reader:
    path = folder / "statistics.npz"
    write_statistics(path, Statistics.of(torch.randn(20, 4, dtype=torch.float64)))
    data = path.read_bytes()

    def mutant(dice: random.Random) -> bytes:
        if dice.random() < 0.5:
            return broken(data, dice)
        with np.load(io.BytesIO(data)) as file:
            arrays = dict(file)
        name = dice.choice(sorted(arrays))
        value, flat = arrays[name], np.array(arrays[name], np.float64)
        flat.flat[dice.randrange(flat.size)] = dice.choice([np.nan, np.inf, -9, 1e200, 0])
        wrong = [flat, value.astype(object), value[None], -value, value.astype(complex), value * 0]
        arrays[name] = dice.choice(wrong)
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)
        return buffer.getvalue()

    def read():
        found = read_statistics(path, 4)
        assert found.sigma.isfinite().all() and torch.equal(found.sigma, found.sigma.mT)
        try:
            reference = FrechetReference(found.mu, found.sigma)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error  # as `evaluate` does
        distance = reference.distance(torch.zeros(4), torch.eye(4))
        assert math.isfinite(distance) and distance >= 0
        eigenvalues = torch.linalg.eigvalsh(found.sigma)
        assert eigenvalues.min() >= -1e-5 * eigenvalues.abs().max()

    return of(path, mutant, read)


@readers(statistics)
@SOME_OR_THOUSANDS
def test_mutants_are_refused_in_one_line_or_sound(tmp_path, make, mutants):
    tally = make(tmp_path).fuzz(mutants)
    assert tally.outcomes["refused"] > 0
