"""The batch of a step is a function of (seed, round, step), and of nothing else."""

from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_runs import BATCH, POINTS, STEPS

from lightning_collapse import Accumulate, Fresh, Replace
from lightning_collapse.data.sources.images import Digits
from lightning_collapse.lit.data import PoolDataModule
from lightning_collapse.pool import Pool, batch_order


def module(run, **options) -> PoolDataModule:
    options = {"regime": Replace(), "images_per_round": STEPS * BATCH, **POINTS, **options}
    return PoolDataModule(batch_size=BATCH, run=run, **options)


def opened(run, **options) -> PoolDataModule:
    data = module(run, **options)
    data.prepare_data()
    data.setup()
    return data


def positions(data: PoolDataModule, rank: int = 0, world_size: int = 1) -> list[torch.Tensor]:
    """What one process reads in the rest of the round."""
    data.trainer = SimpleNamespace(global_rank=rank, world_size=world_size)
    return list(data.train_dataloader().sampler)


@settings(deadline=None, max_examples=50)
@given(n=st.integers(1, 40), batch=st.integers(1, 100))
def test_every_pass_over_the_set_covers_each_row_once(n, batch):
    steps = -(-3 * n // batch)
    rows = torch.cat([batch_order(n, batch, step, (0, 0)) for step in range(steps)])
    for one_pass in rows[: 3 * n].split(n):
        assert torch.equal(one_pass.sort().values, torch.arange(n))


def test_passes_rounds_and_seeds_have_orders_of_their_own():
    first = batch_order(50, 100, 0, (0, 0))
    assert not torch.equal(first[:50], first[50:])
    assert not torch.equal(first, batch_order(50, 100, 0, (0, 1)))
    assert not torch.equal(first, batch_order(50, 100, 0, (1, 0)))


def test_the_order_of_a_step_does_not_depend_on_what_was_asked_before():
    forwards = [batch_order(37, 16, step, (3, 2)) for step in range(9)]
    backwards = [batch_order(37, 16, step, (3, 2)) for step in reversed(range(9))]
    for a, b in zip(forwards, reversed(backwards), strict=True):
        assert torch.equal(a, b)


def test_a_round_goes_on_from_any_step(tmp_path):
    data = opened(tmp_path)
    whole = positions(data)
    assert len(whole) == STEPS
    for step in range(STEPS):
        data.load_state_dict({"round": 0, "step": step})
        rest = positions(data)
        assert torch.equal(torch.cat(rest), torch.cat(whole[step:]))


@pytest.mark.parametrize("world_size", [2, 4])
def test_processes_share_each_batch_in_order(tmp_path, world_size):
    data = opened(tmp_path)
    shares = [positions(data, rank, world_size) for rank in range(world_size)]
    for whole, *parts in zip(positions(data), *shares, strict=True):
        assert torch.equal(whole, torch.cat(parts))


def test_batches_are_cut_from_what_the_regime_selects(tmp_path):
    data = opened(tmp_path, regime=Accumulate(0.5))
    data.pool = Pool(data.train)
    data.pool.deposit(torch.zeros(30, 2))
    data.round = 1
    read = torch.cat(positions(data))
    assert set(read.tolist()) <= set(data.curation().positions.tolist()) == set(range(48 + 24))


def test_real_rows_are_split_for_good(tmp_path):
    one, again = opened(tmp_path / "a"), opened(tmp_path / "b", regime=Accumulate())
    other = opened(tmp_path / "c", seed=1)
    rows = [d.train[torch.arange(48)] for d in (one, again, other)]
    assert torch.equal(rows[0], rows[1]) and not torch.equal(rows[0], rows[2])
    train, held_out = ({tuple(r) for r in part.tolist()} for part in (rows[0], _held_out(one)))
    assert len(train) == 48 and len(held_out) == 16 and not train & held_out


def _held_out(data: PoolDataModule) -> torch.Tensor:
    return data.held_out[torch.arange(len(data.held_out))]


def test_held_out_rows_stay_the_same_whatever_is_trained_on(tmp_path):
    few, many = opened(tmp_path, train_rows=20), opened(tmp_path, train_rows=None)
    assert torch.equal(_held_out(few), _held_out(many))
    assert torch.equal(few.train[torch.arange(20)], many.train[torch.arange(20)])


def test_labels_follow_their_rows(tmp_path):
    data = opened(tmp_path, source=Digits())
    images, labels = Digits().read(0)
    label_of = {
        image.numpy().tobytes(): int(label) for image, label in zip(images, labels, strict=True)
    }
    batch = data.train_dataloader().dataset[torch.tensor([5, 0, 47])]
    wanted = [label_of[row.numpy().tobytes()] for row in batch["rows"]]
    assert batch["labels"].tolist() == wanted


def test_real_rows_are_imported_once(tmp_path):
    opened(tmp_path)
    shard = tmp_path / "pool" / "real" / "shard-00000.npy"
    before = shard.stat().st_ino
    opened(tmp_path)
    assert shard.stat().st_ino == before
    opened(tmp_path, source=Digits())
    assert shard.stat().st_ino != before


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"train_rows": 49}, "train_rows = 49"),
        ({"train_rows": None, "held_out_rows": 64}, "held_out_rows = 64"),
        ({"train_rows": 1}, "train_rows = 1"),
        ({"samples_per_round": 1}, "samples_per_round = 1"),
        ({"images_per_round": 0}, "images_per_round = 0"),
        ({"num_workers": -1}, "num_workers = -1"),
    ],
)
def test_what_cannot_be_had_is_refused(tmp_path, options, said):
    with pytest.raises(ValueError, match=f"data.{said}: "):
        opened(tmp_path, **options)


@pytest.mark.parametrize(
    ("regime", "rounds", "said"),
    [
        (Replace(), 2, "samples_per_round = 10"),
        (Fresh(0.2, 30), 2, "regime = Fresh"),
    ],
)
def test_a_regime_is_tried_for_all_rounds_beforehand(tmp_path, regime, rounds, said):
    data = opened(tmp_path, regime=regime, samples_per_round=10)
    data.check(1, 1)
    with pytest.raises(ValueError, match=said):
        data.check(rounds, 1)


def test_a_batch_must_be_shared_evenly(tmp_path):
    with pytest.raises(ValueError, match="data.batch_size = 16: .* 3 processes"):
        module(tmp_path).check_share(3)


def test_steps_are_rounded_up_to_whole_batches(tmp_path):
    data = module(tmp_path, images_per_round=BATCH + 1, train_first_round=False)
    assert [data.steps_of(r) for r in range(3)] == [0, 2, 2]
