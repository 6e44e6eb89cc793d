import pytest
import torch

from lightning_collapse.data.store.shards import StoredRows, commit, shard_path, write_shard
from lightning_collapse.pool import Pool
from lightning_collapse.regimes import Accumulate, AccumulateSubsample, Replace, Turnover
from lightning_collapse.seeds import generator

SIZES = [7, 3, 1, 5]


class Labelled:
    """Rows in memory with labels."""

    def __init__(self, rows, labels):
        self.rows, self.labels = rows, labels

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, indices):
        return self.rows[indices]


def generations(shape=(2,), dtype=torch.float32):
    """Rows that tell where they are from: number i of all is filled with i."""
    numbers = torch.arange(sum(SIZES), dtype=dtype).reshape(-1, *[1] * len(shape))
    return torch.split(numbers.expand(-1, *shape).contiguous(), SIZES)


def stored(folder, rows):
    """The rows on disk, two to a shard."""
    folder.mkdir()
    shards = []
    for i, part in enumerate(torch.split(rows, 2)):
        shards.append(write_shard(shard_path(folder, i), part))
    dtype = str(rows.dtype).removeprefix("torch.")
    commit(folder, shards, shape=rows.shape[1:], dtype=dtype, recipe={})
    return StoredRows(folder)


def pool_of(parts, seed=0):
    pool = Pool(parts[0], seed)
    for part in parts[1:]:
        pool.deposit(part)
    return pool


@pytest.fixture(params=["memory", "disk", "both"])
def kept(request, tmp_path):
    """Turns generations into what a pool keeps of them."""

    def keep(parts):
        on_disk = {"memory": 0, "disk": 1, "both": 2}[request.param]
        return [
            stored(tmp_path / str(i), part) if on_disk == 1 or (on_disk == 2 and i % 2) else part
            for i, part in enumerate(parts)
        ]

    return keep


@pytest.mark.parametrize(
    ("shape", "dtype"), [((2,), torch.float32), ((3, 2, 2), torch.uint8)], ids=["points", "images"]
)
def test_reads_any_rows_in_any_order(kept, shape, dtype):
    parts = generations(shape, dtype)
    pool, whole = pool_of(kept(parts)), torch.cat(parts)
    random = generator(0, "positions")
    for n in (0, 1, 5, len(whole), 40):
        positions = torch.randint(len(whole), (n,), generator=random)
        rows = pool[positions]
        assert rows.dtype == dtype
        assert torch.equal(rows, whole[positions])
    assert torch.equal(pool[torch.arange(len(pool)).flip(0)], whole.flip(0))


def test_tells_what_was_born_when(kept):
    pool = pool_of(kept(generations()))
    assert pool.sizes == SIZES
    assert (len(pool), pool.round) == (16, 3)
    assert pool.born.tolist() == [0] * 7 + [1] * 3 + [2] + [3] * 5
    assert pool.born.dtype == torch.int64


def test_a_deposit_ends_the_round():
    pool = Pool(torch.zeros(4, 2))
    assert pool.round == 0
    pool.deposit(torch.ones(3, 2))
    assert pool.round == 1
    with pytest.raises(ValueError, match="^samples: a round must make at least one sample, got 0"):
        pool.deposit(torch.ones(0, 2))
    assert (pool.round, len(pool)) == (1, 7)


def test_there_is_no_row_beyond_the_last(kept):
    with pytest.raises(IndexError):
        pool_of(kept(generations()))[torch.tensor([16])]


@pytest.mark.parametrize("regime", [Replace(0.5), Turnover(0.5), AccumulateSubsample(6)], ids=repr)
def test_draws_what_the_regime_selects(kept, regime):
    parts = [torch.arange(8.0)[:, None] + 10 * i for i in range(4)]
    pool, whole = pool_of(kept(parts), seed=4), torch.cat(parts)
    selected = pool.select(regime)
    assert torch.equal(pool.draw(regime), whole[selected])
    random = torch.Generator().manual_seed(pool._regime_seed)
    stamps = torch.bincount(pool.born[selected], minlength=4).tolist()
    assert regime.counts(pool.sizes, random) == stamps


@pytest.mark.parametrize("regime", [Turnover(0.5), AccumulateSubsample(30)], ids=repr)
def test_a_resumed_run_draws_the_same_rows(kept, regime):
    """A pool opened anew has no memory of the rounds before, and needs none."""
    parts = [torch.randn(30, 2, generator=generator(0, "rows", r)) for r in range(4)]
    pool, drawn = Pool(parts[0], seed=11), []
    for part in parts[1:]:
        drawn.append(pool.draw(regime))
        pool.deposit(part)
    drawn.append(pool.draw(regime))
    opened = kept(parts)
    for r, rows in enumerate(drawn):
        assert torch.equal(pool_of(opened[: r + 1], seed=11).draw(regime), rows)
    assert not torch.equal(pool_of(opened, seed=12).draw(regime), drawn[-1])


def test_labels_follow_their_rows():
    parts = [Labelled(rows, 10 * rows[:, 0].long()) for rows in generations()]
    pool = pool_of(parts)
    positions = pool.select(Accumulate(per_round=1 / 7))
    assert torch.equal(pool.labels[positions], 10 * pool[positions][:, 0].long())
    assert len(pool.labels) == len(pool)


@pytest.mark.parametrize("without", [0, 1, 3])
def test_labels_of_some_are_labels_of_none(without):
    parts = [Labelled(rows, 10 * rows[:, 0].long()) for rows in generations()]
    parts[without] = parts[without].rows
    assert pool_of(parts).labels is None
