"""Rounds that share latents: sample i of every round comes from the same noise."""

import json

import pytest
import torch
from tiny_runs import Fit, records

from lightning_collapse import Copying, Replace, Run, Sampling, SlicedWasserstein
from lightning_collapse.commands.evaluate import evaluate
from lightning_collapse.runs.measuring import RunMeasuring

SAME = Sampling(num_steps=4, latents="same")
WHY = "shares latents with the round before"
OWN = ("authenticity_points", "generalisation_points")


def fit(folder, sampling=SAME, **options):
    return Fit(folder, options={"sampling": sampling}, **options)()


def nearness(run, r):
    """What `measure` adds to a record."""
    return RunMeasuring(Run(run), [Copying()]).fields(r)


def test_a_measure_that_needs_fresh_latents_is_refused_before_the_run(tmp_path):
    with pytest.raises(ValueError, match=r"loop\.measures = Copying: needs .*latents = fresh"):
        Fit(tmp_path, options={"sampling": SAME, "measures": [Copying()]})
    assert not any(tmp_path.iterdir())


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("latents")
    fit(folder / "same")
    fit(folder / "fresh", Sampling(num_steps=4))
    return folder


def rows(run, r):
    return Run(run).samples(r)[torch.arange(48)]


def test_round_0_is_that_of_fresh_latents_and_later_ones_follow_it(runs):
    same, fresh = runs / "same", runs / "fresh"
    assert torch.equal(rows(same, 0), rows(fresh, 0))

    def correlation(run):
        return float(torch.corrcoef(torch.stack([rows(run, r).flatten() for r in (0, 1)]))[0, 1])

    assert correlation(same) > 0.9 > 3 * abs(correlation(fresh))


def test_steps_are_null_and_say_why(runs):
    record, fresh = records(runs / "same")[1], records(runs / "fresh")[1]
    steps = [name for name in record if name.endswith("_step")]
    assert len(steps) == 5 and all(record[name] is None for name in steps)
    assert {record["cautions"][name] for name in steps} == {WHY}
    assert all(fresh[name] is not None for name in steps if record[name.removesuffix("_step")])
    floors = [name for name in record if name.endswith("_floor")]
    assert {name: record[name] for name in floors} == {name: fresh[name] for name in floors}


def test_nearness_to_training_samples_of_the_same_latents_is_null_and_says_why(runs):
    first, second = (nearness(runs / "same", r) for r in (0, 1))
    fresh = nearness(runs / "fresh", 1)
    for name in OWN:
        assert first[name] is not None and second[name] is None
        assert second[f"{name}_rest"] is not None
        assert second["cautions"][name] == "shares latents with samples that the round trained on"
        assert fresh[name] is not None


def test_where_a_round_trains_on_real_rows_alone_nearness_is_told(tmp_path):
    fit(tmp_path, data={"regime": Replace(0.0), "samples_per_round": 48})
    told = nearness(tmp_path, 1)
    assert all(told[name] is not None for name in OWN)
    assert records(tmp_path)[1]["sw2_points_step"] is None


def test_a_run_measured_again_tells_the_same(runs):
    record = records(runs / "same")[1]
    fields = RunMeasuring(Run(runs / "same"), [SlicedWasserstein()]).fields(1)
    assert fields == {name: record[name] for name in fields} | {
        "measured_rows": fields["measured_rows"],
        "cautions": fields["cautions"],
    }
    assert fields["cautions"].items() <= record["cautions"].items()


def test_rounds_of_the_same_latents_are_not_compared_as_sets(runs, tmp_path):
    for run, is_told in [("same", False), ("fresh", True)]:
        evaluate(runs / run / "pool/0001", runs / run / "pool/0000", json=tmp_path / "told.json")
        told = json.loads((tmp_path / "told.json").read_text())
        assert (told["precision_points"] is not None) is is_told
        assert ("shares latents" in told["notes"]["precision_points"]) is not is_told
