"""The held-out loss by noise level: the same losses, apart."""

import math

import pytest
import torch
from tiny_runs import DIGITS, Fit, unet

from lightning_collapse.networks.edm import EDMLoss
from lightning_collapse.seeds import generator


@pytest.fixture(scope="module")
def fit(tmp_path_factory):
    return Fit(tmp_path_factory.mktemp("noise"), rounds=1)()


def test_bins_are_those_of_the_losses_themselves(fit):
    (record,) = fit.records
    x, loss, bins = fit.data.held_out[torch.arange(16)], EDMLoss(), {}
    edges = record["val_loss_noise_edges"]
    # A standard normal's sextiles.
    assert edges == pytest.approx(
        [-1.2 + 1.2 * z for z in (-0.967422, -0.430727, 0, 0.430727, 0.967422)], abs=1e-5
    )
    for i, rows in enumerate(torch.split(x, 8)):
        sigma, noise = loss.draw(tuple(rows.shape), generator(0, "validation", i))
        with torch.no_grad():
            losses = loss(fit.module.ema, rows, sigma, noise).mean(1)
        for level, value in zip(sigma.log().tolist(), losses.tolist(), strict=True):
            bins.setdefault(sum(level > edge for edge in edges), []).append(value)
    means = [sum(bins[i]) / len(bins[i]) if i in bins else None for i in range(6)]
    assert record["val_loss_by_noise"] == pytest.approx(means, rel=1e-4)
    whole = sum(sum(part) for part in bins.values()) / 16
    assert record["val_loss"] == pytest.approx(whole, rel=1e-4)


def test_two_held_out_rows_leave_levels_null_and_lose_no_round(tmp_path):
    data = {**DIGITS, "held_out_rows": 2}
    (record,) = Fit(tmp_path, rounds=1, data=data, network=unet())().records
    assert record["val_loss_by_noise"].count(None) >= 4
    assert record["measured_rows"]["Balls"] == 2 and record["recall_pixels"] is None
    assert record["cautions"]["recall_pixels"] and math.isfinite(record["mmd_pixels"])
