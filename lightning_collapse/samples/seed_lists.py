"""Seeds as a command line names them, such as `0,1,2,5-10`; needs no torch."""

from collections.abc import Sequence

__all__ = ["format_seeds", "parse_seeds"]

_MOST_SEEDS = 10_000_000


def parse_seeds(text: str) -> list[int]:
    """Gives the seeds that a list such as `0,1,2,5-10` names: sorted, each once.

    Raises:
        ValueError: the list is malformed, or names too many seeds.
    """
    seeds: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not (_is_number(first) and (_is_number(last) if dash else not last)):
            raise ValueError(f"seeds = {text}: must be numbers and ranges, such as 0,1,2,5-10")
        start, stop = int(first), int(last if dash else first) + 1
        if not start < stop <= 2**32:
            raise ValueError(f"seeds = {text}: {part} must rise, and lie in 0..{2**32 - 1}")
        if stop - start + len(seeds) > _MOST_SEEDS:
            raise ValueError(f"seeds = {text}: must be at most {_MOST_SEEDS:,}; split them up")
        seeds.update(range(start, stop))
    return sorted(seeds)


def format_seeds(seeds: Sequence[int]) -> str:
    """Gives the shortest list that `parse_seeds` reads as these seeds, sorted, each once."""
    ranges: list[list[int]] = []
    for seed in seeds:
        if not ranges or seed > ranges[-1][-1] + 1:
            ranges.append([seed])
        ranges[-1][1:] = [seed]
    return ",".join("-".join(map(str, dict.fromkeys(ends))) for ends in ranges)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 10
