"""Random numbers of replicas: unit normal, and each a function of its key and place alone."""

import numpy as np
import pytest
from scipy.stats import chisquare, norm

from lightning_collapse.chance import _WIDTHS, normal_at, replica_keys

KEYS = replica_keys(0, "test", range(40))[:, None]


def test_numbers_are_unit_normal_in_the_middle_and_in_the_tail():
    numbers = normal_at(KEYS, np.arange(100_000)[None]).ravel()
    # Beyond the first layer, within the last, and at the edges of those between.
    edges = np.concatenate([[-np.inf], np.linspace(-4.6, 4.6, 1500), [np.inf]])
    counts = np.histogram(numbers, edges)[0]
    assert chisquare(counts, len(numbers) * np.diff(norm.cdf(edges))).pvalue > 1e-3
    beyond = norm.sf(_WIDTHS[1]) * 2 * len(numbers)
    assert abs((np.abs(numbers) > _WIDTHS[1]).sum() - beyond) < 3.5 * beyond**0.5
    for power, variance in ((1, 1), (2, 2), (3, 15), (4, 96)):
        expected = 0 if power % 2 else power - 1
        z = (np.mean(numbers**power) - expected) * (len(numbers) / variance) ** 0.5
        assert abs(z) < 3.5


def test_a_number_depends_on_its_key_and_place_alone():
    together = normal_at(KEYS, np.arange(2000)[None])
    for i, j in ((0, 0), (3, 1999), (39, 17)):
        assert normal_at(KEYS[i], np.array([j])).tobytes() == together[i, j].tobytes()
    backwards = normal_at(KEYS[::-1], np.arange(2000)[None, ::-1])
    assert backwards[::-1, ::-1].tobytes() == together.tobytes()


def test_neither_places_nor_keys_are_correlated():
    numbers = normal_at(KEYS, np.arange(20_000)[None])
    for one, other in (
        (numbers[:, 1:], numbers[:, :-1]),
        (numbers[1:], numbers[:-1]),
        (np.square(numbers[:, 1:]) - 1, np.square(numbers[:, :-1]) - 1),
    ):
        z = np.mean(one * other) / np.std(one * other) * one.size**0.5
        assert z == pytest.approx(0, abs=3.5)
