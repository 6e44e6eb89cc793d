"""Sample i of round r comes from (seed, r, i): batches, processes and restarts leave no trace."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_runs import mlp, unet

from lightning_collapse import EDMPrecond
from lightning_collapse.data.store.shards import MAX_SHARD_ROWS
from lightning_collapse.samples.rounds import RoundSampler
from lightning_collapse.samples.shards import described
from lightning_collapse.sampling.choice import Sampling
from lightning_collapse.seeds import generator

CHURN = Sampling(solver="heun", num_steps=4, S_churn=2.0)


def sampler(network=None, **options) -> RoundSampler:
    torch.manual_seed(0)
    network = network or mlp()
    shape = (1, 8, 8) if hasattr(network, "img_resolution") else (2,)
    return RoundSampler(
        **{
            "denoiser": EDMPrecond(network).eval(),
            "sampling": Sampling(num_steps=4),
            "shape": shape,
            "n": 50,
            "micro_batch": 8,
            "label_dim": 0,
            "seed": 0,
            "round": 2,
            "device": torch.device("cpu"),
            **options,
        }
    )


def shards(folder: Path, sampler: RoundSampler, world_size: int = 1) -> dict[str, bytes]:
    folder.mkdir()
    for rank in reversed(range(world_size)):
        mine = range(rank, sampler.n_shards, world_size)
        made = sum(n for shard in mine for n in sampler.write_shard(folder, shard))
        assert made == sum(b - a for a, b in map(sampler.rows_of, mine))
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("sampling", [Sampling(num_steps=4), CHURN], ids=["3m", "churn"])
@pytest.mark.parametrize("network", [mlp, unet])
def test_any_number_of_processes_writes_the_same_bytes(tmp_path, network, sampling):
    one = sampler(network(), sampling=sampling)
    alone = shards(tmp_path / "1", one)
    assert len(alone) == 2 * 7
    assert alone == shards(tmp_path / "2", one, 2) == shards(tmp_path / "3", one, 3)


def test_more_samples_begin_with_the_same_ones():
    few, many = sampler(unet(), n=10), sampler(unet(), n=50)
    assert torch.equal(few.sample(8), many.sample(8))


def test_samples_depend_on_seed_round_and_index_alone():
    one = sampler()
    torch.manual_seed(99)
    assert torch.equal(one.sample(0), one.sample(0))
    assert not torch.equal(one.sample(0), one.sample(8))
    assert not torch.equal(one.sample(0), replace(one, round=3).sample(0))
    assert not torch.equal(one.sample(0), replace(one, seed=1).sample(0))


@pytest.mark.parametrize("kind", [Sampling(num_steps=4), CHURN], ids=["3m", "churn"])
def test_rounds_that_share_latents_have_those_of_round_0(kind):
    classes = {"network": mlp(label_dim=3), "label_dim": 3}
    fresh = sampler(**classes, sampling=kind)
    same = replace(fresh, sampling=replace(kind, latents="same"))
    assert torch.equal(same.sample(8), replace(same, round=5).sample(8))
    assert torch.equal(same.labels(), replace(same, round=5).labels())
    assert torch.equal(same.sample(8), replace(fresh, round=0).sample(8))
    assert torch.equal(same.labels(), replace(fresh, round=0).labels())
    assert not torch.equal(same.sample(8), fresh.sample(8))


def test_a_samples_numbers_do_not_depend_on_its_neighbours():
    # To rounding only: the batch's size is part of the recipe for that reason.
    one = sampler(sampling=CHURN)
    torch.testing.assert_close(one.sample(8)[:4], replace(one, micro_batch=4).sample(8))


@pytest.mark.parametrize("micro_batch", [1, 7, 256, MAX_SHARD_ROWS])
@pytest.mark.parametrize("n", [1, 255, 10_000])
def test_shards_are_whole_batches_and_cover_all_samples(n, micro_batch):
    one = sampler(n=n, micro_batch=micro_batch)
    borders = [one.rows_of(shard) for shard in range(one.n_shards)]
    assert borders[0][0] == 0 and borders[-1][1] == n
    assert all(a[1] == b[0] for a, b in zip(borders, borders[1:], strict=False))
    assert all(start % micro_batch == 0 for start, _ in borders)
    assert max(stop - start for start, stop in borders) <= MAX_SHARD_ROWS


def test_padding_is_not_counted_among_samples_that_are_not_finite(tmp_path):
    one = sampler(denoiser=lambda x, *_: x * float("nan"))
    shards(tmp_path / "bad", one)
    counts = [described(tmp_path / "bad", i).n_nonfinite for i in range(one.n_shards)]
    assert counts == [8, 8, 8, 8, 8, 8, 2]


def test_labels_are_uniform_and_used():
    conditional = sampler(unet(label_dim=10), label_dim=10, n=5000)
    labels = conditional.labels()
    counts = torch.bincount(labels, minlength=10)
    assert len(counts) == 10 and ((counts - 500).abs() < 5 * (500 * 0.9) ** 0.5).all()
    assert not torch.equal(labels, replace(conditional, round=3).labels())
    seen = []
    denoiser = conditional.denoiser
    spy = replace(conditional, denoiser=lambda *a: seen.append(a[2]) or denoiser(*a))
    spy.sample(8)
    assert all(torch.equal(given, labels[8:16]) for given in seen) and len(seen) == 4


def test_classes_are_drawn_by_weight_and_all_alike_as_ever():
    every = sampler(n=4000, label_dim=10)
    ever = torch.randint(10, (4000,), generator=generator(0, "labels", 2))
    assert torch.equal(every.labels(), ever)
    assert torch.equal(replace(every, class_weights=(1,) * 10).labels(), ever)
    some = replace(every, class_weights=(0, 3, 0, 0, 1, 0, 0, 0, 0, 0)).labels()
    assert set(some.tolist()) == {1, 4}
    # Three quarters, within four standard deviations of 4,000 draws.
    assert abs(float((some == 1).double().mean()) - 0.75) < 4 * (0.75 * 0.25 / 4000) ** 0.5
