"""Real rows are read once: slow features are kept between starts, by every process its part."""

from copy import deepcopy
from dataclasses import dataclass
from threading import Barrier, Thread
from typing import ClassVar

import pytest
import torch

from lightning_collapse.metrics.comparison import Comparison
from lightning_collapse.metrics.fd import Frechet
from lightning_collapse.metrics.features import Features, Points
from lightning_collapse.metrics.real import RealData


@dataclass(frozen=True)
class Slow(Features):
    """Features that count the rows they are made of."""

    name: ClassVar[str] = "slow"
    distance: ClassVar[str] = "fd_slow"
    slow: ClassVar[bool] = True
    made: ClassVar[list[int]] = []

    def __call__(self, rows):
        Slow.made.append(len(rows))
        return rows.flatten(1)[:, :5].double() / 255


class Processes:
    """A team of threads."""

    def __init__(self, size: int) -> None:
        self.size, self.rank, self._given, self._barrier = size, 0, {}, Barrier(size)

    def of(self, rank):
        member = object.__new__(Processes)
        member.__dict__ |= self.__dict__ | {"rank": rank}
        return member

    def gather(self, value):
        self._given[self.rank] = value
        self._barrier.wait(60)
        values = [deepcopy(self._given[rank]) for rank in range(self.size)]
        self._barrier.wait(60)
        return values


def started(size: int):
    """What every process of a run of so many knows of the real rows."""
    generator = torch.Generator().manual_seed(0)
    rows = torch.randint(256, (90, 1, 4, 4), dtype=torch.uint8, generator=generator)
    team, found = Processes(size), {}

    def start(rank):
        real = RealData(rows[:60], rows[60:], 30, team=team.of(rank))
        found[rank] = real.compared(Slow(), 30)

    threads = [Thread(target=start, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [found[rank] for rank in range(size)]


@pytest.mark.parametrize("size", [1, 2, 3])
def test_slow_features_of_real_rows_are_made_once_for_all_starts(tmp_path, monkeypatch, size):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(Slow, "made", [])
    first = started(size)
    assert sum(Slow.made) == 90
    second = started(size)
    assert sum(Slow.made) == 90
    for one in (*first, *second):
        assert torch.equal(one.all_held_out, first[0].all_held_out)
        assert torch.allclose(one.statistics.mu, first[0].statistics.mu)
        assert torch.allclose(one.statistics.sigma, first[0].statistics.sigma)


@pytest.mark.parametrize("n", [2, 10, 100])
def test_the_floor_told_of_gaussian_rows_is_the_distance_measured(n):
    """With more features than rows, where the bias in 1/n is wrong by any factor."""
    generator = torch.Generator().manual_seed(n)
    deviations = 3 * torch.arange(1, 257) ** -0.5
    told, measured = [], []
    for _ in range(4):
        reference = torch.randn(400, 256, generator=generator) * deviations
        samples = torch.randn(n, 256, generator=generator) * deviations
        figures = Comparison(reference, Points()).measured([Frechet()], samples, n)[0].figures
        assert figures["fd_points_floor_n"] == n
        told.append(figures["fd_points_floor"])
        measured.append(figures["fd_points"])
    assert sum(told) == pytest.approx(sum(measured), rel=0.15 if n == 2 else 0.05)
