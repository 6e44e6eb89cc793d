"""Figures do not depend on how many samples a regime takes, nor training on how many are made."""

import pytest
import torch
from tiny_runs import POINTS, Fit

from lightning_collapse import AccumulateSubsample, Replace

OF_ALL = ("mean", "variance", "total_variance", "mass_center", "mass_tails")
"""Of all samples, unbiased at any number of them."""


def figures_of(record):
    """What measures tell of the first samples, and n of each."""
    start = list(record).index("fd_points")
    known = dict(list(record.items())[start:])
    return {name: value for name, value in known.items() if not name.startswith("seconds_")}


def test_one_network_has_the_same_figures_whatever_the_regime_takes(tmp_path):
    rounds = {}
    for share in (0.01, 0.1, 0.99):
        data = {**POINTS, "train_rows": 100, "source": type(POINTS["source"])(116)}
        fit = Fit(tmp_path / str(share), rounds=1, data={**data, "regime": Replace(share)})()
        rounds[share] = fit.records[0]
    made = {share: (r["n_trainable"], r["n_samples"]) for share, r in rounds.items()}
    assert made == {0.01: (1, 16), 0.1: (10, 16), 0.99: (99, 99)}
    first, *others = map(figures_of, rounds.values())
    assert first["fd_n"] == 16 and {*first["measured_rows"].values()} == {16}
    for other in others:
        assert other == first


@pytest.mark.parametrize("regime", [Replace(1 / 6), AccumulateSubsample(8)], ids=str)
def test_samples_that_are_made_to_be_measured_are_not_trained_on(tmp_path, regime):
    fits = [
        Fit(tmp_path / str(made), data={**POINTS, "regime": regime, "samples_per_round": made})
        for made in (8, None)
    ]
    few, many = (fit().module.ema.state_dict() for fit in fits)
    assert [fit.records[1]["n_samples"] for fit in fits] == [8, 16]
    assert all(torch.equal(few[name], many[name]) for name in few)
    assert fits[1].data.pool.sizes == [48, 8, 8]
