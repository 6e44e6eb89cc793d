"""Which rows are real is apart from all other chance, and one of them can be exchanged."""

import json

import pytest
import torch
from tiny_runs import POINTS, Fit, assert_same, records

from lightning_collapse import Replace
from lightning_collapse.data.sources.images import Digits
from lightning_collapse.data.sources.points import Mixture
from lightning_collapse.lit.data import PoolDataModule
from lightning_collapse.seeds import generator

ALL = {"train_rows": None, "held_out_rows": 16}
SPARE = {"source": Mixture(80)}


def opened(run, **options) -> PoolDataModule:
    options = {**POINTS, "source": Digits(), "regime": Replace(), **options}
    data = PoolDataModule(run=run, **options)
    data.prepare_data()
    data.setup()
    return data


def test_without_a_seed_of_its_own_the_split_follows_the_runs(tmp_path):
    order = torch.randperm(1797, generator=generator(3, "real"))
    for name, options in [("a", {"seed": 3}), ("b", {"seed": 5, "split_seed": 3})]:
        data = opened(tmp_path / name, **options)
        assert torch.equal(data.held_out.order, order[:16])
        assert torch.equal(data.train.order, order[16:64])


@pytest.mark.parametrize("swap", [0, 7, 47])
def test_a_swap_puts_an_unused_row_in_the_place_of_one_trained_on(tmp_path, swap):
    one, other = opened(tmp_path), opened(tmp_path, swap=swap)
    assert (one.train.order != other.train.order).nonzero().flatten().tolist() == [swap]
    assert torch.equal(one.held_out.order, other.held_out.order)
    assert int(other.train.order[swap]) not in [*one.train.order, *one.held_out.order]
    assert other.train.labels[swap] == other.run.real_rows.labels[other.train.order[swap]]


def test_where_no_row_is_left_a_held_out_one_changes_places(tmp_path):
    one, other = opened(tmp_path, **ALL), opened(tmp_path, swap=20, **ALL)
    for part in ("train", "held_out"):
        assert (getattr(one, part).order != getattr(other, part).order).sum() == 1
    assert one.train.order[20] == other.held_out.order[20 % 16]
    assert one.held_out.order[20 % 16] == other.train.order[20]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"swap": 48}, "data.swap = 48: must be one of the 48 training rows"),
        ({"swap": -1}, "data.swap = -1: must be at least 0"),
        ({"split_seed": -1}, "data.split_seed = -1: must be at least 0"),
    ],
)
def test_what_cannot_be_had_is_refused(tmp_path, options, said):
    with pytest.raises(ValueError, match=said):
        opened(tmp_path, **options)


@pytest.mark.parametrize("rows", [{"split_seed": 1}, {"swap": 0}])
def test_other_rows_leave_the_noise_as_it_is(tmp_path, rows):
    """An untrained network makes the same samples, and of a trained one others come."""
    made = []
    for name, options in [("a", {}), ("b", rows)]:
        data = {**SPARE, "train_first_round": False, **options}
        run = Fit(tmp_path / name, data=data, options={"default_measures": False})().data.run
        made.append([run.samples(r)[torch.arange(48)] for r in range(2)])
    assert torch.equal(made[0][0], made[1][0])
    # Replace(1) never sees the real rows.
    assert torch.equal(made[0][1], made[1][1])


@pytest.fixture(scope="module")
def swapped(tmp_path_factory):
    data = {**SPARE, "split_seed": 5, "swap": 3}
    return Fit(tmp_path_factory.mktemp("swapped") / "run", data=data)().folder


def test_a_run_is_evaluated_on_its_own_rows(swapped, tmp_path, cli):
    first = records(swapped)[0]
    assert (first["seed"], first["split_seed"], first["swap"]) == (0, 5, 3)
    status, _, errors = cli("evaluate", swapped, "--json", tmp_path / "told.json")
    assert (status, errors) == (0, "")
    told = json.loads((tmp_path / "told.json").read_text())["rounds"]
    for record, fields in zip(records(swapped), told, strict=True):
        assert_same(fields, {name: record[name] for name in fields})


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ({"split_seed": 5}, "data.swap = None: the run in .* was started with 3"),
        ({"split_seed": 6, "swap": 3}, "data.source = .*'seed': 6.*was started with .*'seed': 5"),
    ],
)
def test_a_run_does_not_go_on_with_other_rows(swapped, rows, said):
    with pytest.raises(ValueError, match=said):
        Fit(swapped, data={**SPARE, **rows}, rounds=3)()
