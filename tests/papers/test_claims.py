"""Published claims: each is complete, and every toy's is run at small size."""

import re
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from lightning_collapse.data.sources.points import Mixture
from lightning_collapse.metrics.distance import SlicedWasserstein
from lightning_collapse.papers import points
from lightning_collapse.papers.claim import Claim, Evidence, Finding, Task, stays
from lightning_collapse.papers.judging import judged
from lightning_collapse.papers.running import chosen, claim_of
from lightning_collapse.papers.table import page
from lightning_collapse.regimes import Replace
from lightning_collapse.sweeps.plan import Plan

ROOT = Path(__file__).parents[2]

NAMES = chosen([])
TOYS = [name for name in NAMES if claim_of(name).data == "toy"]
PLANS = [name for name in NAMES if claim_of(name).by_plan]
POINTS = [name for name in NAMES if claim_of(name).data == "points" and name not in PLANS]


@pytest.mark.parametrize("name", NAMES)
def test_a_claim_says_who_where_and_what(name):
    claim = claim_of(name)
    for field in ("authors", "source", "says", "setting", "figure", "provenance"):
        assert getattr(claim, field), field
    assert re.search(r"20\d\d", claim.source)
    full, quick = claim.cost
    assert full >= quick > 0


def check(name, evidence):
    told = judged(claim_of(name), evidence)
    assert told["verdict"] in ("holds", "does not hold", "cannot be told")
    for finding in told["findings"]:
        assert finding["ours"] is not None, finding["what"]
        assert finding["replicas"] >= 2
    assert any(line.theirs for line in evidence.lines) or claim_of(name).data != "toy"
    for line in evidence.lines:
        assert np.size(line.x) == np.size(line.y)
    assert name in page({name: told}, "reproduce", {})
    return told


@pytest.mark.parametrize("name", TOYS)
def test_no_toy_claim_fails_at_small_size(name):
    # Few replicas may not tell; but what holds at full size is not told to fail.
    told = check(name, claim_of(name).measure(Task(effort=0.02)))
    assert told["verdict"] != "does not hold", told["findings"]


def made_up(loop, replicas, seed):
    """Figures of a loop that was never run."""
    figures = ("val_loss", "sw2_points", "sw2_points_floor", "total_variance")
    figures += ("precision_points", "recall_points", "fd_points")
    figures += ("knn_entropy_points", "generalisation_points")
    random = np.random.default_rng(seed)
    told = {name: 1 + random.random((loop.rounds, replicas)) for name in figures}
    return told | {"class_shares": 0.1 + random.random((loop.rounds, replicas, 4))}


@pytest.mark.parametrize("name", POINTS)
def test_a_claim_on_points_has_its_figures_from_loops(name, monkeypatch):
    module = import_module(f"lightning_collapse.papers.claims.{name.replace('-', '_')}")
    monkeypatch.setattr(module, "series", made_up)
    check(name, claim_of(name).measure(Task(effort=0.25)))


def test_loops_on_points_give_rounds_by_seeds_of_what_records_hold(monkeypatch):
    training = points.Training(128, 64)
    monkeypatch.setattr(points, "Training", lambda *_, **__: training)
    points.series.cache_clear()
    measures = (SlicedWasserstein(rows=40),)
    loop = points.Loop(Replace(), Mixture(n=600), n=40, rounds=2, width=8, measures=measures)
    told = points.series(loop, 3, 0)
    assert told["val_loss"].shape == told["sw2_points"].shape == (2, 3)
    assert told["n_synthetic"].tolist() == [[0] * 3, [40] * 3]
    assert told["val_loss_by_noise"].shape[:2] == (2, 3)
    assert points.margin_of(told, "sw2_points") == pytest.approx(
        told["sw2_points_floor"].mean() / 4
    )
    control = points.series(points.control_of(loop), 3, 0)
    assert control["n_synthetic"].tolist() == [[0] * 3] * 2
    # Of the same seeds: what is paired has the same round 0.
    np.testing.assert_array_equal(control["val_loss"][0], told["val_loss"][0])
    points.series.cache_clear()


class _Study:
    """A finished study whose runs of a plan's conditions hold made-up records."""

    def __init__(self, path):
        self.conditions = {}
        for cell in Plan.read(ROOT / path).cells():
            seed = int(dict(cell.labels)["seed"])
            figures = ("val_loss", "fd_pixels", "knn_entropy_pixels", "generalisation_pixels")
            records = [dict.fromkeys(figures, 1.0 + 0.1 * seed + r) for r in range(6)]
            run = SimpleNamespace(records=records)
            self.conditions.setdefault(cell.condition, []).append(run)


@pytest.mark.parametrize("name", PLANS)
def test_a_claim_by_plan_reads_the_conditions_of_its_plan(name, monkeypatch):
    module = import_module(f"lightning_collapse.papers.claims.{name.replace('-', '_')}")
    if hasattr(module, "series"):
        monkeypatch.setattr(module, "series", made_up)
    check(name, claim_of(name).measure(Task(study=_Study)))


def claim(findings):
    return Claim(
        authors="A",
        source="2026",
        says="s",
        setting="t",
        figure="f",
        provenance="derived",
        data="toy",
        cost=(1, 1),
        measure=lambda task: Evidence("x", "y", findings),
    )


def test_a_claim_that_is_not_told_says_what_would_tell():
    random = np.random.default_rng(0)
    one = claim([Finding("mean", "above 0", random.normal(0.2, 1, 20), low=0.0)])
    told = judged(one, one.measure(Task()))
    assert told["verdict"] == "cannot be told"
    assert told["findings"][0]["replicas_needed"] > 20
    assert f"about {told['findings'][0]['replicas_needed']:,} replicas would tell" in page(
        {"a": told}, "reproduce", {}
    )


def test_the_page_says_what_was_not_run_and_what_it_takes():
    assert "Not run, as they take runs of `fit`: shi-entropy (40 min)." in page(
        {}, "reproduce", {"shi-entropy": claim_of("shi-entropy")}
    )


def test_collapse_is_told_by_the_excess_over_the_control_late_in_the_loop():
    control = np.ones((9, 5)) + 0.01 * np.arange(5)
    rising = control + np.linspace(0, 2, 9)[:, None]
    told = stays("figure", rising, control, 0.5, collapses=True)
    assert np.mean(told.values) == pytest.approx(2 * 7 / 8)
    assert judged(claim([told]), Evidence("x", "y", [told]))["verdict"] == "holds"
    told = stays("figure", rising, control, 0.5, collapses=False)
    assert judged(claim([told]), Evidence("x", "y", [told]))["verdict"] == "does not hold"
