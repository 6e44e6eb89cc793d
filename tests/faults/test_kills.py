"""The command itself, killed at moments of no meaning, ends as if nothing had happened."""

import itertools
import random
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest
from tiny_runs import arguments, assert_same, outcome, started

KILLS = 50


def words(run: Path) -> list[str]:
    """Three rounds that take about as long as the imports before, half of it in sampling."""
    longer = {"data__images_per_round": 4800, "data__samples_per_round": 2000}
    return arguments(run, trainer__max_epochs=3, loop__checkpoint_every=50, **longer)


def place(run: Path) -> str:
    """Where a run that was killed has got to."""
    if not (run / "checkpoints" / "last.ckpt").exists():
        return "before the first checkpoint"
    rounds = list(run.glob("pool/0*"))
    committed = [path for path in rounds if (path / "manifest.json").exists()]
    return "in sampling" if len(committed) < len(rounds) else "in training"


def killed(run: Path, after: float) -> bool:
    """Starts the run or goes on with it; kills it after so many seconds, unless it has ended."""
    with started("fit", *words(run)) as process:
        try:
            assert process.wait(after) == 0
        except subprocess.TimeoutExpired:
            process.kill()
            return True
    return False


@pytest.mark.slow
@pytest.mark.faults
def test_kills_at_random_moments_lose_nothing(tmp_path):
    began = time.monotonic()
    with started("fit", *words(tmp_path / "whole")) as process:
        assert process.wait() == 0
    duration = time.monotonic() - began
    whole, moments, places = outcome(tmp_path / "whole"), random.Random(0), Counter()
    for n in itertools.count():
        run = tmp_path / str(n)
        while killed(run, moments.uniform(0, duration)):
            places[place(run)] += 1
        assert_same(outcome(run), whole)
        if places.total() >= KILLS:
            break
    print(f"{places.total()} kills in {n + 1} runs, {dict(places)}: all ended identically")
