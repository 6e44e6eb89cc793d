"""A run that dies anywhere and is started again is, bit for bit, the run that did not die."""

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_runs import (
    BATCH,
    DIGITS,
    POINTS,
    STEPS,
    At,
    CrashError,
    Fit,
    assert_same,
    crash,
    mlp,
    outcome,
    unet,
    with_ending,
)

from lightning_collapse import Accumulate, Replace
from lightning_collapse.lit.loop import GenerationLoop
from lightning_collapse.networks.augment import AugmentPipe
from lightning_collapse.runs import checkpoints


def dies(function: str, round: int, *, after: bool = False) -> type[GenerationLoop]:
    """A loop that crashes before, or after, one function of its second phase."""

    def dying(plain: Any, *args: Any) -> Any:
        sampler = next(arg for arg in args if hasattr(arg, "n_shards"))
        if sampler.round == round and not after:
            raise CrashError
        result = plain(*args)
        if sampler.round == round:
            raise CrashError
        return result

    return with_ending(**{function: dying})


def dies_in_sampling(round: int) -> type[GenerationLoop]:
    """A loop that crashes with three of a round's six shards on disk."""

    def sample(plain: Any, trainer: Any, sampler: Any, folder: Path) -> None:
        for shard in range(sampler.n_shards):
            for _ in sampler.write_shard(folder, shard):
                if sampler.round == round and shard == 3:
                    raise CrashError

    return with_ending(sample_shards=sample)


PLACES = {
    "first step": lambda r: {"callbacks": [At("on_train_batch_start", r, 0, crash)]},
    "before a checkpoint": lambda r: {"callbacks": [At("on_train_batch_end", r, 1, crash)]},
    "after a checkpoint": lambda r: {"callbacks": [At("on_train_batch_end", r, 3, crash)]},
    "last step": lambda r: {"callbacks": [At("on_train_batch_end", r, STEPS, crash)]},
    "before sampling": lambda r: {"loop": dies("sample_shards", r)},
    "in sampling": lambda r: {"loop": dies_in_sampling(r)},
    "after sampling": lambda r: {"loop": dies("_measure", r)},
    "before the commit": lambda r: {"loop": dies("_commit", r)},
    "after the commit": lambda r: {"loop": dies("_commit", r, after=True)},
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Gives the outcome of an uninterrupted run, made once for each set of options."""

    @cache
    def made(**options: Any) -> dict[str, Any]:
        folder = tmp_path_factory.mktemp("whole")
        torch.set_num_threads(1)
        return outcome(Fit(folder, **_unpacked(options))().folder)

    return made


def _unpacked(options: dict[str, Any]) -> dict[str, Any]:
    options = dict(options)
    if "regime" in options:
        options["data"] = {"regime": options.pop("regime")}
    return options


def interrupt(folder: Path, **options: Any) -> None:
    with pytest.raises(CrashError):
        Fit(folder, **options)()


@pytest.mark.parametrize("round", [0, 1])
@pytest.mark.parametrize("place", PLACES)
def test_a_run_that_dies_at_any_place_ends_the_same(tmp_path, whole, place, round):
    interrupt(tmp_path, **PLACES[place](round))
    Fit(tmp_path)()
    assert_same(outcome(tmp_path), whole())


@pytest.mark.parametrize("restart", ["scratch", "warm", "initial"])
@pytest.mark.parametrize("regime", [Replace(), Accumulate()], ids=["replace", "accumulate"])
def test_every_restart_and_regime_survives_two_deaths(tmp_path, whole, restart, regime):
    options = {"restart": restart, "regime": regime}
    for place in ("after a checkpoint", "in sampling"):
        interrupt(tmp_path, **PLACES[place](1), **_unpacked(options))
    Fit(tmp_path, **_unpacked(options))()
    assert_same(outcome(tmp_path), whole(**options))


def test_two_deaths_in_one_round_and_a_stop_between_rounds(tmp_path, whole):
    Fit(tmp_path, rounds=1)()
    for place in ("before a checkpoint", "after a checkpoint", "last step"):
        interrupt(tmp_path, **PLACES[place](1))
    Fit(tmp_path)()
    assert_same(outcome(tmp_path), whole())


def test_a_started_again_round_goes_on_from_its_checkpoint(tmp_path):
    interrupt(tmp_path, **PLACES["after a checkpoint"](1))
    steps = []
    count = At("on_train_batch_end", 1, None, lambda trainer: steps.append(trainer.global_step))
    Fit(tmp_path, callbacks=[count])()
    assert steps == [STEPS + 3, STEPS + 4]


def test_finished_shards_are_kept(tmp_path):
    interrupt(tmp_path, **PLACES["in sampling"](0))
    kept = {path: path.stat().st_ino for path in (tmp_path / "pool" / "0000").glob("*.npy")}
    assert len(kept) == 3
    Fit(tmp_path, rounds=1)()
    assert {path: path.stat().st_ino for path in kept} == kept


def test_a_finished_run_started_again_changes_nothing(tmp_path, whole):
    Fit(tmp_path)()
    Fit(tmp_path)()
    assert_same(outcome(tmp_path), whole())


def test_two_rounds_extended_to_four_are_four(tmp_path, whole):
    Fit(tmp_path, rounds=2)()
    Fit(tmp_path, rounds=4)()
    assert_same(outcome(tmp_path), whole(rounds=4))


def test_workers_change_nothing(tmp_path, whole):
    options = {"data": {"num_workers": 2}}
    interrupt(tmp_path, **PLACES["after a checkpoint"](1), **options)
    Fit(tmp_path, **options)()
    assert_same(outcome(tmp_path), whole())


def test_augmented_conditional_images_with_dropout(tmp_path):
    def options() -> dict[str, Any]:
        network = unet(label_dim=10, augment_dim=9, dropout=0.2)
        data = {**DIGITS, "regime": Accumulate(0.5)}
        return {"network": network, "data": data, "augment": AugmentPipe(p=0.5)}

    for place in ("after a checkpoint", "before the commit"):
        interrupt(tmp_path / "broken", **{**options(), **PLACES[place](1)})
    for folder in ("broken", "whole"):
        Fit(tmp_path / folder, **options())()
    assert_same(outcome(tmp_path / "broken"), outcome(tmp_path / "whole"))


@pytest.mark.parametrize("step", [1, 3, 4, 5])
def test_accumulated_gradients_are_not_lost(tmp_path, step):
    # Steps 0-1, 2-3 and 4 make an update each; a save is due, by its own count, in between.
    options = {
        "trainer": {"accumulate_grad_batches": 2},
        "data": {"images_per_round": 5 * BATCH},
        "checkpoint_every": 3,
    }
    interrupt(tmp_path / "broken", callbacks=[At("on_train_batch_end", 1, step, crash)], **options)
    for folder in ("broken", "whole"):
        Fit(tmp_path / folder, **options)()
    assert_same(outcome(tmp_path / "broken"), outcome(tmp_path / "whole"))
    adam = outcome(tmp_path / "whole")["optimizer_states"][0]["state"]
    assert adam[0]["step"] == 3


@pytest.mark.parametrize("place", ["after a checkpoint", "in sampling"])
@pytest.mark.parametrize("round", [0, 1])
def test_an_untrained_first_round(tmp_path, place, round):
    options = {"data": {"train_first_round": False}, "restart": "warm"}
    if round == 0 and place == "after a checkpoint":
        Fit(tmp_path / "broken", rounds=1, **options)()
    else:
        interrupt(tmp_path / "broken", **PLACES[place](round), **options)
    for folder in ("broken", "whole"):
        Fit(tmp_path / folder, **options)()
    assert_same(outcome(tmp_path / "broken"), outcome(tmp_path / "whole"))


def test_a_checkpoint_torn_in_writing_leaves_the_one_before(tmp_path, whole, monkeypatch):
    save, calls = torch.save, []

    def torn(checkpoint: Any, file: Any) -> None:
        calls.append(1)
        if len(calls) == 3:
            file.write(b"half")
            raise CrashError
        save(checkpoint, file)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints.torch, "save", torn)
        interrupt(tmp_path)
    assert len(calls) == 3
    Fit(tmp_path)()
    assert_same(outcome(tmp_path), whole())


@pytest.mark.parametrize("checkpoint", ["round-0000.ckpt", "round-0002.ckpt"])
def test_a_checkpoint_that_the_pool_does_not_match_is_refused(tmp_path, checkpoint):
    Fit(tmp_path, rounds=3)()
    folder = tmp_path / "checkpoints"
    (folder / "last.ckpt").unlink()
    (folder / checkpoint).rename(folder / "last.ckpt")
    if checkpoint == "round-0002.ckpt":
        for r in (1, 2):
            (tmp_path / "pool" / f"{r:04d}" / "manifest.json").unlink()
    with pytest.raises(ValueError, match="pool in .* holds . rounds"):
        Fit(tmp_path, rounds=3)()


def test_a_pool_without_any_checkpoint_is_refused(tmp_path):
    Fit(tmp_path, rounds=1)()
    (tmp_path / "checkpoints" / "last.ckpt").unlink()
    with pytest.raises(ValueError, match="step 0 of round 0, .* holds 1 rounds"):
        Fit(tmp_path)()


def test_checkpoints_hold_tensors_and_plain_values_only(tmp_path):
    Fit(tmp_path)()
    for path in (tmp_path / "checkpoints").iterdir():
        torch.load(path, weights_only=True)
    assert not list(tmp_path.rglob(".*.tmp"))


def test_a_seed_is_the_whole_of_a_runs_chance(tmp_path, whole):
    torch.manual_seed(12345)
    Fit(tmp_path / "same", network=mlp())()
    assert_same(outcome(tmp_path / "same"), whole())
    other = outcome(Fit(tmp_path / "other", seed=1, data={**POINTS, "seed": 1})().folder)
    assert other["rounds"] != whole()["rounds"]
