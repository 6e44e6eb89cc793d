"""Round 0 made once: the same bytes as made anew, and no run is harmed by another's links."""

import json
from pathlib import Path
from typing import Any

import pytest
from tiny_runs import arguments, assert_same, records, unshared

from lightning_collapse.commands.fit import run_fit
from lightning_collapse.runs.config_file import same_first_round
from lightning_collapse.runs.layout import Run

ACCUMULATE = {"data__regime": "Accumulate"}


def study(folder: Path, name: str, shared: bool = True, **changed: Any) -> Path:
    run = folder / name
    run_fit([*arguments(run, **changed), *(("--share", str(folder)) if shared else ())])
    return run


@pytest.fixture(scope="module")
def donor(tmp_path_factory) -> Path:
    return study(tmp_path_factory.mktemp("study"), "donor")


@pytest.fixture(scope="module")
def sharer(donor) -> Path:
    return study(donor.parent, "sharer", **ACCUMULATE)


def test_a_shared_round_is_the_same_as_one_made_anew(donor, sharer, tmp_path):
    alone = study(tmp_path, "alone", shared=False, **ACCUMULATE)
    assert_same(unshared(sharer), unshared(alone))
    assert "shared_from" not in records(alone)[0]
    assert records(sharer)[0]["shared_from"] == "donor"
    assert "shared_from" not in records(sharer)[1]


def test_what_is_shared_is_linked_and_not_made(donor, sharer):
    for name in ("checkpoints/round-0000.ckpt", "pool/0000/shard-00000.npy"):
        assert (donor / name).samefile(sharer / name)
    assert not (donor / "pool/0001/shard-00000.npy").samefile(sharer / "pool/0001/shard-00000.npy")
    assert Run(donor).damage() == Run(sharer).damage() == {}


def test_a_run_that_keeps_few_checkpoints_still_has_round_0_to_share(tmp_path):
    few = {"loop__keep_checkpoints": 1, "trainer__max_epochs": 3}
    donor, sharer = study(tmp_path, "donor", **few), study(tmp_path, "sharer", **few, **ACCUMULATE)
    assert records(sharer)[0]["shared_from"] == "donor"
    kept = [
        sorted(path.name for path in (run / "checkpoints").iterdir()) for run in (donor, sharer)
    ]
    assert kept == [["last.ckpt", "round-0000.ckpt", "round-0002.ckpt"]] * 2
    alone = study(tmp_path / "alone", "alone", shared=False, **few)
    assert [path.name for path in (alone / "checkpoints").glob("round*")] == ["round-0002.ckpt"]
    assert Run(donor).damage() == Run(sharer).damage() == {}


def test_under_another_sampler_the_training_alone_is_shared(donor):
    run = study(donor.parent, "euler", loop__sampling__solver="euler", trainer__max_epochs=1)
    alone = study(
        donor.parent.parent / "alone",
        "euler",
        False,
        loop__sampling__solver="euler",
        trainer__max_epochs=1,
    )
    assert_same(unshared(run), unshared(alone))
    assert (donor / "checkpoints/round-0000.ckpt").samefile(run / "checkpoints/round-0000.ckpt")
    samples = "pool/0000/shard-00000.npy"
    assert (donor / samples).read_bytes() != (run / samples).read_bytes()
    assert records(run)[0]["train_loss"] == records(donor)[0]["train_loss"]


CONFIG: dict[str, Any] = {
    "seed_everything": 0,
    "data": {"train_rows": 48, "images_per_round": 64, "regime": {"class_path": "Replace"}},
    "model": {"network": {"class_path": "SigmaMLP"}, "restart": "scratch"},
    "loop": {"sampling": {"num_steps": 4}, "measures": None},
    "trainer": {"devices": "auto", "max_epochs": 8, "logger": False},
}


@pytest.mark.parametrize(
    ("section", "changed", "same"),
    [
        ("data", {"train_rows": 40}, False),
        ("data", {"images_per_round": 96}, False),
        ("data", {"split_seed": 1}, False),
        ("data", {"swap": 0}, False),
        ("data", {"split_seed": None, "swap": None}, True),
        ("model", {"network": {"class_path": "SongUNet"}}, False),
        ("model", {"P_mean": -1.0}, False),
        ("trainer", {"devices": 2}, False),
        ("trainer", {"precision": "bf16"}, False),
        ("data", {"regime": {"class_path": "Turnover"}}, True),
        ("loop", {"sampling": {"num_steps": 5}, "features": "Pixels"}, True),
        ("model", {"restart": "warm"}, True),
        ("trainer", {"max_epochs": 1, "logger": True}, True),
    ],
)
def test_training_is_shared_where_data_network_seed_and_budget_are_the_same(
    section, changed, same
):
    other = {**CONFIG, section: {**CONFIG[section], **changed}}
    assert (same_first_round(other) == same_first_round(CONFIG)) is same
    assert same_first_round({**CONFIG, "seed_everything": 1}) != same_first_round(CONFIG)


def test_a_regime_that_takes_other_real_rows_at_first_shares_nothing(donor, tmp_path):
    fresh = {"regime": "Fresh", "regime__size": 16, "regime__synthetic_fraction": 1}
    run, fresh = tmp_path / "run", {f"data__{name}": value for name, value in fresh.items()}
    run_fit([*arguments(run, trainer__max_epochs=1, **fresh), "--share", str(donor.parent)])
    assert "shared_from" not in records(run)[0]


def test_a_damaged_donor_is_left_alone(donor, tmp_path):
    other = study(tmp_path, "donor", False, trainer__max_epochs=1)
    path = other / "checkpoints/round-0000.ckpt"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    run = study(tmp_path, "run", trainer__max_epochs=1)
    assert "shared_from" not in records(run)[0] and Run(run).damage() == {}


def test_repair_replaces_what_is_shared_and_names_the_others(tmp_path):
    donor = study(tmp_path, "donor")
    sharer = study(tmp_path, "sharer", **ACCUMULATE)
    shard, other = (run / "pool/0000/shard-00000.npy" for run in (sharer, donor))
    whole = shard.read_bytes()
    damaged = whole[:-1] + bytes([whole[-1] ^ 1])
    with open(shard, "r+b") as file:  # in place: through the link
        file.write(damaged)
    (done,) = Run(sharer).repair().values()
    assert (
        done == "its samples were made again; the damaged file is shared by donor: repair them too"
    )
    assert shard.read_bytes() == whole and other.read_bytes() == damaged
    (done,) = Run(donor).repair().values()
    assert done == "its samples were made again" and other.read_bytes() == whole


def test_a_lost_checkpoint_comes_back_but_not_another_runs_configuration(tmp_path):
    study(tmp_path, "donor", trainer__max_epochs=1)
    sharer = study(tmp_path, "sharer", trainer__max_epochs=1, **ACCUMULATE)
    for name in ("last", "round-0000"):
        (sharer / f"checkpoints/{name}.ckpt").unlink()
    (sharer / "config.yaml").unlink()
    done = {path.name: what for path, what in Run(sharer).repair().items()}
    assert done["last.ckpt"] == "restored from round-0000.ckpt; steps after it are made again"
    assert "no intact checkpoint holds a copy" in done["config.yaml"]
    assert [path.name for path in Run(sharer).damage()] == ["config.yaml"]


def test_a_half_made_link_is_made_again(tmp_path, monkeypatch):
    from lightning_collapse.runs import sharing

    study(tmp_path, "donor")
    real, cut = sharing.link_atomically, []

    def dies(source, target):
        if target.name == "last.ckpt":
            cut.append(target)
            raise KeyboardInterrupt
        real(source, target)

    monkeypatch.setattr(sharing, "link_atomically", dies)
    with pytest.raises((KeyboardInterrupt, SystemExit)):
        study(tmp_path, "sharer", **ACCUMULATE)
    assert cut
    monkeypatch.setattr(sharing, "link_atomically", real)
    sharer = study(tmp_path, "sharer", **ACCUMULATE)
    alone = study(tmp_path / "alone", "alone", False, **ACCUMULATE)
    assert_same(unshared(sharer), unshared(alone))
    assert not json.loads((sharer / "pool/0000/manifest.json").read_text())["recipe"]["seed"]
