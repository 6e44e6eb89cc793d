"""Training sets as sums of statistics, for regimes without chance.

Rows that all rounds take together, or leave, are a piece; a piece's statistic is drawn once, when
a round first takes it, and a round's is the sum of its pieces'. Where a block of a round has the
rows that one of the round before had, of more generations, or further rows of one generation, only
these are added: accumulating costs the same in every round.
"""

import functools
import itertools
import math
import operator
import sys
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

from lightning_collapse.regimes import Fixed

__all__ = ["Blocks", "Piece", "TrainingSets", "by_chance", "counts", "only_adds", "replaces_all"]


S = TypeVar("S")
# Of each round, none of them empty; all `Fixed` where nothing is drawn by chance.
Blocks = Sequence[Sequence[Any]]
_Key = tuple[int, int, int]
_Stops = dict[_Key, int]


class Piece(NamedTuple):
    """Rows of one birth stamp that no round takes in part."""

    born: int
    size: int


def by_chance(blocks: Blocks) -> bool:
    """Tells whether some rows are drawn, so that the seed matters."""
    return any(not isinstance(block, Fixed) for now in blocks for block in now)


def counts(blocks: Sequence[Any]) -> tuple[int, int]:
    """Counts real and synthetic rows of a round without chance."""
    real = sum(len(block.rows) for block in blocks if 0 in block.born)
    return real, sum(map(len, blocks)) - real


def real_rows(blocks: Blocks) -> list[float]:
    """Counts the real rows of every round; NaN where chance has a say in it."""
    return [math.nan if by_chance([now]) else counts(now)[0] for now in blocks]


def replaces_all(blocks: Blocks) -> bool:
    """Tells whether every round trains on as many of the newest samples as round 0 on rows."""
    n = sum(map(len, blocks[0]))
    newest = ([Fixed(range(r, r + 1), range(n))] for r in range(1, len(blocks)))
    return all(list(now) == wanted for now, wanted in zip(blocks[1:], newest, strict=True))


def only_adds(blocks: Blocks) -> bool:
    """Tells whether rounds train on what the last did and newest samples, or on these alone."""
    if by_chance(blocks):
        return False
    for r in range(1, len(blocks)):
        before = _stops(blocks[r - 1])
        for block in blocks[r]:
            start = before.pop(_key(block), block.born.start)
            if range(start, block.born.stop) not in (range(0), range(r, r + 1)):
                return False
        if before and any(block.born != range(r, r + 1) for block in blocks[r]):
            return False
    return True


class TrainingSets(Generic[S]):
    """The statistics of what every round trains on; `+` gives that of the rows of both."""

    pieces: list[Piece]
    """In the order in which rounds first take them."""

    def __init__(self, blocks: Blocks) -> None:
        """Plans the rounds, none of which draws rows by chance."""
        self._blocks, self._cuts = blocks, _cuts(blocks)
        self.pieces = []
        self._numbers: dict[tuple[int, int], int] = {}
        self._left: list[int] = []
        before: _Stops = {}
        for r in range(len(blocks)):
            for _, _, added in self._steps(r, before):
                for number in added:
                    self._left[number] += 1
            before = _stops(blocks[r])
        self._before: _Stops = {}
        self._sums: dict[_Key, S] = {}
        self._drawn: dict[int, S] = {}

    def of(self, r: int, draw: Callable[[int], S]) -> S:
        """Gives the statistic of what round r trains on; ask for rounds in turn, from 0.

        Args:
            r: round.
            draw: gives that of a piece, by its place in `pieces`.
        """
        sums: dict[_Key, S] = {}
        for key, found, added in self._steps(r, self._before):
            parts = [self._sums[found]] if found else []
            parts += [self._piece(number, draw) for number in added]
            sums[key] = functools.reduce(operator.add, parts)
        self._before, self._sums = _stops(self._blocks[r]), sums
        return functools.reduce(operator.add, sums.values())

    def _steps(self, r: int, before: _Stops) -> Iterator[tuple[_Key, _Key | None, list[int]]]:
        """Yields a round's blocks: which one before they go on from, and the pieces added."""
        for block in self._blocks[r]:
            found, born, rows = _longest(block, before), block.born, block.rows
            if found == _key(block):
                born = range(before[found], born.stop)
            elif found:
                rows = range(found[2], rows.stop)
            added = [number for b in born for number in self._pieces_of(b, rows)]
            yield _key(block), found, added

    def _pieces_of(self, born: int, rows: range) -> list[int]:
        """The places of the pieces that rows of a stamp consist of; new ones are added."""
        cuts = self._cuts[born]
        found = []
        for place in range(bisect_left(cuts, rows.start), bisect_left(cuts, rows.stop)):
            number = self._numbers.setdefault((born, place), len(self.pieces))
            if number == len(self.pieces):
                self.pieces.append(Piece(born, cuts[place + 1] - cuts[place]))
                self._left.append(0)
            found.append(number)
        return found

    def _piece(self, number: int, draw: Callable[[int], S]) -> S:
        """Draws a piece, and keeps it for as long as rounds will ask for it."""
        piece = self._drawn.pop(number) if number in self._drawn else draw(number)
        self._left[number] -= 1
        if self._left[number]:
            self._drawn[number] = piece
        return piece


def _key(block: Fixed) -> _Key:
    """What blocks share of which one may go on from the other."""
    return block.born.start, block.rows.start, block.rows.stop


def _longest(block: Fixed, before: _Stops) -> _Key | None:
    """Which of the blocks before had the first generations, or the first rows of one."""
    if before.get(_key(block), sys.maxsize) <= block.born.stop:
        return _key(block)
    if len(block.born) != 1:
        return None
    for key, stop in before.items():
        same = key[:2] == _key(block)[:2] and stop == block.born.stop
        if same and key[2] <= block.rows.stop:
            return key
    return None


def _stops(blocks: Sequence[Any]) -> _Stops:
    return {_key(block): block.born.stop for block in blocks}


def _cuts(rounds: Blocks) -> list[tuple[int, ...]]:
    """Where the rows of each stamp are cut: wherever a block of any round starts or ends.

    A few cuts too many, between the stamps that blocks of the same rows name, change no law.
    """
    spans: dict[tuple[int, int], tuple[int, int]] = {}
    for block in itertools.chain.from_iterable(rounds):
        rows, (first, last) = (block.rows.start, block.rows.stop), (block.born[0], block.born[-1])
        low, high = spans.get(rows, (first, last))
        spans[rows] = min(low, first), max(high, last)
    cuts: list[tuple[int, ...]] = [()] * len(rounds)
    several: dict[int, set[int]] = {}
    for rows, (low, high) in spans.items():
        for born in range(low, high + 1):
            if cuts[born]:
                several.setdefault(born, set(cuts[born])).update(rows)
            else:
                # Most stamps share one tuple: thousands of lists would wake the garbage collector.
                cuts[born] = rows
    for born, cut in several.items():
        cuts[born] = tuple(sorted(cut))
    return cuts
