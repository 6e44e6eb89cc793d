"""Numbers against numbers, on simulated truths."""

import numpy as np
import pytest

from lightning_collapse.analysis.agreement import agreement, joint

STUDIES = 1500


def words(truth, n, seed=0, **rule):
    """What is told in many studies of n normal values about a truth, spread 1."""
    values = np.random.default_rng(seed).normal(truth, 1.0, (STUDIES, n))
    return [agreement(one, **rule).word for one in values]


def share(told, word):
    return told.count(word) / len(told)


# Tolerance: four standard errors of 2.5 % in so many studies.
@pytest.mark.parametrize("n", [3, 8, 40])
@pytest.mark.parametrize("rule", [{"high": 0.0}, {"low": 0.0}, {"low": -5.0, "high": 0.0}])
def test_a_truth_at_the_end_of_the_range_is_told_wrongly_in_five_per_cent(n, rule):
    told = words(0.0, n, **rule)
    assert share(told, "holds") <= 0.025 + 0.016
    assert share(told, "does not hold") <= 0.025 + 0.016


@pytest.mark.parametrize("n", [3, 8])
def test_the_error_of_their_figure_counts_as_ours_does(n):
    random = np.random.default_rng(1)
    told = []
    for _ in range(STUDIES):
        theirs = random.normal(0.0, 0.5)
        # Ours is truly a margin above what theirs estimates: the worst case.
        ours = random.normal(2.0, 1.0, n)
        told.append(agreement(ours, theirs - 2.0, theirs + 2.0, error=0.5).word)
    assert share(told, "holds") <= 0.05
    assert share(told, "does not hold") <= 0.05


def test_findings_of_a_claim_share_the_error_rate():
    random = np.random.default_rng(2)
    told = []
    for _ in range(STUDIES):
        # All five are truly at the end of what the claim allows.
        several = random.normal(0.0, 1.0, (5, 10))
        told.append(joint([agreement(one, high=0.0, among=5).word for one in several]))
    assert share(told, "does not hold") <= 0.025 + 0.016
    assert share(told, "holds") <= 0.001


def test_a_truth_well_inside_or_outside_is_told():
    assert share(words(-3.0, 8, high=0.0), "holds") > 0.99
    assert share(words(3.0, 8, high=0.0), "does not hold") > 0.99
    assert share(words(0.0, 40, low=-1.0, high=1.0), "holds") > 0.99


def test_what_is_not_told_says_how_many_replicas_would_tell_in_four_of_five():
    few = np.random.default_rng(3).normal(0, 1, 8)
    few += -0.3 - few.mean()
    few *= 0.3 / abs(few.mean())
    told = agreement(few, high=0.0)
    assert told.word == "cannot be told"
    spread = few.std(ddof=1)
    random = np.random.default_rng(4)
    studies = random.normal(-0.3, spread, (STUDIES, told.needed))
    assert share([agreement(one, high=0.0).word for one in studies], "holds") == pytest.approx(
        0.8, abs=0.05
    )


def test_what_their_error_forbids_no_number_of_replicas_tells():
    told = agreement(np.linspace(-1, 1, 20), -1.0, 1.0, error=2.0)
    assert told.word == "cannot be told" and told.needed is None


def test_what_is_not_a_number_cannot_be_told():
    told = agreement([np.nan, 1.0, 2.0], low=0.0)
    assert told.word == "cannot be told" and told.needed is None


def test_values_without_spread_are_told():
    assert agreement([1.0, 1.0], high=1.05).word == "holds"
    assert agreement([1.0, 1.0], low=1.05).word == "does not hold"


@pytest.mark.parametrize("values, low, high", [([1.0], 0.0, 2.0), ([1.0, 2.0], 2.0, 2.0)])
def test_a_single_value_and_an_empty_range_are_refused(values, low, high):
    with pytest.raises(ValueError, match="need 2 values and low < high"):
        agreement(values, low, high)


def test_a_claim_holds_if_all_findings_do_and_fails_if_one_does():
    assert joint(["holds", "holds"]) == "holds"
    assert joint(["holds", "cannot be told"]) == "cannot be told"
    assert joint(["cannot be told", "does not hold", "holds"]) == "does not hold"
