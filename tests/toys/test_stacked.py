"""Replicas trained together: each is the run that `fit` makes of its seed."""

from dataclasses import dataclass

import pytest
import torch
from tiny_runs import BATCH, POINTS, STEPS, Fit, mlp, records

from lightning_collapse import Accumulate, Augment, Replace, Sampling, Turnover
from lightning_collapse.regimes import REAL, Fixed, Regime
from lightning_collapse.toys.stacked import Replicas, Training

SEEDS = (3, 4, 7)
MANY = 8 * STEPS * BATCH


def stacked(regime, seeds=SEEDS, training=None, **options):
    given = {
        "sampling": Sampling(num_steps=4),
        "micro_batch": 8,
        "train_rows": POINTS["train_rows"],
        "held_out_rows": POINTS["held_out_rows"],
        **options,
    }
    how = Training(**{"images_per_round": MANY, "batch_size": BATCH, **(training or {})})
    return Replicas(POINTS["source"], regime, mlp(), seeds, training=how, **given)


def fitted(folder, regime, seed, *, data=None, options=None, **module):
    named = {"regime": regime, "images_per_round": MANY, "seed": seed, **(data or {})}
    return Fit(folder, data=named, seed=seed, options=options, **module)()


def assert_close(found, known, where):
    """Numbers within rounding, and everything else the same."""
    if isinstance(known, dict):
        assert found.keys() == known.keys(), where
        for name in known:
            assert_close(found[name], known[name], f"{where}.{name}")
    elif isinstance(known, list):
        assert len(found) == len(known), where
        for i, (a, b) in enumerate(zip(found, known, strict=True)):
            assert_close(a, b, f"{where}[{i}]")
    elif isinstance(known, float):
        assert found == pytest.approx(known, rel=2e-3, abs=2e-5), where
    else:
        assert found == known, where


@dataclass(frozen=True)
class Halves(Regime):
    """A regime of a user's own: half of the real rows, and as many of the newest samples."""

    def blocks(self, n_real, r):
        half = range(n_real // 2)
        return [Fixed(REAL, half), *([Fixed(range(r, r + 1), half)] if r else [])]

    def samples_needed(self, n_real):
        return n_real


@pytest.mark.parametrize(
    "regime", [Replace(), Accumulate(), Augment(0.5), Turnover(0.3), Halves()], ids=str
)
def test_a_replica_is_the_run_of_its_seed(tmp_path, regime):
    runs = [fitted(tmp_path / str(seed), regime, seed) for seed in SEEDS[:2]]
    made = list(stacked(regime, SEEDS[:2]).rounds(2))
    for i, run in enumerate(runs):
        for r, known in enumerate(records(run.folder)):
            samples = run.data.generations[r][torch.arange(known["n_samples"])]
            torch.testing.assert_close(made[r].samples[i], samples, rtol=0, atol=1e-4)
            ours = made[r].records[i]
            assert_close(ours, {name: known[name] for name in ours}, f"round {r}")
            told = {"sw2_points", "mmd_points", "fd_points", "variance", "mean", "val_loss"}
            assert told | {"real_variance", "fd_points_floor", "val_loss_by_noise"} <= ours.keys()
