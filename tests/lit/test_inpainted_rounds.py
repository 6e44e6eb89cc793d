"""Rounds whose samples complete real rows: which these are, what is recorded, what is repeated."""

import shutil

import pytest
import torch
from tiny_runs import DIGITS, At, CrashError, Fit, arguments, assert_same, crash, outcome, unet

from lightning_collapse import Inpainting, Sampling
from lightning_collapse.commands.fit import run_fit
from lightning_collapse.rows import network_units
from lightning_collapse.runs.layout import Run
from lightning_collapse.runs.repair import repair

HEUN = Sampling("heun", "karras", 4)
SOME = {**DIGITS, "train_rows": 48, "held_out_rows": 16}


def fit(folder, **changed):
    options = {"sampling": HEUN, "inpaint": Inpainting(0.25, 2), **changed.pop("options", {})}
    parts = {"network": unet(label_dim=10), "data": SOME, **changed}
    return Fit(folder, options=options, **parts)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    torch.set_num_threads(1)
    return fit(tmp_path_factory.mktemp("run") / "run")()


def truth(run, r):
    """The rows that round r has completed, found by their given part."""
    samples = Run(run.folder).samples(r)
    rows, apart = samples[torch.arange(len(samples))], run.data.set_apart
    candidates = apart[torch.arange(len(apart))]
    left = candidates[..., :6].flatten(1)
    found = [int((left == row[..., :6].flatten()).all(1).nonzero()[0]) for row in rows]
    return rows, candidates[found], found, apart


def test_given_rows_are_neither_trained_on_nor_measured_with(run):
    apart = set(run.data.set_apart.order.tolist())
    assert not apart & set(run.data.train.order.tolist())
    assert not apart & set(run.data.held_out.order.tolist())
    assert len(apart) == 1797 - 48 - 16


def test_a_round_completes_other_rows_once_each_with_their_classes(run):
    seen = []
    for r in (0, 1):
        rows, whole, found, apart = truth(run, r)
        assert len(set(found)) == len(found) == 48
        assert not torch.equal(rows, whole)
        assert torch.equal(Run(run.folder).samples(r).labels, apart.labels[found])
        seen.append(found)
    assert seen[0] != seen[1]


def test_its_record_tells_the_error_beside_that_of_noise(run):
    for r, record in enumerate(run.records):
        rows, whole, _, _ = truth(run, r)
        error = (network_units(rows) - network_units(whole))[..., 6:].square().mean()
        assert record["masked_mse"] == pytest.approx(error.item(), rel=1e-5)
        assert (record["inpaint_share"], record["inpaint_resamples"]) == (0.25, 2)
        assert record["n_given"] == 1797 - 64
        assert record["calls_per_sample"] == 2 * 2 * 3 + 1
        # Normal noise of the training rows' moments, cut off at black and white.
        train = network_units(run.data.train[torch.arange(48)])[..., 6:]
        noise = torch.randn(500, 1, 8, 2, generator=torch.Generator().manual_seed(r))
        noise = (train.mean(0) + train.std(0) * noise).clamp(-1, 1)
        apart = noise[:, None] - network_units(whole)[..., 6:]
        assert record["masked_mse_masked_noise"] == pytest.approx(
            apart.square().mean().item(), rel=0.1
        )
        assert record["fd_pixels_masked_noise"] > 0 and record["variance_masked_noise"] > 0
    recipe = Run(run.folder).samples(0).recipe
    assert recipe["inpaint"] == {"share": 0.25, "resamples": 2}


def test_the_next_round_trains_on_the_composites(run):
    assert run.records[1]["n_synthetic"] == 48 and run.records[1]["n_real"] == 0


@pytest.mark.parametrize("hook", ["on_train_batch_end"])
def test_a_run_that_died_is_the_same_run(run, tmp_path, hook):
    with pytest.raises(CrashError):
        fit(tmp_path, callbacks=[At(hook, 1, 3, crash)])()
    assert_same(outcome(fit(tmp_path)().folder), outcome(run.folder))


def test_its_samples_are_made_again(run, tmp_path):
    copy = Run(shutil.copytree(run.folder, tmp_path / "run"))
    shard = copy.path / "pool" / "0001" / "shard-00000.npy"
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert {p: done for p, done, _ in repair(copy)}[shard] == "its samples were made again"
    assert shard.read_bytes() == whole


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (
            {"data": {**SOME, "train_rows": 1781}},
            "loop.inpaint: needs real rows that are neither trained on nor held out; lower data",
        ),
        ({"data": {**SOME, "swap": 0}}, "data.swap = 0: cannot be used with loop.inpaint"),
        ({"options": {"sampling": Sampling()}}, "loop.inpaint: needs loop.sampling.solver = heun"),
        ({"options": {"inpaint": Inpainting(0.01)}}, "loop.inpaint.share = 0.01: is none of the"),
    ],
)
def test_what_cannot_be_completed_is_refused(tmp_path, changed, said):
    with pytest.raises(ValueError, match=f"^{said}"):
        fit(tmp_path, **changed)()


def test_a_share_out_of_range_is_one_line(tmp_path, capsys):
    with pytest.raises(SystemExit) as left:
        run_fit(arguments(tmp_path / "run", "digits_inpaint", loop__inpaint__share=2))
    err = capsys.readouterr().err
    assert left.value.code == 2 and len(err.splitlines()) == 1
    assert "share = 2.0: must lie in (0, 1]" in err
