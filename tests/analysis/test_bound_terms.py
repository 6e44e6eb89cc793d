"""Terms of a bound: losses that are EDM's, distances that are known, sums that are theory.md's."""

import numpy as np
import pytest
import torch
from tiny_runs import Fit

from lightning_collapse import EDMLoss, Replace, Run
from lightning_collapse.analysis.bias_variance import common_batch
from lightning_collapse.analysis.bound_terms import cumulative, runs_terms, total_variation
from lightning_collapse.analysis.conditions import conditions
from lightning_collapse.analysis.stability_figure import draw_terms
from lightning_collapse.rows import network_units
from lightning_collapse.runs.split import recorded_split
from lightning_collapse.seeds import generator


@pytest.mark.parametrize("alpha", [0.1, 0.5, 1.0])
def test_the_shift_adds_up_as_theory_says(alpha):
    # theory.md §h: (1 - (1 - α)^i) / α.
    real = [100, *[round(100 * alpha)] * 9]
    i = np.arange(10)
    assert cumulative(real, [100] * 10) == pytest.approx((1 - (1 - alpha) ** i) / alpha)


def test_without_real_rows_it_grows_as_the_rounds_and_of_changing_shares_it_is_not_told():
    assert cumulative([5, 0, 0, 0], [5] * 4).tolist() == [0, 1, 2, 3]
    assert cumulative([5, 5, 5], [5, 10, 15]) is None


@pytest.mark.parametrize(("shift", "truth"), [(0.0, 0.0), (2.0, 0.683), (20.0, 1.0)])
def test_a_classifier_bounds_the_total_variation_of_gaussians_from_below(shift, truth):
    rng = np.random.default_rng(0)
    real, other = (rng.standard_normal((500, 1)) + mean for mean in (0, shift))
    told = total_variation(real, other)
    # 2 Φ(shift / 2) - 1 of unit Gaussians.
    assert told.low <= truth + 0.02 and told.mean > truth - 0.1


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("terms")
    half = {"data": {"regime": Replace(0.5)}}
    return [Fit(folder / f"{s}", seed=s, **half)().data.run for s in (0, 1)]


def test_losses_are_edms_and_equal_runs_do_not_differ(runs):
    run = Run(runs[0])
    told = runs_terms(run, [run, run])
    assert np.all(told.beta == 0) and np.all(told.largest == 0)
    (one,) = conditions([run])
    batch = common_batch(one)
    losses = EDMLoss()(run.denoiser(1), batch.clean, batch.sigma, batch.noise).detach()
    losses = losses.reshape(len(batch.clean), -1).mean(1)
    assert told.loss[1] == pytest.approx(float(losses.max()), rel=1e-4)
    assert told.n == 48 and told.per_root == pytest.approx(told.loss / 48**0.5)
    # Round 0 has trained on the real training rows, of which some are taken.
    _, train, _ = recorded_split(run, run.records[0])
    some = torch.randperm(48, generator=generator(0, "gap", 0))[:16]
    rows = network_units(train[some])
    seen, unseen = (
        EDMLoss()(run.denoiser(0), clean, batch.sigma, batch.noise).mean().item()
        for clean in (rows, batch.clean)
    )
    assert told.gap[0].mean == pytest.approx(unseen - seen, rel=1e-4)
    assert all(gap.low <= gap.mean <= gap.high for gap in told.gap)
    assert told.shift.tolist() == pytest.approx([0, max(told.variation.mean, 0)])


def test_other_runs_change_the_loss_and_the_largest_change_is_the_largest(runs, tmp_path):
    run, other = map(Run, runs)
    told = runs_terms(run, [other])
    assert np.all(told.beta > 0) and np.all(told.largest >= told.beta)
    draw_terms(tmp_path, [told])
    assert (tmp_path / "terms.png").exists()


def test_a_regime_of_ones_own_has_no_gap(runs):
    run = Run(runs[0])
    text = run.table.read_text()
    try:
        run.table.write_text(text.replace('"regime": "Replace"', '"regime": "Mine"'))
        assert runs_terms(run, [run]).gap is None
    finally:
        run.table.write_text(text)
