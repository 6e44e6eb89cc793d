"""What docs/results says is what the kept records say now: `make results` makes it anew."""

from pathlib import Path

import pytest

from lightning_collapse.analysis.conditions import find_runs
from lightning_collapse.report.comparison import compare
from lightning_collapse.report.words import closing, in_words

RESULTS = Path(__file__).parents[2] / "docs" / "results"
# What `analyse` tells of; and two conditions of a claim, without a control.
_OTHERS = ("min_real_points", "min_real_digits", "claim_entropy_digits")
STUDIES = sorted(path.name for path in (RESULTS / "records").iterdir() if path.name not in _OTHERS)


@pytest.mark.parametrize("name", STUDIES)
def test_a_study_is_told_as_its_records_say(name):
    (one,) = compare(find_runs([RESULTS / "records" / name]))
    lines = (RESULTS / f"{name}.txt").read_text().splitlines()
    assert lines[:-2] == in_words(one)
    assert lines[-1] == closing(one)
    assert f"{name}.txt" in (RESULTS / "index.md").read_text()


def test_figures_are_small_enough_for_a_repository():
    figures = [path for path in RESULTS.iterdir() if path.suffix in (".svg", ".png")]
    assert max(path.stat().st_size for path in figures) < 250_000
